"""How good a set of generated shapes is, beside held-out and training shapes.

S generated and R reference shapes, as many of each; d is a distance between two shapes.

    MMD    mean over R of the distance to the nearest of S: how close the samples come
    COV    share of R that is the nearest reference of some sample: how much they cover
    1-NNA  share of S and R together whose nearest neighbour among all others is of their own
           set: 0.5 where the sets cannot be told apart, 1 where they have nothing in common
    JSD    Jensen-Shannon divergence, in bits, of where the points of all shapes lie on a 28^3 grid

MMD, COV and JSD: Achlioptas et al. 2018 (arXiv 1707.02392, section 3); 1-NNA: Lopez-Paz and
Oquab 2017, for shapes Yang et al. 2019 (arXiv 1906.12320).  d is the Chamfer distance
of 2,048 surface points with squared distances (as in both), or 1 - IoU of the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, Real
from numba import njit

from pipeline.conventions import Array
from pipeline.progress import Log
from training.metrics import intervals
from training.metrics.distances import chamfer_matrix, iou_matrix
from training.metrics.intervals import Interval
from training.metrics.surfaces import points_of
from training.metrics.voxels import Bits

JSD_SIDE = 28  # Achlioptas et al. 2018, section 3
Counts = Float32[Array, "N C"]  # whole numbers of points in C cells
Points = Float32[Array, "N n 3"]
MEMORISED = 0.95  # IoU with a training shape above which a sample counts as a copy of it


@dataclass(frozen=True)
class Pairs:
    """Distances between generated (S) and reference (R) shapes."""

    generated: Float64[Array, "S S"]
    across: Float64[Array, "S R"]
    reference: Float64[Array, "R R"]


def minimum_distances(pairs: Pairs) -> Float64[Array, " R"]:
    """(R,) of each reference to the nearest sample; their mean is MMD."""
    return np.asarray(pairs.across.min(0))


def covered(pairs: Pairs) -> Float64[Array, " R"]:
    """(R,) 1 where a reference is the nearest one of some sample; the mean is COV."""
    out = np.zeros(pairs.across.shape[1])
    out[pairs.across.argmin(1)] = 1
    return out


def own_neighbours(pairs: Pairs) -> Float64[Array, " shapes"]:
    """(S + R,) 1 where the nearest other shape is of the own set; the mean is 1-NNA.

    A tie between the own and the other set counts one half: which of two equal shapes comes first
    says nothing.
    """

    def others(square: Float64[Array, "N N"]) -> Float64[Array, " N"]:
        return np.asarray(np.where(np.eye(len(square), dtype=bool), np.inf, square).min(1))

    own = np.concatenate([others(pairs.generated), others(pairs.reference)])
    across = np.concatenate([pairs.across.min(1), pairs.across.min(0)])
    return np.asarray(np.where(own == across, 0.5, own < across))


def cell_counts(points: Points) -> Counts:
    """(N, 28^3) how many points of each shape (N, n, 3) lie in each cell of the unit box."""
    cells = np.clip(((points + 0.5) * JSD_SIDE).astype(np.int64), 0, JSD_SIDE - 1)
    flat = cells @ np.array([JSD_SIDE**2, JSD_SIDE, 1])
    return np.stack([np.bincount(shape, minlength=JSD_SIDE**3) for shape in flat]).astype(np.float32)


def jensen_shannon(one: Real[Array, " C"], other: Real[Array, " C"]) -> float:
    """Divergence in bits, 0 ... 1, of two histograms."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def bits(values: Float64[Array, " C"]) -> float:
        found = values > 0
        return float((values[found] * np.log2(values[found] / middle[found])).sum())

    return (bits(p) + bits(q)) / 2


def divergence(one: Counts, other: Float32[Array, "M C"], seed: int) -> Interval:
    """JSD of where the points of two sets lie, (N, C) and (M, C), as many points in each set; shapes of both resampled.

    A resample holds some shapes more than once and others not at all, so it is less even than its
    set, and two such lie further apart than the sets do: the divergences of resamples are moved so
    that their mean is the value (the bias of a statistic: Efron and Tibshirani 1993, chapter 10).
    """
    value = jensen_shannon(one.sum(0, dtype=np.float64), other.sum(0, dtype=np.float64))
    resampled = _divergences(
        one,
        other,
        *(intervals.weights(len(counts), seed, "bootstrap JSD", side) for side, counts in enumerate((one, other))),
    )
    return intervals.percentiles(value, np.clip(resampled - resampled.mean() + value, 0, 1))


