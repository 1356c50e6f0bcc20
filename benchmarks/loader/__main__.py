"""``python -m benchmarks.loader``: this project's loader beside its peers, in one run; writes docs/loader.md.

Peers take turns in every round, so that a busy moment of the machine hits all of them alike;
the table shows medians over the rounds and the best number of workers of each peer.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.loader import bytes as loader_bytes
from benchmarks.loader import mds as loader_mds
from benchmarks.loader.peers import BOUND, MDS, MDS_PEER, PEERS, QUALITY, Case, World, write_peers
from pipeline.manifest import Record
from pipeline.pictures.bank import composite, resize, write_bank
from pipeline.pictures.camera import look_at_origin
from pipeline.progress import say
from pipeline.seeds import generator
from pipeline.shards import create, open_shard, verify_shard
from pipeline.shards.index import read_index, write_index
from training.data.batches import to_device
from training.data.loader import Loader
from training.data.sampler import Sampler
from training.data.shapes import ShapeData

CASES = (Case(128, 1), Case(32, 12))
OUT = Path(__file__).resolve().parents[2] / "docs" / "loader.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__)
    parser.add_argument("--shards", type=Path, help="index.json of composite shards; default: made-up pictures")
    parser.add_argument("--bank", type=Path, help="the bank of --shards, for the figures on layers")
    packs = sorted(Path("results/prepared").glob("*/000.zip"))
    parser.add_argument(
        "--prepared",
        type=Path,
        nargs="*",
        default=packs,
        metavar="PACK",
        help="packs to measure bytes on; default: those of `make demo`",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of every measurement")
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        without_mds = loader_mds.provide(Path(name) / "streaming")
        if without_mds is not None:
            say(f"{MDS} is left out: {without_mds}")
        world, layers, bank = _world(Path(name), arguments.shards, arguments.bank, mds=without_mds is None)
        peers = {**PEERS, **({MDS: MDS_PEER} if without_mds is None else {})}
        rates = {case: _measure(world, case, peers, arguments.rounds, arguments.seconds) for case in CASES}
        facts = _facts(world, layers, bank)
        facts.update(_on_accelerator(world, arguments.seconds))
    sizes = loader_bytes.lines(arguments.prepared)
    arguments.output.write_text(_page(world, rates, facts, load, without_mds, sizes), encoding="utf-8")
    say(f"wrote {arguments.output}")
    return 0


def _measure(world: World, case: Case, peers: dict[str, Any], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images a second of every peer: the best of its settings in each round."""
    rates: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds):
        for name, settings in peers.items():
            best = max(_rate(make(world, case, setting), case, seconds) for make, setting in settings)
            rates[name].append(best)
            say(f"round {number + 1}, {case.batch} x {case.views}: {name}: {best:,.0f} images/s")
    return rates


def _rate(batches: Any, case: Case, seconds: float) -> float:
    for _ in range(3):
        next(batches)
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        done += case.images
    del batches
    return done / elapsed


def _world(folder: Path, index: Path | None, bank: Path | None, *, mds: bool) -> tuple[World, Path, Path]:
    """Every peer's copy of the training shapes of `index`, or of made-up ones; also as shards in layers."""
    index, bank = (index, bank) if index and bank else _made_up(folder / "made-up")
    data = ShapeData.open([index], "train", tier="ram")
    pictures = data.pictures()
    assert pictures is not None
    world = World(folder, len(data), data.views, data.size_px)
    (folder / "shards").symlink_to(index.resolve().parent, target_is_directory=True)
    images = pictures.reshape(len(data), data.views, data.size_px, data.size_px, 3)
    write_peers(world, images, data.voxels_bits, mds=mds)
    return world, _as_layers(index, folder / "layers" / "0.h5", bank), bank


def _as_layers(index: Path, out: Path, bank: Path) -> Path:
    """The first shard in layers.  Composites cannot be taken apart, so colours are those of the composite."""
    with (
        open_shard(index.parent / read_index(index)["shards"][0]["file"]) as shard,
        create(
            out,
            "layers",
            count=len(shard),
            views=shard.views,
            size_px=shard.size_px,
            resolution=shard.resolution,
            attributes={},
        ) as layers,
    ):
        for row, record in enumerate(shard.records):
            arrays = {name: shard.array(name).row(row) for name in shard.fields if name != "placement"}
            alpha = arrays.pop("alpha")[..., None]
            rgba = np.concatenate([arrays.pop("images") * (alpha > 0), alpha], -1)
            layers.append(record, **arrays, rgba=rgba)
    return out


