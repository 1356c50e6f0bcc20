"""Runs the real Snakefile on the tiny world; shared by the workflow tests."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from pipeline.seeds import generator
from tests.processes import run_module

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "tiny" / "config.yaml"


def make_folder(folder: Path, shapes: int = 6) -> None:
    """Boxes of different sizes, one file each, in two categories."""
    for number in range(shapes):
        path = folder / ("box" if number % 2 else "slab") / f"shape{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(box_off(1 + number, 2, 3 if number % 2 else 0.5), encoding="utf-8")


def box_off(x: float, y: float, z: float) -> str:
    corners = [(i * x, j * y, k * z) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    lines = ["OFF", "8 6 0", *(" ".join(map(str, c)) for c in corners), *(f"4 {' '.join(map(str, q))}" for q in quads)]
    return "\n".join(lines) + "\n"


class World:
    """A folder with a config.yaml in which the user's command runs."""

    def __init__(self, folder: Path, config: Path = TINY, root: Path = ROOT):
        self.folder, self.root = folder, root
        folder.mkdir(parents=True, exist_ok=True)
        if config != folder / "config.yaml":
            shutil.copy(config, folder / "config.yaml")

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def said(self) -> Path:
        """What the last command of `run_and_kill` has said."""
        return self.folder / "said.txt"

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        """The user's command; the profile is named because the folder is not the repository."""
        return [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(self.root / "Snakefile"),
            "--cores",
            str(cores),
            "--workflow-profile",
            str(self.root / "profiles" / "default"),
            *arguments,
        ]

    def run(self, *arguments: str, cores: int = 2, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it; the output of a failure is in the assertion."""
        done = self._module(self.command(*arguments, cores=cores)[2:])
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-6000:]
        return done

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``python -m ...`` with the project's packages."""
        assert arguments[0] == "-m"
        return self._module(arguments[1:])

    def _module(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.root), "PYTHONWARNINGS": ""}
        if self.root == ROOT:
            return run_module(words, self.folder, environment)
        return subprocess.run(  # the code of another place
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def progress(self) -> int:
        """How far the DAG is: published files, and what the trainers have logged, which counts three times."""
        files = sum(not path.name.startswith(".") for path in below(self.results))
        return files + 3 * self.logged()

    def logged(self) -> int:
        """Lines that the trainers have logged."""
        return sum(path.read_bytes().count(b"\n") for path in self.results.glob("runs/*/metrics.jsonl"))

    def run_and_kill(
        self,
        progress: int,
        seconds: float,
        number: int = signal.SIGKILL,
        cores: int = 2,
        *,
        alone: bool = False,
        targets: Sequence[str] = (),
        logged: int = 0,
    ) -> str:
        """Start the command; when it is that far, send its whole process group a signal, or the command alone.

        That far is `progress`, and so many lines `logged`.  While it makes data, `seconds` later; a training is
        short, and hit at once.
        Returns what was killed: ``"training"``, ``"data"``, or nothing for a run that had ended.
        """
        began = time.time()
        with open(self.said, "wb") as said:
            process = subprocess.Popen(
                self.command(*targets, cores=cores),
                cwd=self.folder,
                start_new_session=True,
                stdout=said,
                stderr=said,
            )
        while process.poll() is None and (
            self.progress() < progress or self.logged() < logged or self.training(before=began)
        ):
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0 if self.training() else seconds)
        if process.returncode is not None:
            last = self.said.read_text(encoding="utf-8", errors="replace")[-4000:]
            assert process.returncode == 0, f"the command failed after progress {self.progress()}:\n{last}"
            return ""
        (os.kill if alone else os.killpg)(process.pid, number)
        process.wait()
        return "training" if self.training() else "data"

    def training(self, before: float = math.inf) -> bool:
        """Whether a training has begun and not ended, and has not logged anything since then."""
        logs = [path for path in self.results.glob("runs/*/metrics.jsonl") if not path.with_name("train.json").exists()]
        return any(path.stat().st_mtime < before for path in logs)

    def killed_at(self, moments: list[tuple[int, float]], cores: int = 2) -> list[str]:
        """`run_and_kill` at every (progress, seconds) in turn, then the command once more, to its end.

        Every second time the command is killed alone, and what it has started lives on for a while.
        """
        killed = [self.run_and_kill(*moment, cores=cores, alone=turn % 2 == 1) for turn, moment in enumerate(moments)]
        self.run_and_kill(0, 5.0, signal.SIGINT, cores)  # and Ctrl-C, wherever that is
        self.run(cores=cores)
        return killed

    def planned(self, *targets: str) -> dict[str, int]:
        """Rules that would run and how many jobs each has; targets without commands are left out."""
        done = self.run("-n", *targets)
        text = done.stdout + done.stderr
        table = re.search(r"^job\s+count\n[-\s]+\n(.*?)^total\s", text, re.MULTILINE | re.DOTALL)
        rows = re.findall(r"^(\w+)\s+(\d+)$", table.group(1), re.MULTILINE) if table else []
        plain = {"all", "samples"}
        return {rule: int(count) for rule, count in rows if not rule.endswith("_all") and rule not in plain}

    def edit(self, **sections: object) -> None:
        """Change top-level sections of config.yaml; a dict is merged into its section."""
        path = self.folder / "config.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, change in sections.items():
            values[name] = _merged(values.get(name), change)
        path.write_text(yaml.safe_dump(values), encoding="utf-8")


def below(folder: Path) -> Iterator[Path]:
    """Files and folders below one in which others work; a folder that has just got its final name is passed over."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def seeded_moments(seed: int, count: int, length: int) -> list[tuple[int, float]]:
    """Moments to kill a run of this length at, in its order: (progress, seconds after that)."""
    random = generator(seed, "kills")
    return sorted(zip(random.integers(1, length, count).tolist(), random.uniform(0, 1.5, count).tolist()))


def lasting_digests(results: Path) -> dict[str, str]:
    """SHA-256 of every file that must not depend on cores, machines or interruptions."""
    patterns = (
        "index/*/*",
        "clusters/*",
        "prepared/*/*",
        "voxels/*/*",
        "renders/*/*",
        "shards/*/*",
        "ledger/*",
        "audits/*",
        "runs/*/metrics.jsonl",
        "runs/*/config.json",
        "runs/*/train.json",
        "runs/*/results.json",
        "runs/*/checkpoints/**/*.safetensors",
    )
    paths = sorted({path for pattern in patterns for path in results.glob(pattern) if path.is_file()})
    return {str(path.relative_to(results)): digest(path) for path in paths}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _merged(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
