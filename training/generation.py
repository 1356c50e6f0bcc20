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
import numpy.typing as npt

from pipeline.progress import Log
from training import metrics
from training.distances import Points, chamfer_matrix, iou_matrix
from training.metrics import Bits, Floats
from training.surface_metrics import points_of

JSD_SIDE = 28  # Achlioptas et al. 2018, section 3
MEMORISED = 0.95  # IoU with a training shape above which a sample counts as a copy of it


@dataclass(frozen=True)
class Pairs:
    """Distances between generated (S) and reference (R) shapes."""

    generated: Floats  # (S, S)
    across: Floats  # (S, R)
    reference: Floats  # (R, R)


def minimum_distances(pairs: Pairs) -> Floats:
    """(R,) of each reference to the nearest sample; their mean is MMD."""
    return np.asarray(pairs.across.min(0))


def covered(pairs: Pairs) -> Floats:
    """(R,) 1 where a reference is the nearest one of some sample; the mean is COV."""
    out = np.zeros(pairs.across.shape[1])
    out[pairs.across.argmin(1)] = 1
    return out


def own_neighbours(pairs: Pairs) -> Floats:
    """(S + R,) 1 where the nearest other shape is of the own set; the mean is 1-NNA.

    A tie between the own and the other set counts one half: which of two equal shapes comes first
    says nothing.
    """

    def others(square: Floats) -> Floats:
        return np.asarray(np.where(np.eye(len(square), dtype=bool), np.inf, square).min(1))

    own = np.concatenate([others(pairs.generated), others(pairs.reference)])
    across = np.concatenate([pairs.across.min(1), pairs.across.min(0)])
    return np.asarray(np.where(own == across, 0.5, own < across))


def cell_counts(points: Points) -> npt.NDArray[np.int64]:
    """(28^3,) how many points of (N, n, 3) lie in each cell of the unit box."""
    cells = np.clip(((points.reshape(-1, 3) + 0.5) * JSD_SIDE).astype(np.int64), 0, JSD_SIDE - 1)
    return np.bincount(cells @ np.array([JSD_SIDE**2, JSD_SIDE, 1]), minlength=JSD_SIDE**3)


def jensen_shannon(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Divergence in bits, 0 ... 1, of two histograms."""
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def bits(values: Floats) -> float:
        found = values > 0
        return float((values[found] * np.log2(values[found] / middle[found])).sum())

    return (bits(p) + bits(q)) / 2


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
        divergence = jensen_shannon(cell_counts(cloud[same_few]), cell_counts(self.cloud[:few]))
        return {
            "iou": {"shapes": count, **_scores(by_iou, self.seed)},
            "chamfer": {"shapes": few, "points": self.points, **_scores(by_chamfer, self.seed)},
            "jsd": {"shapes": few, "points": self.points, "value": round(divergence, 6)},
        }

    def _chamfer(self, one: Points, other: Points, title: str) -> Floats:
        return chamfer_matrix(one, other, squared=True, threads=self.threads, title=title, log=self.log)


def _spread(matrix: Floats, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64] | None = None) -> Floats:
    """From distances of distinct shapes to those of all."""
    out = matrix[rows.reshape(-1)]
    return np.asarray(out if columns is None else out[:, columns.reshape(-1)])


def _scores(pairs: Pairs, seed: int) -> dict[str, Any]:
    rows = {"mmd": minimum_distances(pairs), "cov": covered(pairs), "one_nna": own_neighbours(pairs)}
    return {name: metrics.bootstrap(values, seed).as_json() for name, values in rows.items()}
