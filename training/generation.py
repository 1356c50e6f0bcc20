"""How good a set of generated shapes is, beside held-out and training shapes.

S generated and R reference shapes, as many of each; d is a distance between two shapes.

    MMD    mean over R of the distance to the nearest of S: how close the samples come
    COV    share of R that is the nearest reference of some sample: how much they cover
    1-NNA  share of S and R together whose nearest neighbour among all others is of their own
           set: 0.5 where the sets cannot be told apart, 1 where they have nothing in common
    JSD    Jensen-Shannon divergence, in bits, of where the points of all shapes lie on a 28^3 grid

MMD, COV and JSD: Achlioptas et al. 2018 (arXiv 1707.02392, section 3); 1-NNA: Lopez-Paz and
Oquab 2017, for shapes Yang et al. 2019 (arXiv 1906.12320, section 5.1).  d is the Chamfer distance
of 2,048 surface points with squared distances (as in both), or 1 - IoU of the voxels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.progress import Log
from training import metrics
from training.distances import Packed, Points, chamfer_matrix, iou_matrix
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


def iou_pairs(generated: Packed, reference: Packed, *, threads: int = 1) -> Pairs:
    """1 - IoU on packed bits."""
    sets = ((generated, generated), (generated, reference), (reference, reference))
    return Pairs(*(1 - iou_matrix(one, other, threads=threads) for one, other in sets))


def chamfer_pairs(generated: Points, reference: Points, *, threads: int = 1, log: Log | None = None) -> Pairs:
    """Chamfer distance with squared distances."""
    how: dict[str, Any] = {"squared": True, "threads": threads, "log": log}
    return Pairs(
        chamfer_matrix(generated, generated, title="Chamfer among samples", **how),
        chamfer_matrix(generated, reference, title="Chamfer, samples and data", **how),
        chamfer_matrix(reference, reference, title="Chamfer among data", **how),
    )


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


def measure(
    samples: Bits,
    held_out: Bits,
    *,
    points: int,  # on each surface
    chamfer_shapes: int,  # at most this many of each set; the matrices cost its square
    seed: int,
    threads: int = 1,
    log: Log | None = None,
) -> dict[str, Any]:
    """All of the above with intervals, on equal numbers of generated and held-out shapes (N, P)."""
    count = min(len(samples), len(held_out))
    few = min(count, chamfer_shapes)
    packed = [np.packbits(grids[:count], axis=1) for grids in (samples, held_out)]
    clouds = [
        points_of(grids[:few], points, seed, name) for name, grids in (("sample", samples), ("held out", held_out))
    ]
    return {
        "iou": {"shapes": count, **_scores(iou_pairs(*packed, threads=threads), seed)},
        "chamfer": {"shapes": few, "points": points,
                    **_scores(chamfer_pairs(*clouds, threads=threads, log=log), seed)},
        "jsd": {"shapes": few, "points": points, "value": round(jensen_shannon(*map(cell_counts, clouds)), 6)},
    }  # fmt: skip


def _scores(pairs: Pairs, seed: int) -> dict[str, Any]:
    rows = {"mmd": minimum_distances(pairs), "cov": covered(pairs), "one_nna": own_neighbours(pairs)}
    return {name: metrics.bootstrap(values, seed).as_json() for name, values in rows.items()}
