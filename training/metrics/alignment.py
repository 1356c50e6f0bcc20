"""Average precision of voxels, as it is and at the best of all orientations and small shifts.

For its table 2, Wu et al. 2016 (arXiv 1610.07584) aligns each prediction with the truth "over permutations, flips, and
translational alignments (up to 10 %)", because the IKEA models face any way.  The search space
here: the 48 orientations of a cube (6 permutations of the axes x 8 flips) times all shifts of up
to 10 % of the side along each axis, 125 at 20^3; voxels that leave the grid are lost and zeros
come in.  The best is the one with the highest average precision: an optimistic number, so chance
and every baseline are aligned in the same way.

Average precision, as in scikit-learn: over the distinct scores from high to low, the sum of
(recall gained) x precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped
from numba import njit

from pipeline.conventions import Array, Grid
from pipeline.meshes import orient
from pipeline.meshes.orient import ORIENTATIONS
from pipeline.progress import Log, progress

Field = Float32[Array, "R R R"]  # real-valued predictions
SHIFT_SHARE = 0.1  # of the side


@dataclass(frozen=True)
class Aligned:
    """Average precision of one prediction."""

    plain: float  # as it is
    best: float  # over all alignments
    orientation: int  # place in ORIENTATIONS; 0 is as it is
    shift: tuple[int, int, int]  # voxels, before the orientation


def average_precision(scores: Float32[Array, "*n"], truth: Bool[Array, "*n"]) -> float:
    """Of any number of scores; 1 for an empty truth, which nothing can miss."""
    if not truth.any():
        return 1.0
    ranks, order = _ranked(scores.reshape(-1))
    hits = np.bincount(ranks[truth.reshape(-1)], minlength=order)[::-1]
    found = np.bincount(ranks, minlength=order)[::-1].cumsum()
    return float((hits * hits.cumsum() / np.maximum(found, 1)).sum() / hits.sum())


def reach(side: int) -> int:
    """Voxels of the largest shift: 2 at 20^3, 3 at 32^3."""
    return round(SHIFT_SHARE * side)


def oriented(grid: Shaped[Array, "R R R"], number: int) -> Shaped[Array, "R R R"]:
    """One of the 48 orientations of a grid."""
    return orient.oriented(grid, ORIENTATIONS[number])


def apply(field: Field, found: Aligned) -> Field:
    """The prediction as it was aligned."""
    return np.ascontiguousarray(oriented(_shifted(field, found.shift), found.orientation), np.float32)


def align(field: Field, truth: Grid) -> Aligned:
    """The best of all alignments of one prediction; the first of equals."""
    side = len(truth)
    plain = average_precision(field, truth)
    if not truth.any():
        return Aligned(plain, plain, 0, (0, 0, 0))
    # Turning the prediction by o is turning the truth back by o; and there are 48 truths but 125 predictions.
    # Only occupied places of the truth matter: as flat indices, one row for each orientation.
    back = [_back(np.arange(side**3).reshape((side,) * 3), number) for number in range(len(ORIENTATIONS))]
    places = np.stack([index[truth] for index in back])
    shifts = _shifts(reach(side))
    # The zeros that come in are ranked together with the scores, once for all shifts.
    ranks, count = _ranked(np.append(field.reshape(-1), np.float32(0)))
    grid, zero = ranks[:-1].reshape(field.shape), ranks[-1]
    found = np.empty((len(shifts), len(ORIENTATIONS)))
    for row, shift in enumerate(shifts):
        _precisions(_shifted(grid, shift, zero).reshape(-1), count, places, found[row])
    best = int(found.argmax())
    shift, orientation = shifts[best // len(ORIENTATIONS)], best % len(ORIENTATIONS)
    return Aligned(plain, float(found.flat[best]), orientation, shift)


def align_all(
    fields: Sequence[Field], truths: Sequence[Grid], title: str, *, threads: int = 1, log: Log | None = None
) -> list[Aligned]:
    """Every prediction with its own truth, with a bar."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = pool.map(align, fields, truths)
        return list(progress(found, title, total=len(truths), unit="picture", log=log))


def _shifts(most: int) -> list[tuple[int, int, int]]:
    """All shifts, the one that moves nothing first, so that it wins where all are equal."""
    every = itertools.product(range(-most, most + 1), repeat=3)
    return sorted(((x, y, z) for x, y, z in every), key=lambda shift: (sum(map(abs, shift)), shift))


def _back(index: Int64[Array, "R R R"], number: int) -> Int64[Array, "R R R"]:
    """Where each voxel of the oriented grid comes from."""
    return np.ascontiguousarray(oriented(index, number), np.int64)


def _shifted(field: Shaped[Array, "R R R"], shift: tuple[int, int, int], empty: Any = 0) -> Shaped[Array, "R R R"]:
    out = np.full_like(field, empty)
    side = len(field)
    to = tuple(slice(max(s, 0), side + min(s, 0)) for s in shift)
    of = tuple(slice(max(-s, 0), side + min(-s, 0)) for s in shift)
    out[to] = field[of]
    return out


def _ranked(scores: Float32[Array, " n"]) -> tuple[Int32[Array, " n"], int]:
    """Each score's place among the distinct scores, and how many there are."""
    values, ranks = np.unique(scores, return_inverse=True)
    return ranks.reshape(-1).astype(np.int32), len(values)


@njit(cache=True, nogil=True)
def _precisions(ranks, count, places, out):  # type: ignore[no-untyped-def]
    """Average precision of one ranked prediction against the truths that occupy each row of `places`."""
    found = np.zeros(count, np.int64)
    for rank in ranks:
        found[rank] += 1
    for rank in range(count - 2, -1, -1):
        found[rank] += found[rank + 1]
    hits = np.empty(count, np.int32)
    for row in range(len(places)):
        hits[:] = 0
        for place in places[row]:
            hits[ranks[place]] += 1
        total, area = 0, 0.0
        for rank in range(count - 1, -1, -1):
            if hits[rank] > 0:
                total += hits[rank]
                area += hits[rank] * (total / found[rank])
        out[row] = area / places.shape[1]
