"""An engine whose jobs share nothing: a script that runs each one in an empty folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.world import ROOT, box_off, make_folder

PROFILE = ROOT / "profiles" / "storage" / "config.yaml"
SUBMIT = """#!/bin/sh
job=$(mktemp -d {jobs}/XXXXXX) && mkdir $job/work && cp "$1" $job/script && cd $job/work
setsid sh -c 'echo $$ > ../pid; trap : TERM; sh ../script > ../said 2>&1; echo $? > ../ended' \\
    > /dev/null 2>&1 < /dev/null &
echo $job
"""
STATUS = """#!/bin/sh
if [ ! -s "$1/ended" ]; then echo running; elif [ "$(cat "$1/ended")" = 0 ]; then echo success; else echo failed; fi
"""
PATIENCE_S = 900.0  # of a machine that has other things to do


def checkout(folder: Path, configuration: dict[str, Any]) -> Path:
    """The project as git knows it, which is what Snakemake takes to a job, with a configuration and some meshes."""
    folder.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    copied = [name for name in files.decode().split("\0") if name and not name.startswith(("tests/", "docs/img"))]
    packed = subprocess.run(["tar", "-c", *copied], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=packed, check=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    make_folder(folder / "meshes")
    # A near-duplicate of shape1, which another split falls to by itself.
    (folder / "meshes/box/shape1b.off").write_text(box_off(2, 2.01, 3), encoding="utf-8")
    return folder


class Apart:
    """A checkout, a storage, and an engine between them."""

    def __init__(self, folder: Path, configuration: dict[str, Any], provider: str, prefix: str, more: dict[str, str]):
        self.jobs, self.folder = folder / "jobs", checkout(folder / "project", configuration)
        self.jobs.mkdir()
        for name, text in (("submit", SUBMIT), ("status", STATUS)):
            (folder / name).write_text(text.replace("{jobs}", str(self.jobs)), encoding="utf-8")
            (folder / name).chmod(0o755)
        profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
        profile |= {
            "executor": "cluster-generic",
            "cluster-generic-submit-cmd": str(folder / "submit"),
            "cluster-generic-status-cmd": str(folder / "status"),
            "default-storage-provider": provider,
            "default-storage-prefix": prefix,
            "seconds-between-status-checks": 1,
            "latency-wait": 5,
        }
        (folder / "profile").mkdir()
        (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, **more, "PATH": path, "PYTHONWARNINGS": ""}
        self._output = folder / "said.txt"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The user's command, in the background."""
        profile = str(self.folder.parent / "profile")
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", profile, *arguments]
        with open(self._output, "ab") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    def run(self, *arguments: str) -> str:
        """The user's command; what it said since it started."""
        before = self._output.stat().st_size if self._output.exists() else 0
        process = self.start(*arguments)
        try:
            assert process.wait() == 0, self.said()
        finally:
            self.end(process)
        return self._output.read_bytes()[before:].decode()

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Leave no Snakemake and no job behind, however the test ends."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for job in self.jobs.iterdir():
            if not (job / "ended").exists() and (job / "pid").exists():
                os.killpg(int((job / "pid").read_text()), signal.SIGKILL)

    def job_with(self, rule: str, file: str, lines: int) -> Path | None:
        """The running job of a rule that has written so many lines of a file."""
        for started in self.jobs.glob("*/pid"):  # whose script is there
            job = started.parent
            mine = f"--target-jobs '{rule}:" in (job / "script").read_text(encoding="utf-8")
            if mine and any(len(path.read_bytes().splitlines()) > lines for path in job.glob(f"work/**/{file}")):
                return job
        return None

    def until(self, done: Callable[[], Any], run: subprocess.Popen[bytes]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if found := done():
                return found
            assert run.poll() is None, f"the run has ended before\n{self.said()}"
            time.sleep(0.1)
        raise AssertionError(f"it did not happen\n{self.said()}")

    def said(self) -> str:
        """What the runs and the last lines of their jobs say."""
        jobs = [path.read_text(encoding="utf-8", errors="replace")[-3000:] for path in self.jobs.glob("*/said")]
        return "\n".join([self._output.read_text(encoding="utf-8", errors="replace")[-4000:], *jobs])
