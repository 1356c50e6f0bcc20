"""The bar's rate and remaining time, by a clock of the test."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pipeline.progress import Log
from training.show import display
from training.show.display import Display


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 100.0
        monkeypatch.setattr(display.time, "monotonic", lambda: self.now)  # type: ignore[attr-defined]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_rate_is_that_of_the_last_minute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slow quarter of an hour is forgotten a minute after it, on the bar and in the log; so are roll-backs."""
    clock, terminal = Clock(monkeypatch), Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Log(tmp_path / "log.jsonl") as log, Display("x", 10, 100_000, 0, log) as shown:
        step = 0

        def train(seconds: float, pace: int) -> None:
            nonlocal step
            for _ in range(round(seconds * pace)):
                step, clock.now = step + 1, clock.now + 1 / pace
                shown.advance(step, {})

        train(900, 2)
        assert shown.rate == pytest.approx(20)
        train(30, 20)
        assert shown.rate == pytest.approx(110, rel=0.05)
        train(31, 20)
        assert shown.rate == pytest.approx(200)
        assert shown.eta_s == pytest.approx((100_000 - step) * 10 / 200)
        shown._bar.refresh()
        assert "200sample/s" in terminal.getvalue().rsplit("\r", 1)[-1]
        shown.rewind(100, "not finite")
        step = 100
        train(5, 4)
        assert shown.rate == pytest.approx(40)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    paces = [line["samples_per_s"] for line in lines if line["event"] == "progress"]
    assert paces[0] == pytest.approx(20) and paces[-1] == pytest.approx(200, rel=0.1)


def test_a_long_validation_belongs_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with Display("x", 10, 1000, 5, Log(None), quiet=True) as shown:
        assert shown.rate == 0
        clock.now += 300
        shown.advance(11, {})
        assert shown.rate == pytest.approx(60 / 300)
