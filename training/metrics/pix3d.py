"""The scores of Pix3D's own evaluation (Sun et al. 2018, arXiv 1804.04610, section 5; eval/eval.py of its repository).

    IoU   both shapes cut to their bounding boxes (voxels of at least 0.1), scaled into 32^3 with
          their longest sides equal, by linear interpolation; one threshold for all pictures, the
          best of 0.01, 0.02 ... 0.49 ON THESE PICTURES, as published: an optimistic number
    CD    1,024 surface points each, bounding boxes centred, longest side 1; the mean distance to
          the nearest point, both ways added
    EMD   the same points matched one to one; the mean distance of the best matching

The published numbers are for the 2,894 untruncated and unoccluded pictures of chairs.  Points are
drawn on voxel faces here, on a marching-cubes surface there; the matching is exact here and an
auction there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pipeline.conventions import Array, Grid
from pipeline.progress import Log, progress
from training.metrics.alignment import Field
from training.metrics.surfaces import boxed, drawn_points
from training.metrics.voxels import Floats

BOX_LEVEL, SIDE, POINTS = 0.1, 32, 1024
THRESHOLDS = np.arange(0.01, 0.5, 0.01)


@dataclass(frozen=True)
class Scores:
    """Of every picture, and the one threshold that IoU took."""

    rows: dict[str, Floats]  # iou_boxed, cd, emd: (N,)
    threshold: float


def scores(fields: list[Field], truths: list[Grid], seed: int, *, log: Log | None = None) -> Scores:
    """All three scores of predictions (R, R, R) in [0, 1] against their truths."""
    curves, distances = [], []
    pairs = list(zip(fields, truths, strict=True))
    for number, (field, truth) in enumerate(progress(pairs, "Pix3D's scores", unit="picture", log=log)):
        curves.append(iou_curve(in_box(field), in_box(truth.astype(np.float32))))
        clouds = [boxed(drawn_points(grid, POINTS, seed, "pix3d", number)) for grid in (field >= BOX_LEVEL, truth)]
        distances.append((chamfer(*clouds), earth_movers(*clouds)))
    mean = np.mean(curves, axis=0)
    best = int(mean.argmax())
    cd, emd = np.array(distances).T
    rows = {"iou_boxed": np.array(curves)[:, best], "cd": cd, "emd": emd}
    return Scores(rows, round(float(THRESHOLDS[best]), 2))


def in_box(field: Field) -> Field:
    """The content of the bounding box, its longest side from the first to the last of SIDE samples."""
    at = np.argwhere(field >= BOX_LEVEL)
    if not len(at):
        return np.zeros((SIDE,) * 3, np.float32)
    low, high = at.min(0), at.max(0)
    inside = field[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    longest = float((high - low).max())
    lines = [np.linspace((h - a) / 2 - longest / 2, (h - a) / 2 + longest / 2, SIDE) for a, h in zip(low, high)]
    where = np.stack(np.meshgrid(*lines, indexing="ij"))
    return np.asarray(ndimage.map_coordinates(inside, where, order=1, mode="constant", cval=0.0), np.float32)


def iou_curve(one: Field, other: Field) -> Float64[Array, " thresholds"]:
    """IoU with both cut at each of THRESHOLDS; 0 where both are empty."""
    out = np.zeros(len(THRESHOLDS))
    for place, threshold in enumerate(THRESHOLDS):
        a, b = one > threshold, other > threshold
        union = (a | b).sum()
        out[place] = (a & b).sum() / union if union else 0.0
    return out


def chamfer(one: Float32[Array, "n 3"], other: Float32[Array, "m 3"]) -> float:
    """Mean distance to the nearest point, both ways added."""
    between = cdist(one, other)
    return float(between.min(1).mean() + between.min(0).mean())


def earth_movers(one: Float32[Array, "n 3"], other: Float32[Array, "n 3"]) -> float:
    """Mean distance over the one-to-one matching with the smallest sum."""
    between = cdist(one, other)
    return float(between[linear_sum_assignment(between)].mean())
