"""A command ends when its workflow dies, also with a shell between them, and the next one goes on at once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import parent, runlock
from tests.measures import modules
from tests.training.tiny_world import settings, write_world
from tests.world import ROOT
from training.networks import checkpoint

# As Snakemake does: say who waits, start bash, and bash starts the command.
STARTER = """
import os, subprocess, sys
from pipeline import parent
os.environ[parent.VARIABLE] = parent.announcement()
print(os.getpid(), flush=True)
sys.exit(subprocess.run(["bash", "-c", "trap : TERM HUP USR1; " + sys.argv[1]]).returncode)
"""
SLEEPER = """
import os, sys, time
from pathlib import Path
from pipeline.errors import run_command
def main():
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
sys.exit(run_command(main))
"""


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def wait_for(path: Path) -> int:
    while not path.exists() or not path.read_text():
        time.sleep(0.02)
    return int(path.read_text())


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    return write_world(tmp_path / "boxes")


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    return f"{sys.executable} {tmp_path}/sleeper.py {tmp_path}/pid"


def start(command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, command],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["kill -9", "lost terminal"])
def test_a_command_ends_with_its_workflow(number: signal.Signals, sleeper: str, tmp_path: Path) -> None:
    workflow = start(sleeper)
    command = wait_for(tmp_path / "pid")
    workflow.send_signal(number)
    workflow.wait()
    while alive(command):
        time.sleep(0.02)


def test_a_command_whose_workflow_is_gone_already_does_not_begin(sleeper: str) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), parent.VARIABLE: f"{gone.pid}@{parent.process_table()}"}
    assert subprocess.run(sleeper.split(), cwd=ROOT, env=environment, check=False).returncode == -signal.SIGTERM


@pytest.mark.parametrize("value", ["", "nonsense", "1@00000000", f"x@{parent.process_table()}"])
def test_who_starts_a_command_by_hand_or_elsewhere_may_leave(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(parent.VARIABLE, value)
    watchers: list[dict[str, object]] = []
    monkeypatch.setattr(parent.threading, "Thread", lambda **how: watchers.append(how))
    parent.watch()
    assert watchers == []


def test_every_command_line_is_watched() -> None:
    """All commands pass `run_command`, which begins with it."""
    mains = [path for path in modules() if path.name == "__main__.py" and "benchmarks" not in path.parts]
    texts = {path.parent.name: path.read_text(encoding="utf-8") for path in mains}
    texts["training"] = (ROOT / "training" / "command" / "train.py").read_text(encoding="utf-8")
    assert len(texts) >= 5 and [name for name, text in texts.items() if "run_command(" not in text] == []


def test_the_rules_say_who_waits() -> None:
    text = (ROOT / "pipeline" / "rules" / "common.smk").read_text(encoding="utf-8")
    assert "export {parent.VARIABLE}={shlex.quote(parent.announcement())}; " in text


def test_a_trainer_saves_when_its_workflow_dies_and_the_next_goes_on_at_once(boxes: Path, tmp_path: Path) -> None:
    """kill -9 of the workflow: the trainer behind the shell writes a checkpoint, ends, and leaves the lock."""
    run = tmp_path / "run"
    words = ["train", "--settings", settings(samples=8000, checkpoint_every=8000).model_dump_json()]
    words += ["--shards", str(boxes), "--run", str(run)]
    workflow = start(shlex.join([sys.executable, "-m", "training", *words]))
    while not (run / "metrics.jsonl").exists():
        time.sleep(0.02)
    workflow.kill()
    workflow.wait()
    runlock.hold(run, patience_s=runlock.PATIENCE_S)  # what the next command does first
    newest = max((run / "checkpoints").glob("0*.safetensors"))
    assert 0 < checkpoint.read_header(newest).samples < 8000
