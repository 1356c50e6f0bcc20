"""``python -m benchmarks.metrics``: the distances of all pairs beside their peers, in one run; writes docs/metrics.md.

This project's functions run on the full sets; peers, which would take hours, on a few shapes, and
their times are scaled by the number of pairs.  Only the table between the two marks of the page
is replaced.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numba import njit
from scipy.spatial import cKDTree
from sklearn.metrics import average_precision_score

from pipeline.conventions import Floats32
from pipeline.progress import say
from pipeline.seeds import generator
from training.metrics import alignment, generation
from training.metrics import voxels as metrics
from training.metrics.distances import chamfer_matrix, iou_matrix
from training.metrics.surfaces import points_of

OUT = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- benchmarks.metrics: begin -->", "<!-- benchmarks.metrics: end -->"
SIDE, POINTS = 32, 2048
Row = tuple[str, str, float, float]  # what, who, seconds, share of the pairs that was measured


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--iou-shapes", type=int, default=1000)
    parser.add_argument("--chamfer-shapes", type=int, default=500)
    parser.add_argument("--few", type=int, default=12, help="shapes of the peers' sets")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--output", type=Path, default=OUT)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    rows = [
        *iou_rows(options.iou_shapes, options.few, options.threads),
        *chamfer_rows(options.chamfer_shapes, options.few, options.threads),
        *alignment_rows(),
    ]
    text = table(rows, options, load)
    print(text)
    write(options.output, text)
    say(f"wrote {options.output}")
    return 0


def shapes(count: int, seed: int) -> metrics.Bits:
    """(count, 32^3) furniture-like shapes: a slab on four legs with a back, of all proportions."""
    out = np.zeros((count, SIDE, SIDE, SIDE), bool)
    for number, grid in enumerate(out):
        rng = generator(seed, "benchmark shape", number)
        w, d = rng.integers(5, 15, 2)
        seat, top, leg = int(rng.integers(4, 24)), int(rng.integers(24, 31)), int(rng.integers(1, 4))
        grid[16 - w : 16 + w, seat : seat + leg, 16 - d : 16 + d] = True
        for x in (16 - w, 16 + w - leg):
            for z in (16 - d, 16 + d - leg):
                grid[x : x + leg, 1:seat, z : z + leg] = True
        if number % 2:
            grid[16 - w : 16 + w, seat:top, 16 - d : 16 - d + leg] = True
    return out.reshape(count, -1)


def iou_rows(count: int, few: int, threads: int) -> list[Row]:
    """Everything that 1-NNA, COV and MMD by IoU need: three matrices."""
    packed = [np.packbits(shapes(count, seed), axis=1) for seed in (1, 2)]
    what = f"1-NNA, COV and MMD by IoU, {count:,} x {count:,} shapes at {SIDE}^3"

    def ours() -> None:
        sets = ((packed[0], packed[0]), (packed[0], packed[1]), (packed[1], packed[1]))
        pairs = generation.Pairs(*(1 - iou_matrix(one, other, threads=threads) for one, other in sets))
        for score in (generation.minimum_distances, generation.covered, generation.own_neighbours):
            score(pairs)

    def loop() -> None:
        grids = [np.unpackbits(bits[: 4 * few], axis=1).astype(bool) for bits in packed]
        for one in grids[0]:
            for other in grids[1]:
                _ = (one & other).sum() / (one | other).sum()

    def product() -> None:
        one, other = (torch.from_numpy(np.unpackbits(bits, axis=1)).float() for bits in packed)
        inside = one @ other.T
        _ = inside / (one.sum(1)[:, None] + other.sum(1)[None] - inside)

    iou_matrix(packed[0][:2], packed[1][:2])  # compiles
    return [
        (what, "here, packed bits", seconds(ours), 1),
        (what, "PyTorch, float matrix product", seconds(product), 1 / 3),
        (what, "NumPy, pair by pair", seconds(loop), (4 * few) ** 2 / (3 * count**2)),
    ]


def chamfer_rows(count: int, few: int, threads: int) -> list[Row]:
    """One matrix, both directions."""
    clouds = [points_of(shapes(count, seed), POINTS, seed, "benchmark") for seed in (1, 2)]
    what = f"Chamfer distance, {count} x {count} shapes of {POINTS:,} points"
    small = [cloud[:few] for cloud in clouds]
    share = few**2 / count**2
    chamfer_matrix(clouds[0][:2], clouds[1][:2], squared=True)  # compiles
    brute_force(clouds[0][0].T.copy(), clouds[1][0].T.copy())

    def ours() -> None:
        chamfer_matrix(clouds[0], clouds[1], squared=True, threads=threads)

    def trees() -> None:
        built = [[(cKDTree(points), points) for points in cloud] for cloud in small]
        for tree, points in built[0]:
            for other, theirs in built[1]:
                _ = np.square(other.query(points)[0]).mean() + np.square(tree.query(theirs)[0]).mean()

    def brute() -> None:
        flat = [[np.ascontiguousarray(points.T) for points in cloud] for cloud in small]
        for one in flat[0]:
            for other in flat[1]:
                _ = brute_force(one, other) + brute_force(other, one)

    def cdist() -> None:
        for one in torch.from_numpy(small[0]):
            for other in torch.from_numpy(small[1]):
                between = torch.cdist(one, other)
                _ = between.amin(0).square().mean() + between.amin(1).square().mean()

    return [
        (what, f"here, leaves of a k-d tree ({threads} threads)", seconds(ours), 1),
        (what, "brute force in cache-sized blocks (numba, 1 thread)", seconds(brute), share),
        (what, f"torch.cdist, pair by pair ({threads} threads)", seconds(cdist), share),
        (what, "SciPy cKDTree, pair by pair (1 thread)", seconds(trees), share),
    ]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def brute_force(one: Floats32, other: Floats32) -> float:
    """Mean squared distance from points (3, n) to the nearest of (3, m), 64 at a time against all."""
    total, block = 0.0, 64
    best = np.empty(block, np.float32)
    for first in range(0, one.shape[1], block):
        xs, ys, zs = one[0, first : first + block], one[1, first : first + block], one[2, first : first + block]
        best[:] = np.float32(np.inf)
        for p in range(other.shape[1]):
            x, y, z = other[0, p], other[1, p], other[2, p]
            for k in range(len(xs)):
                dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
                squared = dx * dx + dy * dy + dz * dz
                best[k] = squared if squared < best[k] else best[k]
        total += best[: len(xs)].sum()
    return total / one.shape[1]


def alignment_rows() -> list[Row]:
    """One photograph of the IKEA protocol."""
    rng = generator(1, "benchmark alignment")
    truth = np.zeros((20, 20, 20), bool)
    truth[3:17, :, 4:15] = rng.random((14, 20, 11)) < 0.3
    field = rng.random((20, 20, 20)).astype(np.float32)
    what, few = "average precision of one photograph at 20^3 over 6,000 alignments", 60
    alignment.align(field, truth)  # compiles

    def peer() -> None:
        for number in range(few):
            turned = alignment.oriented(field, number % 48)
            average_precision_score(truth.reshape(-1), turned.reshape(-1))

    return [
        (what, "here (1 thread)", seconds(lambda: alignment.align(field, truth)), 1),
        (what, "scikit-learn, one by one", seconds(peer), few / 6000),
    ]


def seconds(work: Callable[[], None | object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: list[Row], options: argparse.Namespace, load: float) -> str:
    """Markdown; times of parts are scaled to the whole."""
    own = {what: took / share for what, _, took, share in reversed(rows)}  # the first of each, which is this project's
    quiet = "nothing else was running" if load < 0.5 * (os.cpu_count() or 1) else "other work took its share: compare"
    lines = [
        f"`python -m benchmarks.metrics`, {options.threads} threads of {os.cpu_count()} cores ({platform.machine()}), "
        f"load average before the run {load:.1f} ({quiet}"
        + (" ratios only" if quiet.endswith("compare") else "")
        + "). Peers were timed on a part, whose share the last column says, and scaled.",
        "",
        "| what | how | seconds | times this project's | measured share |",
        "|---|---|---|---|---|",
    ]
    for what, who, took, share in rows:
        whole = took / share
        lines.append(f"| {what} | {who} | {whole:,.2f} | {whole / own[what]:.1f} | {share:.2%} |")
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Put the table between its marks."""
    page = path.read_text(encoding="utf-8") if path.exists() else f"{BEGIN}\n{END}\n"
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
