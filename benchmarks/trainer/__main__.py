"""``python -m benchmarks.trainer``: the update beside the usual one, in one run; fills the tables of docs/training.md.

All candidates take turns in every round, so that a busy moment of the machine hits them alike;
the tables show medians over the rounds.  Ratios are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from benchmarks.trainer.peers import PlainStep
from pipeline.settings.training import Experiment
from training.data.batches import Inputs
from training.networks.build import Networks
from training.networks.checkpoint import Header
from training.run.average import MovingAverage
from training.run.checkpoints import save
from training.run.step import Step

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "training.md"
LATENT, SIZE_PX, RESOLUTION, VIEWS = 200, 64, 32, 12
Loops = dict[str, Callable[[int], object]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="updates a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=float, default=0.25, help="of 256, 128, 64, 32, 1")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 8])
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="document whose marked tables are replaced")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    sections = {
        "update": _update_table(options.batches, options.width, options.rounds, options.steps),
        "views": _views_table(options.width, options.rounds),
        "layout": _layout_table(options.batches[0], options.width, options.rounds, options.steps),
        "stop": _stop_table(options.width),
    }
    where = f"`python -m benchmarks.trainer`, {options.threads} thread(s), {_machine()}, torch {torch.__version__}"
    for name, lines in sections.items():
        table = "\n".join([f"{where}, width {options.width} at {RESOLUTION}^3, {SIZE_PX} px:", "", *lines])
        print(f"\n{table}")
        fill(options.output, name, table)
    return 0


def fill(document: Path, name: str, table: str) -> None:
    """Replace what stands between ``<!-- name: begin -->`` and ``<!-- name: end -->``."""
    text = document.read_text(encoding="utf-8")
    marks = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.S)
    document.write_text(marks.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text), encoding="utf-8")


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


def rounds_of(loops: Loops, rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds of wall time that `steps` calls took, each loop in each round; a first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            start = time.perf_counter()
            for step in range(steps):
                loop(step)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def times(seconds: dict[str, list[float]], base: str, name: str) -> float:
    """How many times as fast as `base`: the median over the rounds."""
    return statistics.median(b / s for b, s in zip(seconds[base], seconds[name], strict=True))


def _update_table(batches: Sequence[int], width: float, rounds: int, steps: int) -> list[str]:
    lines = ["| batch | loop | samples/s | times | wanted |", "|---|---|---|---|---|"]
    for batch in batches:
        images, voxels = _data(batch)
        plain = PlainStep(LATENT, round(32 * width))
        loops: Loops = {
            "as usual": lambda _, plain=plain, images=images, voxels=voxels: plain(images, voxels),  # type: ignore[misc]
            "here, the same work": _ours(images, voxels, width, 1),
            "here, the adversarial loss in every fourth step": _ours(images, voxels, width, 4),
        }
        seconds = rounds_of(loops, rounds, steps)
        wanted = {"here, the same work": "1.5" if batch >= 32 else "1.3"}
        for name in loops:
            rate = batch * steps / statistics.median(seconds[name])
            lines.append(
                f"| {batch} | {name} | {rate:.1f} | {times(seconds, 'as usual', name):.2f} | {wanted.get(name, '')} |"
            )
    return lines


def _views_table(width: float, rounds: int, batch: int = 4) -> list[str]:
    """The encoder's pass and backward pass over several views of each shape."""
    settings = _settings(width, 1)
    networks = Networks(settings, size_px=SIZE_PX, resolution=RESOLUTION).train()
    images = _data(batch * VIEWS)[0].reshape(batch, VIEWS, 3, SIZE_PX, SIZE_PX)

    def backward(codes: list[Tensor]) -> None:
        torch.autograd.backward(torch.cat(codes, 1).square().mean())
        networks.zero_grad(set_to_none=True)

    loops: Loops = {
        "once per view": lambda _: backward([networks.encode(images[:, v : v + 1])[0] for v in range(VIEWS)]),
        "all views in one batch": lambda _: backward([networks.encode(images)[0]]),
    }
    seconds = rounds_of(loops, rounds, 3)
    lines = [f"| {VIEWS} views of {batch} shapes through E and back | ms | times | wanted |", "|---|---|---|---|"]
    for name in loops:
        ms = 1000 * statistics.median(seconds[name]) / 3
        wanted = "1.3" if name.startswith("all") else ""
        lines.append(f"| {name} | {ms:.1f} | {times(seconds, 'once per view', name):.2f} | {wanted} |")
    return lines


