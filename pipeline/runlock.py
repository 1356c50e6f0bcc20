"""One run at a time in a folder, by a kernel lock that dies with its holder.

Snakemake's own lock survives a kill and then wants ``--unlock``; this one is an flock on
``<folder>/.run.lock``, so the same command again is always enough.  The folder may be on a
shared file system as long as that passes locks between nodes (NFS and BeeGFS do, Lustre
when mounted with ``flock``).

The package filelock would replace `_locked` alone: who holds the lock, since when and in which
job is written and read here anyway, and where a file system has no locks it turns to lock files
that outlive a kill.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from pipeline.errors import UserError
from pipeline.progress import say
from pipeline.state.files import Stored, parse_json

# A killed run may leave a trainer that is still saving; one of its cluster jobs may live on for hours, and
# the job that the next run submits must outlast it rather than use up its retries against it.
PATIENCE_S = 30.0
_LOOK_S = 1.0

_held: dict[Path, IO[str]] = {}


class Holder(Stored):
    """What the lock file says."""

    pid: int
    host: str
    since: str
    job: dict[Literal["engine", "id", "end"], str] | None = None


def last_holder(folder: Path) -> str:
    """What the lock says of the last process that held it; nothing where none ever has."""
    try:
        return (folder / ".run.lock").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def hold(folder: Path, *, patience_s: float = 0.0) -> str:
    """Take the lock of `folder` until this process ends; name the holder if another has it.

    Returns `last_holder` as it was before.
    patience_s : stand in line that long behind a living holder before raising UserError.
    """
    path = (folder / ".run.lock").resolve()
    if path in _held:
        return last_holder(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - it must stay open as long as the process
    start, told = time.monotonic(), False
    while not _locked(file):
        holder = _holder(file)
        if time.monotonic() - start >= patience_s:
            file.close()
            raise UserError(
                "another run is working in this folder",
                where=str(folder),
                got=holder,
                do="wait for it, stop it, or choose another `output` in config.yaml",
            )
        if not told:
            say(f"{folder}: waiting for {holder}")
        told = True
        time.sleep(min(_LOOK_S, patience_s))
    before = last_holder(folder)
    file.truncate(0)
    file.write(_self().model_dump_json())
    file.flush()
    _held[path] = file
    return before


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """`hold` for the length of a ``with`` block; a cluster job stands in line as long as it takes."""
    hold(folder, patience_s=math.inf if _job() else PATIENCE_S)
    try:
        yield
    finally:
        _held.pop((folder / ".run.lock").resolve()).close()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            "this file system has no locks",
            where=str(Path(file.name).parent),
            got=error.strerror or str(error),
            do="mount it with locks (Lustre: `flock`), or put `output` on another file system",
        ) from error
    return True


# Variable that an engine sets in its jobs, what the engine is called, and the command that ends a job.
_ENGINES = (
    ("SLURM_JOB_ID", "SLURM job", "scancel"),
    ("PBS_JOBID", "PBS job", "qdel"),
    ("LSB_JOBID", "LSF job", "bkill"),
    ("FLUX_JOB_ID", "Flux job", "flux cancel"),
    ("AWS_BATCH_JOB_ID", "AWS Batch job", "aws batch terminate-job --reason lock --job-id"),
    ("BATCH_TASK_ID", "Google Batch task", ""),
)
_POD = "KUBERNETES_SERVICE_HOST"  # set in every pod, whose name is its host's
_GRID_ENGINE = ("JOB_ID", "SGE_ROOT")  # the first alone may be anybody's


def _job() -> dict[Literal["engine", "id", "end"], str] | None:
    """The engine's job that this process belongs to: what it is called, its number, how to end it."""
    for variable, engine, end in _ENGINES:
        if number := os.environ.get(variable):
            return {"engine": engine, "id": number, "end": end}
    if all(os.environ.get(variable) for variable in _GRID_ENGINE):
        return {"engine": "Grid Engine job", "id": os.environ["JOB_ID"], "end": "qdel"}
    if os.environ.get(_POD):
        return {"engine": "pod", "id": socket.gethostname(), "end": "kubectl delete pod"}
    return None


def _self() -> Holder:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return Holder(pid=os.getpid(), host=socket.gethostname(), since=since, job=_job())


def _told(job: dict[Literal["engine", "id", "end"], str] | None) -> str:
    if job is None:
        return ""
    end = f": `{job['end']} {job['id']}`" if job["end"] else ""
    return f" ({job['engine']} {job['id']}{end})"


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = Holder.model_validate(parse_json(file.read()))
    except ValueError:  # pydantic's is one
        return "a process that has not said who it is yet"
    return f"process {holder.pid} on {holder.host}, since {holder.since}{_told(holder.job)}"
