"""One run at a time in an output folder, by a kernel lock that dies with its holder.

Snakemake's own lock survives a kill and then wants ``--unlock``; this one is an flock on
``<output>/.run.lock``, so the same command again is always enough.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipeline.errors import UserError

_held: dict[Path, IO[str]] = {}


def hold(output: Path) -> None:
    """Take the lock of `output` until this process ends; name the holder if another has it.

    Raises UserError when another live process holds it.
    """
    path = (output / ".run.lock").resolve()
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - it must stay open as long as the process
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(file)
        file.close()
        raise UserError(
            "another run is working in this folder",
            where=str(output),
            got=holder,
            do="wait for it, stop it, or choose another `output` in config.yaml",
        ) from error
    file.truncate(0)
    file.write(
        json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    )
    file.flush()
    _held[path] = file


@contextlib.contextmanager
def held(output: Path) -> Iterator[None]:
    """`hold` for the length of a ``with`` block."""
    hold(output)
    try:
        yield
    finally:
        _held.pop((output / ".run.lock").resolve()).close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        holder = json.loads(file.read())
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError):
        return "a process that has not said who it is yet"
