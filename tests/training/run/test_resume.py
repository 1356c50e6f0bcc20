"""Killed, terminated or stopped at seeded points, a training ends with the bits of one that nothing interrupted."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.seeds import generator
from tests.processes import start
from tests.training.processes import train
from tests.training.tiny_world import settings
from training.loop import training_loop
from training.networks import checkpoint
from training.run.average import MovingAverage
from training.run.files import Metrics
from training.run.phases import CodeStep
from training.run.step import Step
from training.run.timeline import Timeline

# Ten points of each kind; `make test` takes two of them.
CAMPAIGN = (pytest.mark.slow, pytest.mark.campaign)
POINTS = [*range(2), *(pytest.param(seed, marks=CAMPAIGN) for seed in range(2, 10))]
# Four updates in each phase: points fall into all of them and between them.
THREE_PHASES = settings(warm_start={"autoencode": 0.34, "encode": 0.34})
# Where a process may die: in a step, after it, while a checkpoint, a line or a picture is written or published.
PLACES: list[tuple[Any, str]] = [
    (Step, "__call__"),
    (CodeStep, "__call__"),
    (MovingAverage, "update"),
    (checkpoint, "save_file"),
    (os, "replace"),
    (Metrics, "_append"),
    (Timeline, "write"),
]


def watch(run: Path, reached: Callable[[int], None]) -> None:
    """From now on in this process: call ``reached(n)`` before and after the calls of all `PLACES`, counted together.

    Each number comes exactly once.  Files beside the run do not count: whether the digests of code are kept on disk
    depends on who asked for them before.
    """
    numbers = itertools.count()

    def counting(original: Any) -> Any:
        def called(*arguments: Any, **more: Any) -> Any:
            if original is replace and run not in Path(arguments[1]).parents:
                return original(*arguments, **more)
            reached(next(numbers))
            result = original(*arguments, **more)
            reached(next(numbers))
            return result

        return called

    replace = os.replace
    for owner, name in PLACES:
        setattr(owner, name, counting(getattr(owner, name)))


def train_and_die(run: Path, boxes: Path, at: int, number: signal.Signals) -> None:
    """In a process of its own: send itself a signal at point `at`."""
    steps = 0

    def reached(point: int) -> None:
        if point == at:
            (run.parent / "signalled").write_text(str(steps))
            os.kill(os.getpid(), number)

    def counting(original: Any) -> Any:
        def counted(self: Step, batch: Any, step: int) -> Any:
            nonlocal steps
            steps = step + 1
            return original(self, batch, step)

        return counted

    for kind in (Step, CodeStep):
        kind.__call__ = counting(kind.__call__)  # type: ignore[method-assign]
    watch(run, reached)
    train(THREE_PHASES, run, [boxes])


def train_and_count(run: Path, boxes: Path, count_file: Path) -> None:
    """In a process of its own: how many points a whole training has."""
    points: list[int] = []
    watch(run, points.append)
    train(THREE_PHASES, run, [boxes])
    assert points == list(range(len(points)))
    count_file.write_text(str(len(points)))


def files(run: Path) -> dict[str, bytes]:
    """What a run has come to; only timing belongs to its history."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("timing.jsonl", ".run.lock") and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def unbroken(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    process = start(train_and_count, run, boxes, run.with_name("points"))
    process.join()
    assert process.exitcode == 0
    return run


def require_the_same(run: Path, unbroken: Path) -> None:
    wanted, found = files(unbroken), files(run)
    assert len(wanted) == 11 and found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.parametrize("seed", POINTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_a_signal_at_a_seeded_point(
    number: signal.Signals, seed: int, boxes: Path, unbroken: Path, tmp_path: Path
) -> None:
    points = int(unbroken.with_name("points").read_text())
    run, at = tmp_path / "run", int(generator(seed, "point", number.name).integers(0, points))
    run.mkdir()
    process = start(train_and_die, run, boxes, at, number)
    process.join()
    steps = int((tmp_path / "signalled").read_text())
    if number == signal.SIGKILL:
        assert process.exitcode == -signal.SIGKILL
    elif process.exitcode == 143:  # before the loop begins nothing is lost by dying at once
        # It saves after the step that it is in: nothing between the signal and the file can take long.
        saved = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["samples"] if steps > 1 else 0
        newest = max((run / "checkpoints").glob("0*.safetensors"))
        assert checkpoint.read_header(newest).samples in (8 * steps, 8 * (steps + 1)) and saved <= 8 * (steps + 1)
    training_loop(THREE_PHASES, run, [boxes])
    require_the_same(run, unbroken)


@pytest.mark.parametrize("seed", POINTS)
def test_a_normal_stop_at_a_seeded_point(seed: int, boxes: Path, unbroken: Path, tmp_path: Path) -> None:
    for stop in sorted(generator(seed, "stop").integers(1, 12, 2)):
        training_loop(THREE_PHASES, tmp_path, [boxes], stop_after=8 * int(stop))
    training_loop(THREE_PHASES, tmp_path, [boxes])
    require_the_same(tmp_path, unbroken)


class _Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("place", ["mark_best", "prune"])
def test_what_follows_a_checkpoint_is_made_up_for(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Killed between a checkpoint and its mark as the best, or the removal of older ones."""
    original, calls = getattr(checkpoint.Folder, place), [0]

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        return original(*arguments)

    monkeypatch.setattr(checkpoint.Folder, place, counted)
    training_loop(settings(), tmp_path / "whole", [boxes])
    last, calls[0] = calls[0], 0

    def killed(*arguments: Any) -> Any:
        if calls[0] == last - 1:
            raise _Killed
        return counted(*arguments)

    monkeypatch.setattr(checkpoint.Folder, place, killed)
    with pytest.raises(_Killed):
        training_loop(settings(), tmp_path / "cut", [boxes])
    monkeypatch.setattr(checkpoint.Folder, place, original)
    training_loop(settings(), tmp_path / "cut", [boxes])
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


@pytest.mark.parametrize("removed", ["best.safetensors", "all but the newest", "all"])
def test_a_network_that_was_removed_is_trained_again(boxes: Path, tmp_path: Path, removed: str) -> None:
    """The best checkpoint is copied from its numbered one, or made again from before it; the rest is as it was."""
    run = tmp_path / "run"
    training_loop(settings(), run, [boxes])
    before, names = files(run), sorted(path.name for path in (run / "checkpoints").iterdir())
    gone = names if removed == "all" else [*names[:-2], names[-1]] if removed != names[-1] else [removed]
    for name in gone:
        (run / "checkpoints" / name).unlink()
    training_loop(settings(), run, [boxes])
    assert files(run) == before
