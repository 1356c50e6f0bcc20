"""``python -m benchmarks.trainer``: this project's update beside the usual one, in one run.

Both take turns in every round, so that a busy moment of the machine hits them alike; the table
shows medians over the rounds, in samples per second of wall time and of processor time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.trainer_peers import PlainStep
from pipeline.settings.training import Experiment
from training.data_device import Inputs
from training.networks import Networks
from training.step import Step

LATENT = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="updates a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=float, default=0.25, help="of 256, 128, 64, 32, 1")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    print("| batch | loop | samples/s | per processor second | times |\n|---|---|---|---|---|")
    for batch in (32, 8):
        wall, processor = compare(batch, options.width, options.rounds, options.steps)
        for name in wall:
            print(
                f"| {batch} | {name} | {wall[name]:.1f} | {processor[name]:.1f} | {wall[name] / wall['as usual']:.2f} |"
            )
    return 0


def compare(batch: int, width: float, rounds: int, steps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Samples per second of both loops and of the demo's, by wall and by processor time."""
    source = torch.Generator().manual_seed(1)
    images = torch.rand(batch, 3, 64, 64, generator=source) * 2 - 1
    voxels = (torch.rand(batch, 1, 32, 32, 32, generator=source) < 0.1).float()
    plain = PlainStep(LATENT, round(32 * width))
    loops: dict[str, Callable[[int], object]] = {
        "as usual": lambda _: plain(images, voxels),
        "here, the same work": _ours(images, voxels, width, 1),
        "here, the game in every fourth step": _ours(images, voxels, width, 4),
    }
    wall: dict[str, list[float]] = {name: [] for name in loops}
    processor: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            for step in range(steps):
                loop(step)
            if number:  # the first round warms up
                wall[name].append(batch * steps / (time.perf_counter() - start))
                processor[name].append(batch * steps / (time.process_time() - start_cpu))
    return (
        {name: statistics.median(values) for name, values in wall.items()},
        {name: statistics.median(values) for name, values in processor.items()},
    )


def _ours(images: Tensor, voxels: Tensor, width: float, every: int) -> Callable[[int], object]:
    settings = Experiment(
        datasets=("made up",),
        width=width,
        adversarial="bce",
        spectral_norm=False,
        discriminator_norm=True,
        adversarial_every=every,
    )
    step = Step(settings, Networks(settings, size_px=64, resolution=32).train())
    batch: Inputs = {"images": images[:, None], "voxels": voxels}
    return lambda number: step(batch, number)


if __name__ == "__main__":
    raise SystemExit(main())
