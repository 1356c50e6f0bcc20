"""A real SLURM of one node: what fails, is cancelled or loses its run ends with the bytes of a quiet local run.

`make test-cluster` runs this; it needs root and Debian's slurm-wlm and munge.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import one_node
from tests.world import ROOT, TINY, World, lasting_digests

pytestmark = pytest.mark.cluster

IMPATIENT = Path(__file__).with_name("impatient.py")
SAMPLES = 1920
PATIENCE_S = 900.0  # of a machine that has other things to do


def configuration() -> dict[str, Any]:
    """One data set of the tiny world, in one shard, and two processes that train on it."""
    tiny = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    experiment = {
        "datasets": ["sn"],
        "processes": 2,  # each signal reaches both, from SLURM and from their launcher
        "device": "cpu",
        "samples": SAMPLES,
        "checkpoint_every": 100_000,  # so that whatever is resumed from was saved because of a signal
    }
    tiny["datasets"] = {"sn": tiny["datasets"]["sn"]}
    tiny["experiments"]["tiny"] |= experiment
    return dict(tiny)


class ClusterWorld(World):
    """The user's command with profiles/slurm, changed only where this cluster differs from a real one."""

    def __init__(self, folder: Path, cluster: one_node.Cluster):
        folder.mkdir()
        (folder / "given.yaml").write_text(yaml.safe_dump(configuration()), encoding="utf-8")
        super().__init__(folder, folder / "given.yaml")
        self.cluster, self.runs = cluster, 0
        self.started: list[subprocess.Popen[bytes]] = []
        profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
        (folder / "profile").mkdir()
        (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(for_this_cluster(profile)), encoding="utf-8")

    def start(self) -> subprocess.Popen[bytes]:
        """Start ``train_all`` in a session of its own; what it says goes to run-<n>.txt."""
        self.runs += 1
        with open(self.folder / f"run-{self.runs}.txt", "wb") as output:
            process = subprocess.Popen(
                [*self.cluster_command(), "train_all"],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.cluster.environment,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leave no Snakemake behind, however the test ends."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def cluster_command(self) -> list[str]:
        command = self.command()
        command[command.index("--workflow-profile") + 1] = str(self.folder / "profile")
        at = command.index("--cores")
        return [command[0], str(IMPATIENT), *command[3:at], *command[at + 2 :]]

    def all_said(self) -> str:
        """Everything that the runs said so far, and the logs of jobs that run or failed."""
        logs = [*sorted(self.folder.glob("run-*.txt")), *sorted(self.folder.glob(".snakemake/slurm_logs/**/*.log"))]
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)

    def until(self, what: str, done: Callable[[], Any], process: subprocess.Popen[bytes] | None = None) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if found := done():
                return found
            assert process is None or process.poll() is None, f"the run ended before {what}\n{self.all_said()[-8000:]}"
            time.sleep(0.1)
        raise AssertionError(f"{what} did not happen\n{self.all_said()[-8000:]}\n{self.cluster.logs()}")

    def training_job(self, after: int = 0) -> str | None:
        """The running job that trains, once it has logged more than `after` lines of losses."""
        job = self.cluster.job("train")
        return job if job and len(self.metrics()) > after else None

    def metrics(self) -> list[str]:
        path = self.results / "runs" / "tiny" / "metrics.jsonl"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def for_this_cluster(profile: dict[str, Any]) -> dict[str, Any]:
    """profiles/slurm as an operator would edit it: no accounting here, and nobody to be gentle with."""
    profile["set-resources"]["train"]["gpu"] = 2  # as `device: auto` would ask for; the devices are stand-ins
    profile["set-resources"]["render"] = {"mem_mb": "180 * attempt ** 4"}  # too little at the first attempt
    return profile | {
        "slurm-status-command": "squeue",
        "slurm-init-seconds-before-status-checks": 1,
        "latency-wait": 5,
    }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[one_node.Cluster]:
    if reason := one_node.missing():
        pytest.skip(reason)
    with one_node.running(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def world(cluster: one_node.Cluster, tmp_path: Path) -> Iterator[ClusterWorld]:
    world = ClusterWorld(tmp_path / "cluster", cluster)
    yield world
    world.end()


def test_a_run_with_failed_cancelled_and_orphaned_jobs_ends_like_a_local_one(
    cluster: one_node.Cluster, world: ClusterWorld, tmp_path: Path
) -> None:
    run = world.start()

    # scancel while it trains: SIGTERM to every process of the job.
    job = world.until("the first training", lambda: world.training_job(3), run)
    cluster.call("scancel", job)
    # SLURM's warning before the wall time, as `--signal=USR1@120` sends it.
    job = world.until("the second training", lambda: (found := world.training_job(8)) != job and found, run)
    cluster.call("scancel", "--signal=USR1", job)
    # Snakemake and all its processes die; the job that trains lives on, and the next run's has to wait for it.
    job = world.until("the third training", lambda: (found := world.training_job(14)) != job and found, run)
    cluster.call("scontrol", "suspend", job)  # a slow one
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    again = world.start()
    waiting = rf"waiting for process \d+ on \S+, since [-:\d ]+ \(SLURM job {job}: `scancel {job}`\)"
    world.until("the fourth training says whom it waits for", lambda: re.search(waiting, world.all_said()), again)
    cluster.call("scontrol", "resume", job)
    again.wait(PATIENCE_S)
    said = world.all_said()
    assert again.returncode == 0, said[-8000:] + cluster.logs()

    # Each of these happened.
    assert re.search(r"OUT_OF_MEMORY|exceeded (job )?memory limit|Exceeded job memory limit", said), said[-8000:]
    going_on = [int(number) for number in re.findall(r"tiny: going on after (\d+) samples", said)]
    assert len(going_on) >= 2 and going_on == sorted(going_on) and 0 < going_on[0] < going_on[1] < SAMPLES, going_on

    # The same bytes as on one machine that nothing disturbed.
    local = World(tmp_path / "local", world.folder / "config.yaml")
    local.run("train_all", cores=2)
    wanted = lasting_digests(local.results)
    assert len(wanted) > 5 and lasting_digests(world.results) == wanted
    stamp = json.loads((world.results / "runs" / "tiny" / "train.json").read_text(encoding="utf-8"))
    assert stamp["samples"] == SAMPLES and not list(world.results.glob("runs/tiny/previous-*"))


def test_one_training_of_two_tasks(cluster: one_node.Cluster, world: ClusterWorld, tmp_path: Path) -> None:
    """As on two nodes: a torchrun in each task, which meet at the job's first host."""
    world.edit(experiments={"tiny": {"samples": 160}})
    path = world.folder / "profile" / "config.yaml"
    profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    profile["set-resources"]["train"] |= {"mpi": "srun", "tasks": 2, "cpus_per_task": 4, "gpu": 0, "mem_mb": 16000}
    del profile["set-resources"]["render"]
    path.write_text(yaml.safe_dump(profile), encoding="utf-8")
    run = world.start()
    assert run.wait(PATIENCE_S) == 0, world.all_said()[-8000:] + cluster.logs()
    stamp = json.loads((world.results / "runs" / "tiny" / "train.json").read_text(encoding="utf-8"))
    assert stamp["samples"] == 160
    first = json.loads(world.metrics()[0])
    local = World(tmp_path / "local", world.folder / "config.yaml")
    local.run("train_all", cores=2)
    lines = (local.results / "runs" / "tiny" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == first, "two processes, wherever they are, learn the same"
