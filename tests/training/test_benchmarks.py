"""The benchmark commands work; what they measure is for a quiet machine, or for one with a GPU."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from benchmarks.trainer import __main__ as trainer
from benchmarks.trainer import busy
from benchmarks.trainer import gpu as trainer_gpu


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here: `make bench-gpu` measures it")
def test_the_gpu_benchmark_runs_anywhere_and_says_what_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert trainer_gpu.main(["--width", "0.0625", "--share", "0.02", "--steps", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("NO GPU FIGURES") and said.count("| float32 |") == len(trainer_gpu.CASES) == 4
    assert "12 views in one pass" in said


def test_flops_are_those_of_the_layers() -> None:
    """A convolution of 8 channels to 16, kernel 3, on 10 x 10: 2 * 8 * 9 * 16 * 64 multiplications and additions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, trainer_gpu.Traffic() as traffic:
        torch.nn.functional.conv2d(torch.zeros(1, 8, 10, 10), torch.zeros(16, 8, 3, 3))
    assert counter.get_total_flops() == 2 * 8 * 9 * 16 * 64
    assert traffic.bytes >= 4 * (800 + 16 * 72 + 16 * 64)


def test_the_benchmark_fills_its_tables(tmp_path: Path) -> None:
    document = tmp_path / "training.md"
    document.write_text("before\n<!-- update: begin -->\nold\n<!-- update: end -->\nafter\n")
    trainer.fill(document, "update", "new")
    trainer.fill(document, "absent", "never")
    assert document.read_text() == "before\n<!-- update: begin -->\nnew\n<!-- update: end -->\nafter\n"


def test_a_worker_says_the_digest_of_its_weights_and_then_its_speed() -> None:
    answers = io.StringIO()
    busy.work(1, io.StringIO("0.001\n"), answers)
    digest, rate = answers.getvalue().split()
    assert len(digest) == 64 and float(rate) > 0