def _divergences(
    one: Counts, other: Float32[Array, "M C"], drawn: Float64[Array, "B N"], others_drawn: Float64[Array, "B M"]
) -> Float64[Array, " B"]:
    """(B,) JSD of weighted sums of (N, C) and (M, C) with weights (B, N) and (B, M) that keep the number of points.

    With a and b points in a cell and T in each set, 2T (JSD - 1) is the sum over cells of
    L(a) + L(b) - L(a + b), where L(k) = k log2 k: whole numbers, which a table answers.
    """
    total = int(one.sum(dtype=np.float64))
    numbers = np.arange(2 * total + 1, dtype=np.float64)
    table = numbers * np.log2(np.maximum(numbers, 1))
    out = np.empty(len(drawn))
    for start in range(0, len(drawn), 100):
        part = slice(start, start + 100)
        # float32 holds and adds whole numbers below 2^24 without rounding, in any order.
        ours, theirs = drawn[part].astype(np.float32) @ one, others_drawn[part].astype(np.float32) @ other
        _in_cells(ours, theirs, table, out[part])
    return 1 + out / (2 * total)


@njit(cache=True, nogil=True)
def _in_cells(ours, theirs, table, out):  # type: ignore[no-untyped-def]
    """Sums over cells of L(a) + L(b) - L(a + b), for rows (B, C)."""
    for row in range(len(ours)):
        total = 0.0
        for cell in range(ours.shape[1]):
            a, b = int(ours[row, cell]), int(theirs[row, cell])
            total += table[a] + table[b] - table[a + b]
        out[row] = total


class Reference:
    """The shapes that sets of samples are compared with, and their distances among themselves."""

    def __init__(
        self,
        held_out: Bits,  # (N, P)
        *,
        points: int,  # on each surface
        chamfer_shapes: int,  # at most this many of each set; the matrices cost its square
        seed: int,
        threads: int = 1,
        log: Log | None = None,
    ):
        self.points, self.chamfer_shapes, self.seed, self.threads, self.log = points, chamfer_shapes, seed, threads, log
        self.packed = np.packbits(held_out, axis=1)
        self.cloud = points_of(held_out[:chamfer_shapes], points, seed, "held out")
        self.cells = cell_counts(self.cloud)
        self.iou = 1 - iou_matrix(self.packed, self.packed, threads=threads)
        self.chamfer = self._chamfer(self.cloud, self.cloud, "Chamfer among data")

    def measure(self, samples: Bits, title: str) -> dict[str, Any]:
        """All of the above with intervals, on equal numbers of samples (N, P) and held-out shapes."""
        count = min(len(samples), len(self.packed))
        few = min(count, self.chamfer_shapes)
        # Equal samples get one set of points and are compared once: a collapsed generator costs next to nothing.
        packed, same = np.unique(np.packbits(samples[:count], axis=1), axis=0, return_inverse=True)
        some, same_few = np.unique(samples[:few], axis=0, return_inverse=True)
        cloud = points_of(some, self.points, self.seed, "sample")
        by_iou = Pairs(
            _spread(1 - iou_matrix(packed, packed, threads=self.threads), same, same),
            _spread(1 - iou_matrix(packed, self.packed[:count], threads=self.threads), same),
            self.iou[:count, :count],
        )
        by_chamfer = Pairs(
            _spread(self._chamfer(cloud, cloud, f"Chamfer among {title}"), same_few, same_few),
            _spread(self._chamfer(cloud, self.cloud[:few], f"Chamfer, {title} and data"), same_few),
            self.chamfer[:few, :few],
        )
        jsd = divergence(cell_counts(cloud)[same_few.reshape(-1)], self.cells[:few], self.seed)
        return {
            "iou": {"shapes": count, **_scores(by_iou, self.seed)},
            "chamfer": {"shapes": few, "points": self.points, **_scores(by_chamfer, self.seed)},
            "jsd": {"shapes": few, "points": self.points, **jsd.as_json("value")},
        }

    def _chamfer(self, one: Points, other: Float32[Array, "M n 3"], title: str) -> Float64[Array, "N M"]:
        return chamfer_matrix(one, other, squared=True, threads=self.threads, title=title, log=self.log)


def _spread(
    matrix: Float64[Array, "A B"], rows: Int64[Array, "*n"], columns: Int64[Array, "*m"] | None = None
) -> Float64[Array, "C D"]:
    """From distances of distinct shapes to those of all."""
    out = matrix[rows.reshape(-1)]
    return np.asarray(out if columns is None else out[:, columns.reshape(-1)])


def _scores(pairs: Pairs, seed: int) -> dict[str, Any]:
    rows = {"mmd": minimum_distances(pairs), "cov": covered(pairs), "one_nna": own_neighbours(pairs)}
    return {name: intervals.bootstrap(values, seed).as_json() for name, values in rows.items()}
