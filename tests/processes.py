"""Processes of the tests, forked from one that has imported what is slow to import: they start in milliseconds.

A command of the project, or Snakemake, runs in such a process as ``python -m`` would run it: as `__main__`, with a
command line, a folder, an environment and outputs of its own.  What a fresh interpreter loads, and how it starts, is
held by tests/test_wheel.py, tests/test_architecture.py and every job of tests/test_runs.py.
"""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.context
import multiprocessing.process
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
# Modules that commands load when they begin their work; torch alone takes two seconds.
SLOW = (
    *("pytest", "snakemake.cli", "training.loop", "training.evaluate", "training.inference.reconstruct"),
    *("render.preview", "voxelize.cli", "pipeline.stages.prepare", "report.page", "tests.training.processes"),
    "tests.kernels",
)


# Of the session, before any test has changed it; what is forked begins with it.
ENVIRONMENT: dict[str, str] = {}


@functools.cache
def server() -> multiprocessing.context.ForkServerContext:
    """The context whose children have imported `SLOW` already; one process of tests has one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(SLOW))
    with mock.patch.dict(os.environ, ENVIRONMENT, clear=bool(ENVIRONMENT)):
        forkserver.ensure_running()
    return context


def start(target: Any, *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Begin ``target(*arguments)`` in a process of its own."""
    process = server().Process(target=target, args=arguments)
    process.start()
    return process


def run_module(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m WORDS`` in `folder`, to its end."""
    with tempfile.TemporaryDirectory() as outputs:
        out, err = Path(outputs, "out"), Path(outputs, "err")
        given = dict(os.environ if environment is None else environment)
        process = start(_become, list(words), str(folder), given, str(out), str(err))
        process.join()
        assert process.exitcode is not None
        said = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
    return subprocess.CompletedProcess(["python", "-m", *words], process.exitcode, *said)


def _become(words: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
