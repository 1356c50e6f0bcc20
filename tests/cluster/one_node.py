"""A SLURM of one node on loopback: munged, slurmctld and slurmd with all their files in one folder.

    apt-get install -y --no-install-recommends slurm-wlm munge     (Debian)

It needs root (the daemons start jobs as other users), and for as long as it runs its two
configuration files are linked from /etc/slurm, where job steps look for them.  Character
devices that swallow everything stand in for GPUs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
SYSTEM = Path("/etc/slurm")  # compiled into Debian's build
CPUS, MEMORY_MB, GPUS = 32, 200_000, 4  # claimed, not had: nothing here confines a job to them
PATIENCE_S = 60.0


def missing() -> str:
    """Why no SLURM can be started here; nothing if one can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"no {', '.join(absent)} here: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "starting SLURM's daemons needs root"
    taken = [name for name in ("slurm.conf", "gres.conf") if os.path.lexists(SYSTEM / name)]
    return f"this machine has a SLURM of its own: {SYSTEM}/{taken[0]}" if taken else ""


class Cluster:
    """Commands of a running cluster."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def call(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def job(self, rule: str) -> str | None:
        """Number of the running job of a rule; Snakemake writes the rule's name into the comment."""
        for line in self.call("squeue", "--noheader", "--states=RUNNING", "--format=%i %k").splitlines():
            number, _, comment = line.partition(" ")
            if comment.startswith(f"rule_{rule}_") or comment == f"rule_{rule}":
                return number
        return None

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-20:])
            for path in sorted(self.folder.glob("*.log"))
        )


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start the daemons, yield, and stop exactly those."""
    _write_configuration(folder)
    links = [SYSTEM / "slurm.conf", SYSTEM / "gres.conf"]
    cluster = Cluster(folder)
    host = socket.gethostname().split(".")[0]
    try:
        SYSTEM.mkdir(exist_ok=True)
        for link in links:
            link.symlink_to(folder / link.name)
        _start(
            "munged",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        _start("slurmctld", "-c", "-f", f"{folder}/slurm.conf")
        _start("slurmd", "-N", host, "-f", f"{folder}/slurm.conf")
        _wait_until_idle(cluster)
        yield cluster
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            cluster.call("scancel", "--user", "root")
            cluster.call("scancel", "--signal=KILL", "--user", "root")
        for name in ("slurmd", "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")
        for link in links:
            link.unlink(missing_ok=True)
        _end_what_jobs_left(folder)


def _end_what_jobs_left(folder: Path) -> None:
    """Kill processes of this cluster's jobs that a real one would have ended by their cgroup."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


def _start(program: str, *arguments: str) -> None:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    done = subprocess.run([found or program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _stop(pid_file: Path) -> None:
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)


def _wait_until_idle(cluster: Cluster) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=cluster.environment, capture_output=True, text=True)
        if "idle" in done.stdout:
            return
        time.sleep(0.2)
    raise AssertionError(f"SLURM did not come up\n{cluster.logs()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_configuration(folder: Path) -> None:
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for number in range(GPUS):
        os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))  # another /dev/null
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    (folder / "slurm.conf").write_text(f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# A job above its memory is killed, as cgroups do it on a real cluster, by a look every second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=300
KillWait=20
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
""")