def _made_up(folder: Path, *, shapes: int = 256, views: int = 12, size_px: int = 128) -> tuple[Path, Path]:
    """Shards of smooth blobs before noisy pictures, which compress about as rooms do."""
    crops = np.stack([_noise(generator(1, "crop", n), size_px * 5 // 4) for n in range(64)])
    write_bank(folder / "bank.npz", crops, {"names": [str(n) for n in range(len(crops))]})
    poses = np.stack([look_at_origin(360 * view / views, 30, 1.5) for view in range(views)])
    cameras: dict[str, Any] = {"K": np.tile(np.eye(3), (views, 1, 1)), "camera_to_world": poses}
    cameras.update({name: np.zeros(views) for name in ("azimuth_deg", "elevation_deg", "distance", "roll_deg")})
    paths = [folder / "shards" / f"{number}.h5" for number in range(4)]
    for number, path in enumerate(paths):
        with create(
            path, "composite", count=shapes // 4, views=views, size_px=size_px, resolution=32, attributes={}
        ) as shard:
            for row in range(number * shapes // 4, (number + 1) * shapes // 4):
                rng = generator(1, "shape", row)
                ids, place = rng.integers(0, len(crops), views), int(rng.integers(0, size_px // 4))
                behind = crops[ids, place : place + size_px, place : place + size_px]
                rgba = np.stack([_blob(rng, size_px) for _ in range(views)])
                crop = np.tile(np.array([place, place, size_px, 0, 1], np.float32), (views, 1))
                shard.append(
                    Record(f"made-up/blob/{row:04d}", "blob", f"{row:04d}", "train"),
                    images=composite(rgba, behind),
                    alpha=rgba[..., 3],
                    background_id=ids,
                    voxels=rng.integers(0, 256, 4096, np.uint8),
                    background_crop=crop,
                    **cameras,
                )
    write_index(paths, folder / "shards" / "index.json")
    return folder / "shards" / "index.json", folder / "bank.npz"


def _noise(rng: np.random.Generator, size_px: int) -> Any:
    """(P, P, 3) uint8: octaves of smooth noise, each half as strong as the coarser one."""
    total = np.full((size_px, size_px, 3), 128.0)
    for octave in range(3, 8):
        noise = np.clip(rng.normal(128, 50, (2**octave, 2**octave, 3)), 0, 255).astype(np.uint8)
        total += (resize(noise, size_px) - 128.0) / 2 ** (octave - 3)
    return np.clip(total, 0, 255).astype(np.uint8)


def _blob(rng: np.random.Generator, size_px: int) -> Any:
    """(S, S, 4) uint8: a shaded ellipse with a soft edge."""
    row, column = np.meshgrid(*[np.linspace(-1, 1, size_px)] * 2, indexing="ij")
    radius = np.hypot(row / rng.uniform(0.3, 0.8), column / rng.uniform(0.3, 0.8))
    shade = np.clip(230 - 60 * radius + 25 * row, 0, 255)[..., None] * rng.uniform(0.4, 1, 3)
    alpha = np.clip((1 - radius) * size_px / 4, 0, 1) * 255
    return np.concatenate([shade * (alpha > 0)[..., None], alpha[..., None]], -1).astype(np.uint8)


def _facts(world: World, layers: Path, bank: Path) -> dict[str, float]:
    """Verification speed, start of layers, bytes a view."""
    shards = [world.index.parent / entry["file"] for entry in read_index(world.index)["shards"]]
    facts = {}
    compared, start = 0, time.perf_counter()
    for path in shards * 3:
        with open_shard(path) as shard:
            compared += verify_shard(shard, threads=2)
    facts["verify_gb_s"] = compared / (time.perf_counter() - start) / 1e9
    write_index([layers], layers.parent / "index.json")
    start = time.perf_counter()
    data = ShapeData.open([layers.parent / "index.json"], "train", bank=bank, threads=2)
    facts["layers_ms"] = (time.perf_counter() - start) * 1e3 / (len(data) * data.views)
    with open_shard(layers) as shard:
        facts["layers_bytes"] = shard.array("rgba").stored_bytes / (len(shard) * shard.views)
    facts["composite_bytes"] = 3 * world.size_px**2
    facts["jpeg_bytes"] = (world.folder / "webdataset-all.tar").stat().st_size / (world.shapes * world.views)
    return facts


def _on_accelerator(world: World, seconds: float) -> dict[str, float]:
    """Images a second, resident and from RAM, and the share of time that a busy trainer waits."""
    facts: dict[str, float] = {}
    if not torch.cuda.is_available():
        return facts
    data = ShapeData.open([world.index], "train", tier="ram")
    for name, resident in (("resident", True), ("pinned", False)):
        loader = Loader(data, Sampler(len(data), CASES[0].batch, 1), device="cuda", resident=resident)

        def inputs(loader: Loader = loader) -> Iterator[None]:
            for _, batch in loader:
                to_device(batch, "cuda")
                torch.cuda.synchronize()
                yield

        facts[f"cuda_{name}"] = _rate(inputs(), CASES[0], seconds)
        work, end = torch.randn(4096, 4096, device="cuda"), time.perf_counter() + seconds
        waited, start = loader.waited_s, time.perf_counter()
        for _ in inputs():
            for _ in range(2):
                work = (work @ work).clamp(-1, 1)
            torch.cuda.synchronize()
            if time.perf_counter() > end:
                break
        facts[f"cuda_{name}_waits"] = (loader.waited_s - waited) / (time.perf_counter() - start)
    return facts


def _accelerator_lines(facts: dict[str, float]) -> list[str]:
    if "cuda_resident" not in facts:
        return ["| on an accelerator | not measured: none here; the same command prints it where there is one |"]
    return [
        f"| {torch.cuda.get_device_name()}, {text}, to floats on the device | {facts[f'cuda_{name}']:,.0f} images/s; "
        f"a trainer of two 4096^2 matrix products a step waits {facts[f'cuda_{name}_waits']:.1%} of its time |"
        for name, text in (("resident", "pictures resident"), ("pinned", "pictures in RAM, pinned buffers"))
    ]


def _busy(load: float) -> str:
    if load < 0.5 * (os.cpu_count() or 1):
        return "nothing else was running"
    return "other work took its share of the cores: ratios hold, rates are lower than on an idle machine"


def _page(
    world: World,
    rates: dict[Case, dict[str, list[float]]],
    facts: dict[str, float],
    load: float,
    without_mds: str | None,
    sizes: list[str],
) -> str:
    one, many = CASES
    lines = [
        "# How fast shards are read",
        "",
        "Made by `python -m benchmarks.loader` (`make bench`), all in one run, warm cache, "
        f"{world.shapes} shapes x {world.views} views of {world.size_px} px, "
        f"{os.cpu_count()} cores ({platform.machine()}), PyTorch {torch.__version__}. "
        f"Peers with worker processes or threads ran with 0 and 2 of them and show the better. "
        f"Medians of {len(next(iter(rates[one].values())))} rounds; in brackets how many times slower "
        "than this loader with pictures in RAM. "
        f"Load average of the machine before the run: {load:.1f}, so {_busy(load)}.",
        "",
        f"| loader | samples/s, batch {one.batch} x 1 view | images/s, batch {many.batch} x {many.views} views |",
        "|---|---|---|",
    ]
    middle = {case: {name: statistics.median(found) for name, found in rates[case].items()} for case in CASES}
    own = {case: middle[case]["this loader, pictures in RAM"] for case in CASES}
    shares = [own[case] / middle[case][BOUND] for case in CASES]
    for name in middle[one]:
        cells = [f"{middle[case][name]:,.0f} ({own[case] / middle[case][name]:.1f})" for case in CASES]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    lines += [
        "",
        "| other figures | |",
        "|---|---|",
        f"| share of the bound that this loader reaches, pictures in RAM | {shares[0]:.2f}, {shares[1]:.2f} |",
        f"| full verification, 2 threads | {facts['verify_gb_s']:.2f} GB/s of decoded bytes |",
        f"| `layers`: start (inflate, compare, composite; 2 threads) | {facts['layers_ms']:.2f} ms a picture |",
        f"| `layers`: bytes a view | {facts['layers_bytes']:,.0f} |",
        f"| `composite`: bytes a view | {facts['composite_bytes']:,.0f} |",
        f"| the peers' JPEG of quality {QUALITY}: bytes a view, with its tar header | {facts['jpeg_bytes']:,.0f} |",
        *sizes,
        *_accelerator_lines(facts),
        "",
        "The bound is `index_select` of pictures, voxels and labels for the same shapes and views, with 1 and 2 "
        "threads of PyTorch, into buffers that stay in the cache; the loader also makes its choices, and hands over "
        "memory that the trainer may keep until its next batch. While the trainer does nothing but ask, its thread "
        "makes every second batch.",
        "",
        *([] if without_mds is None else [f"{MDS} is left out: {without_mds}.", ""]),
        "After the start, `layers` are read from RAM like composites: the first table holds for them too.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