def _layout_table(batch: int, width: float, rounds: int, steps: int) -> list[str]:
    """The same update with memory laid out channels last, or first, and in bf16."""
    images, voxels = _data(batch)

    def channels_first(number: int) -> object:
        with (
            mock.patch("training.networks.build.channels_last", Tensor.contiguous),
            mock.patch("training.networks.volumes.channels_last", Tensor.contiguous),
        ):
            return plain(number)

    plain = _ours(images, voxels, width, 1)
    loops: Loops = {
        "channels first": channels_first,
        "channels last (as it is)": _ours(images, voxels, width, 1),
        "bf16": _ours(images, voxels, width, 1, precision="bf16"),
    }
    seconds = rounds_of(loops, rounds, steps)
    lines = [f"| update of {batch} | samples/s | times |", "|---|---|---|"]
    for name in loops:
        rate = batch * steps / statistics.median(seconds[name])
        lines.append(f"| {name} | {rate:.1f} | {times(seconds, 'channels last (as it is)', name):.2f} |")
    return lines


def _stop_table(width: float) -> list[str]:
    """From a signal to a checkpoint on the disk: at worst one whole update and one save."""
    lines = ["| networks | last update, s | checkpoint, s | wanted, together |", "|---|---|---|---|"]
    for name, share, batch in (("as above", width, 16), ("the paper's channels at 32^3", 1.0, 16)):
        settings = _settings(share, 1)
        networks = Networks(settings, size_px=SIZE_PX, resolution=RESOLUTION).train()
        step, average = Step.of(settings, networks), MovingAverage(networks, 0.9)
        images, voxels = _data(batch)
        data: Inputs = {"images": images[:, None], "voxels": voxels}
        step(data, 0).numbers()
        start = time.perf_counter()
        step(data, 1).numbers()
        middle = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            header = Header("", settings.model_dump(mode="json"), SIZE_PX, RESOLUTION, [], 0, {})
            save(Path(folder) / "0.safetensors", header, networks, average, step.optimizers)
        lines.append(f"| {name} | {middle - start:.2f} | {time.perf_counter() - middle:.2f} | 5 |")
    return lines


def made_up(batch: int) -> Inputs:
    """Inputs of noise."""
    images, voxels = _data(batch)
    return {"images": images[:, None], "voxels": voxels}


def _data(batch: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    images = torch.rand(batch, 3, SIZE_PX, SIZE_PX, generator=source) * 2 - 1
    return images, (torch.rand(batch, 1, *(RESOLUTION,) * 3, generator=source) < 0.1).float()


def _settings(width: float, every: int, **changes: object) -> Experiment:
    return Experiment.model_validate(
        {
            "datasets": ("made up",),
            "width": width,
            "encoder_width": width,
            "adversarial": "bce",
            "spectral_norm": False,
            "discriminator_norm": True,
            "adversarial_every": every,
            "latent": LATENT,
            **changes,
        }
    )


def _ours(images: Tensor, voxels: Tensor, width: float, every: int, **changes: object) -> Callable[[int], object]:
    settings = _settings(width, every, **changes)
    networks = Networks(settings, size_px=SIZE_PX, resolution=RESOLUTION).train()
    step = Step.of(settings, networks)
    batch: Inputs = {"images": images[:, None], "voxels": voxels}
    return lambda number: step(batch, number).numbers()


if __name__ == "__main__":
    raise SystemExit(main())
