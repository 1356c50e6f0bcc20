"""``make bench-gpu``: the whole loop's speed beside what the device could do, on made-up shapes.

    python -m benchmarks.trainer.gpu                                       # on a GPU, full size
    python -m benchmarks.trainer.gpu --width 0.0625 --share 0.04 --steps 2  # anywhere, to see that it works

For each case: samples/s of loader, copy and update together; the time of one step beside the
roofline (Williams et al. 2009), the larger of FLOPs / peak arithmetic and bytes / peak bandwidth,
with both peaks measured here on a matrix product and a copy; the share of time that waits for
data; the most memory taken.  FLOPs are counted by torch's FlopCounterMode over one step.  Bytes
are what its operations read and write one by one: fused kernels move less, so the bytes' part is
an upper bound, and arithmetic alone is reported beside it.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from pipeline.manifest import Record
from pipeline.pictures.camera import look_at_origin
from pipeline.seeds import generator
from pipeline.settings.training import Experiment
from pipeline.shards import create
from pipeline.shards.index import write_index
from training.data.batches import Batch, Inputs, to_device
from training.data.loader import Loader
from training.data.sampler import Sampler
from training.data.shapes import ShapeData
from training.loop import LAG
from training.networks.build import Networks
from training.parallel import choose_device
from training.run.step import Step, Values, uses_bf16

VIEWS = 4


@dataclass(frozen=True)
class Case:
    """One line of the table; `wanted` in samples/s or, at 64^3, in shares of the arithmetic roofline."""

    name: str
    preset: str
    resolution: int
    size_px: int
    batch: int
    wanted: str


CASES = (
    Case("3D-GAN", "paper-3dgan", 32, 64, 128, "15,000 samples/s"),
    Case("3D-VAE-GAN", "paper-3dvaegan", 32, 128, 128, "5,000 samples/s"),
    Case("3D-GAN", "paper-3dgan", 64, 64, 100, "40 % of the arithmetic"),
    Case("3D-VAE-GAN", "paper-3dvaegan", 64, 128, 100, "40 % of the arithmetic"),
)


@dataclass(frozen=True)
class Peaks:
    """What the device does at best here."""

    flops: float  # per second, by matrix products in the networks' precision
    bytes: float  # per second, read and written by a copy


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, one by one; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not any(result.alias_info is not None and not result.alias_info.is_write for result in func._schema.returns):
            tensors = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, Tensor)]
            self.bytes += sum(one.numel() * one.element_size() for one in tensors)
        return out


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer.gpu", description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--steps", type=int, default=100, help="steps measured in each case, after a tenth to warm up")
    parser.add_argument("--width", type=float, default=1.0, help="of the paper's channels")
    parser.add_argument("--share", type=float, default=1.0, help="of the batches 128 and 100")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto")
    options = parser.parse_args(argv)
    device = choose_device(options.device)
    if device.type == "cuda":
        print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, compile {options.compile}")
    else:
        print("NO GPU FIGURES: there is no GPU here, so this shows only that the command works.")
    print(
        "| case | precision | samples/s | wanted | step, ms | roofline, ms | of it | of arithmetic | waits | memory |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        print(measure(case, device, options), flush=True)
    once, together = views_of_a_batch(device, options.width, max(1, round(32 * options.share)))
    print(f"\n12 views in one pass of E and back: {once / together:.1f} times as fast as once per view (wanted: 5)")
    return 0


def measure(case: Case, device: torch.device, options: argparse.Namespace) -> str:
    """One line of the table."""
    batch = max(2, round(case.batch * options.share))
    settings = Experiment(
        datasets=("made up",),
        preset=case.preset,  # type: ignore[arg-type]
        batch=batch,
        width=options.width,
        encoder_width=options.width,
        compile=options.compile,
    )
    bf16 = uses_bf16(settings.precision, device, case.resolution)
    with tempfile.TemporaryDirectory() as folder:
        data = ShapeData.open([made_up(Path(folder), case, shapes=2 * batch)], "train", tier="ram")
        networks = Networks(settings, size_px=case.size_px, resolution=case.resolution).on(device).train()
        step = Step.of(settings, networks)
        loader = Loader(data, Sampler(len(data), batch, settings.seed), device=device)
        flops, traffic = count(step, to_device(loader.batch(0), device))
        networks.compile_where_it_pays(settings.compile, penalised=False)
        reset_memory(device)
        elapsed, waited = run(loader, step, device, options.steps)
    per_step, peaks = elapsed / options.steps, peaks_of(device, bf16)
    arithmetic = flops / peaks.flops
    roofline = max(arithmetic, traffic / peaks.bytes)
    return (
        f"| {case.name}, {case.resolution}^3, batch {batch} | {'bf16' if bf16 else 'float32'} "
        f"| {batch / per_step:,.0f} | {case.wanted} | {1e3 * per_step:.2f} | {1e3 * roofline:.2f} "
        f"| {roofline / per_step:.0%} | {arithmetic / per_step:.0%} | {waited / elapsed:.1%} | {memory(device)} |"
    )


def count(step: Step, inputs: Inputs) -> tuple[float, float]:
    """FLOPs and bytes of one step in which D learns."""
    step.accuracy = 0.0
    with FlopCounterMode(display=False) as counter:
        step(inputs, 0).numbers()
    step.accuracy = 0.0
    with Traffic() as traffic:
        step(inputs, 1).numbers()
    return float(counter.get_total_flops()), float(traffic.bytes)


def run(loader: Loader, step: Step, device: torch.device, steps: int) -> tuple[float, float]:
    """Seconds that `steps` steps took, and seconds of them without a batch; numbers arrive late, as in the loop."""
    warm = max(2, steps // 10)
    pending: list[Values] = []
    start = waited = 0.0
    for number, batch in loader:
        if number == warm:
            synchronise(device)
            start, waited = time.perf_counter(), loader.waited_s
        if number == warm + steps:
            break
        pending.append(step(prepared(batch, device), number))
        while len(pending) > LAG[device.type]:
            pending.pop(0).numbers()
    synchronise(device)
    return time.perf_counter() - start, loader.waited_s - waited


def prepared(batch: Batch, device: torch.device) -> Inputs:
    return to_device(batch, device)


def peaks_of(device: torch.device, bf16: bool) -> Peaks:
    """Measured on the largest product and copy that a smaller device can hold too."""
    side = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if bf16 else torch.float32
    a = torch.ones(side, side, dtype=dtype, device=device)
    flops = 2 * side**3 / seconds_of(lambda: a @ a, device)
    numbers = torch.ones(2**28 if device.type == "cuda" else 2**24, device=device)
    return Peaks(flops, 8 * numbers.numel() / seconds_of(numbers.clone, device))


def seconds_of(act: Callable[[], object], device: torch.device, times: int = 5) -> float:
    """Of the fastest of several calls."""
    best = float("inf")
    for _ in range(times):
        synchronise(device)
        start = time.perf_counter()
        act()
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return best


def views_of_a_batch(device: torch.device, width: float, shapes: int, views: int = 12) -> tuple[float, float]:
    """Seconds of the encoder's two passes over 12 views of each shape: once per view, and all at once."""
    settings = Experiment(datasets=("made up",), encoder_width=width, width=width)
    networks = Networks(settings, size_px=64, resolution=32).to(device).train()
    images = torch.rand(shapes, views, 3, 64, 64, generator=torch.Generator().manual_seed(1)).to(device)

    def backward(codes: list[Tensor]) -> None:
        torch.autograd.backward(torch.cat(codes, 1).square().mean())
        networks.zero_grad(set_to_none=True)

    once = seconds_of(lambda: backward([networks.encode(images[:, v : v + 1])[0] for v in range(views)]), device)
    return once, seconds_of(lambda: backward([networks.encode(images)[0]]), device)


