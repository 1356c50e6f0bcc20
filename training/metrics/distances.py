"""Distances between every shape of one set and every shape of another, fast enough for thousands.

    iou_matrix       intersection over union of packed grids, 64 voxels at a time
    chamfer_matrix   mean distances from the points of one shape to the nearest of another, both ways

Letters: N and M shapes, P voxels, Q = P / 8 bytes, n and m points.  Rows are shared out among threads and each number
is computed by one of them in a fixed order, so the result does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt64
from numba import njit

from pipeline.conventions import Array
from pipeline.progress import Log, progress

Matrix = Float64[Array, "N M"]

LEAF = 32  # points that are compared together


def iou_matrix(one: UInt8[Array, "N Q"], other: UInt8[Array, "M Q"], *, threads: int = 1) -> Matrix:
    """(N, M) IoU of every pair of grids packed to bits; 1 where both are empty."""
    a, b = _words(one), _words(other)
    sizes = [np.bitwise_count(words).sum(1, dtype=np.int64) for words in (a, b)]
    out = np.empty((len(a), len(b)))
    _in_threads(lambda row: _iou_row(a[row], b, sizes[0][row], sizes[1], out[row]), len(a), "IoU", threads)
    return out


def chamfer_matrix(
    one: Float32[Array, "N n 3"],
    other: Float32[Array, "M m 3"],
    *,
    squared: bool,  # mean of squared distances instead of distances
    threads: int = 1,
    title: str = "Chamfer",
    log: Log | None = None,
) -> Matrix:
    """(N, M) the two directed means added; handing in the same object twice saves half of the work."""
    sets = [_sorted(points) for points in ((one,) if one is other else (one, other))]
    there = _directed_matrix(sets[0], sets[-1], squared, threads, title, log)
    back = there if one is other else _directed_matrix(sets[1], sets[0], squared, threads, f"{title}, back", log)
    return np.asarray(there + back.T)


class _Sorted:
    """Points of every shape, neighbours together in leaves of at most LEAF, and the leaves' boxes."""

    def __init__(self, points: Float32[Array, "N n 3"]):
        order, starts = _leaves(points.shape[1])
        self.starts = starts
        self.points = np.stack([np.ascontiguousarray(_by_halves(shape, order).T) for shape in points])  # (N, 3, n)
        self.boxes = np.stack(
            [np.minimum.reduceat(self.points, starts[:-1], 2), np.maximum.reduceat(self.points, starts[:-1], 2)], 1
        )  # (N, 2, 3, leaves)


def _sorted(points: Float32[Array, "N n 3"]) -> _Sorted:
    return _Sorted(np.asarray(points, np.float32))


def _leaves(count: int) -> tuple[list[tuple[int, int]], Int64[Array, " leaves"]]:
    """The ranges to be cut at their middles, larger ones first, and the starts (leaves + 1,) of what remains."""
    ranges, cut, starts = [(0, count)], [], []
    while ranges:
        first, last = ranges.pop(0)
        if last - first > LEAF:
            cut.append((first, last))
            ranges += [(first, (first + last) // 2), ((first + last) // 2, last)]
        else:
            starts.append(first)
    return cut, np.array([*sorted(starts), count], np.int64)


def _by_halves(points: Float32[Array, "n 3"], cut: list[tuple[int, int]]) -> Float32[Array, "n 3"]:
    """The points of one shape in the order of a k-d tree (Bentley 1975): halves along the longest side."""
    points = points.copy()
    for first, last in cut:
        part = points[first:last]
        axis = int(np.ptp(part, axis=0).argmax())
        # Stable, so that points in a row keep their order whatever the machine's sort does with ties.
        points[first:last] = part[np.argsort(part[:, axis], kind="stable")]
    return points


def _directed_matrix(
    start: _Sorted, target: _Sorted, squared: bool, threads: int, title: str, log: Log | None
) -> Matrix:
    out = np.empty((len(start.points), len(target.points)))

    def row(number: int) -> None:
        _directed_row(
            start.points[number],
            start.boxes[number],
            start.starts,
            target.points,
            target.boxes,
            target.starts,
            squared,
            out[number],
        )

    _in_threads(row, len(out), title, threads, log)
    return out


def _in_threads(work: Callable[[int], None], count: int, title: str, threads: int, log: Log | None = None) -> None:
    """Do `work(0) ... work(count - 1)`, which releases the interpreter's lock; with a bar."""
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        rows = pool.map(work, range(count)) if pool else map(work, range(count))
        for _ in progress(rows, title, total=count, log=log):
            pass


def _words(bits: UInt8[Array, "N Q"]) -> UInt64[Array, "N W"]:
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))).view(np.uint64)


@njit(cache=True, nogil=True)
def _iou_row(a, b, size, sizes, out):  # type: ignore[no-untyped-def]
    pairs, fours, eights = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    ones = np.uint64(0x0101010101010101)
    for row in range(len(b)):
        inside = np.uint64(0)
        for i in range(len(a)):
            # Hamming weight by adding neighbours; the compiler makes the machine's own instruction of it.
            x = a[i] & b[row, i]
            x -= (x >> np.uint64(1)) & pairs
            x = (x & fours) + ((x >> np.uint64(2)) & fours)
            x = (x + (x >> np.uint64(4))) & eights
            inside += (x * ones) >> np.uint64(56)
        union = size + sizes[row] - np.int64(inside)
        out[row] = np.int64(inside) / union if union > 0 else 1.0


@njit(cache=True, nogil=True)
def _directed_row(points, boxes, starts, targets, target_boxes, target_starts, squared, out):  # type: ignore[no-untyped-def]
    """Mean distance from one shape's points to every target shape; leaf by leaf, far leaves are passed over."""
    leaves = len(target_starts) - 1
    best, away = np.empty(LEAF, np.float32), np.empty(leaves, np.float32)
    for number in range(len(targets)):
        target, box = targets[number], target_boxes[number]
        total = 0.0
        for leaf in range(len(starts) - 1):
            xs, ys, zs = (
                points[0, starts[leaf] : starts[leaf + 1]],
                points[1, starts[leaf] : starts[leaf + 1]],
                points[2, starts[leaf] : starts[leaf + 1]],
            )
            for other in range(leaves):
                away[other] = 0.0
            for axis in range(3):
                low, high = boxes[0, axis, leaf], boxes[1, axis, leaf]
                for other in range(leaves):
                    gap = max(low - box[1, axis, other], box[0, axis, other] - high, np.float32(0))
                    away[other] += gap * gap
            nearest = 0
            for other in range(leaves):
                nearest = other if away[other] < away[nearest] else nearest
            best[:] = np.float32(np.inf)
            _compare(xs, ys, zs, target, target_starts[nearest], target_starts[nearest + 1], best)
            away[nearest] = np.float32(np.inf)
            bound = best[: len(xs)].max()
            for other in range(leaves):
                # Rounding may put a box a little too far away.
                if away[other] * np.float32(0.99999) < bound:
                    _compare(xs, ys, zs, target, target_starts[other], target_starts[other + 1], best)
                    bound = best[: len(xs)].max()
            for k in range(len(xs)):
                total += best[k] if squared else np.sqrt(best[k])
        out[number] = total / points.shape[1]


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _compare(xs, ys, zs, target, first, last, best):  # type: ignore[no-untyped-def]
    """Lower `best` to the squared distances from the points (xs, ys, zs) to target points first ... last - 1."""
    for p in range(first, last):
        x, y, z = target[0, p], target[1, p], target[2, p]
        for k in range(len(xs)):
            dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
            squared = dx * dx + dy * dy + dz * dz
            best[k] = squared if squared < best[k] else best[k]
