"""Runs the real Snakefile on the tiny world; shared by the workflow tests."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "tests" / "tiny" / "config.yaml"


class World:
    """A folder with a config.yaml in which the user's command runs."""

    def __init__(self, folder: Path, config: Path = TINY):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(config, folder / "config.yaml")

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def command(self, *arguments: str, cores: int = 2) -> list[str]:
        """The user's command; the profile is named because the folder is not the repository."""
        return [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(cores),
            "--workflow-profile", str(ROOT / "profiles" / "default"), *arguments,
        ]  # fmt: skip

    def run(self, *arguments: str, cores: int = 2, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it; the output of a failure is in the assertion."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"}
        done = subprocess.run(self.command(*arguments, cores=cores), cwd=self.folder, env=environment,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-6000:]
        return done

    def run_and_kill(self, seconds: float) -> bool:
        """Start the command and kill its whole process group after `seconds`; True if it had already ended."""
        process = subprocess.Popen(self.command(), cwd=self.folder, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            return process.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False

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


def lasting_digests(results: Path) -> dict[str, str]:
    """SHA-256 of every file that must not depend on cores, machines or interruptions."""
    patterns = ("index/*/*", "prepared/*/*", "voxels/*/*", "renders/*/*", "shards/*/*", "ledger/*", "audits/*",
                "runs/*/metrics.jsonl", "runs/*/*.json", "runs/*/checkpoints/**/*.safetensors")  # fmt: skip
    paths = sorted({path for pattern in patterns for path in results.glob(pattern) if path.is_file()})
    return {str(path.relative_to(results)): digest(path) for path in paths}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _merged(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