def made_up(folder: Path, case: Case, shapes: int) -> Path:
    """An index of shapes of noise: as many bytes as real ones, nothing to learn."""
    size, views = case.size_px, VIEWS
    fixed: dict[str, Any] = {
        "K": np.tile(np.eye(3), (views, 1, 1)),
        "camera_to_world": np.stack([look_at_origin(0.0, 0.0, 1.5)] * views),
        **{name: np.zeros(views) for name in ("azimuth_deg", "elevation_deg", "distance", "roll_deg")},
        "background_id": np.zeros(views, np.int32),
        "background_crop": np.zeros((views, 5)),
        "alpha": np.zeros((views, size, size), np.uint8),
    }
    path = folder / "0.h5"
    with create(
        path, "composite", count=shapes, views=views, size_px=size, resolution=case.resolution, attributes={}
    ) as shard:
        for row in range(shapes):
            rng = generator(1, "shape", row)
            voxels = np.packbits(rng.random(case.resolution**3) < 0.1)
            images = rng.integers(0, 256, (views, size, size, 3), np.uint8)
            shard.append(
                Record(f"made-up/noise/{row:05d}", "noise", str(row), "train"), images=images, voxels=voxels, **fixed
            )
    write_index([path], folder / "index.json")
    return folder / "index.json"


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory(device: torch.device) -> str:
    """The most taken: by tensors on a GPU, by the process on a CPU."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB of the process"


if __name__ == "__main__":
    raise SystemExit(main())
