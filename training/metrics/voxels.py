"""Measures of occupancy grids, on quantised probabilities and bits.

Letters: N grids, P = R^3 voxels.  A probability p is stored as round(255 p); a threshold t in
1 ... 255 calls a voxel occupied where the stored number is at least t.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

from pipeline.conventions import Array

Level = UInt8[Array, " P"]
Levels = UInt8[Array, "N P"]
Bits = Bool[Array, "N P"]
Floats = Float64[Array, " N"]  # one of each grid
Curves = Float64[Array, "N 256"]  # one for each threshold

SAME_OCCUPANCY = 0.05  # relative; the mean of some hundred real chairs is known to 4.5 % (95 % interval)


def quantise(probabilities: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    """[0, 1] -> 0 ... 255."""
    return np.asarray(np.rint(probabilities * 255), np.uint8)


def iou_curve(levels: Levels, truth: Bits) -> Curves:
    """(N, 256) IoU of each grid at each threshold t, |P and T| / |P or T|; 1 where both are empty.

    (t = 0 calls everything occupied.)
    """
    out = np.empty((len(levels), 256))
    for row, (level, occupied) in enumerate(zip(levels, truth, strict=True)):
        inside = np.bincount(level[occupied], minlength=256)[::-1].cumsum()[::-1]
        above = np.bincount(level, minlength=256)[::-1].cumsum()[::-1]
        union = above + occupied.sum() - inside
        out[row] = np.where(union > 0, inside / np.maximum(union, 1), 1.0)
    return out


def iou(one: Bits, other: Bits) -> Floats:
    """(N,) IoU of pairs of grids; 1 where both are empty."""
    inside, union = (one & other).sum(1), (one | other).sum(1)
    return np.asarray(np.where(union > 0, inside / np.maximum(union, 1), 1.0))


def best_threshold(curves: Curves) -> int:
    """The threshold in 1 ... 255 with the highest mean of (N, 256) curves."""
    return int(curves[:, 1:].mean(0).argmax()) + 1


def threshold_of_one(level: Level, truth: Bits) -> int:
    """The threshold at which one answer for all grids has the highest mean IoU."""
    return best_threshold(iou_curve(np.broadcast_to(level, truth.shape), truth))


def occupancy_threshold(levels: Levels, occupancy: float) -> int:
    """The threshold in 1 ... 255 at which the mean occupancy is a wanted share.

    Occupancy hardly changes over a wide range of thresholds, far less than its mean over a few hundred shapes is
    uncertain, and shapes fray at both ends of that range.  So of all thresholds that come within `SAME_OCCUPANCY`
    of the share the one nearest to one half is taken, and where none does, the one that comes nearest.
    """
    above = np.bincount(levels.reshape(-1), minlength=256)[::-1].cumsum()[::-1] / max(levels.size, 1)
    off = np.abs(above[1:] - occupancy)
    near = np.flatnonzero(off <= max(off.min(), SAME_OCCUPANCY * occupancy)) + 1
    return int(near[np.abs(near - 128).argmin()])


def pairwise_iou(grids: Bits) -> float:
    """Mean IoU over all pairs of different rows: 1 says that all of them are the same."""
    if len(grids) < 2:
        return 0.0
    x = grids.astype(np.float32)
    inside = (x @ x.T).astype(np.float64)
    sizes = np.diag(inside)
    union = sizes[:, None] + sizes[None] - inside
    values = np.where(union > 0, inside / np.maximum(union, 1), 1.0)
    return float(values[np.triu_indices(len(grids), 1)].mean())


def box_fill(grids: Bits) -> float:
    """Mean share of its own bounding box that a grid fills, over the grids that are not empty."""
    side = round(grids.shape[1] ** (1 / 3))
    shares = []
    for grid in grids.reshape(-1, side, side, side):
        if grid.any():
            spans = [np.flatnonzero(grid.any(axis)) for axis in ((1, 2), (0, 2), (0, 1))]
            shares.append(grid.sum() / np.prod([span[-1] - span[0] + 1 for span in spans]))
    return float(np.mean(shares)) if shares else 0.0


def largest_component(grids: Bits) -> Float64[Array, " filled"]:
    """Share of a grid's occupied voxels in its largest face-connected part, of each grid that is not empty.

    One 0 where all of them are.
    """
    from scipy import ndimage

    side = round(grids.shape[1] ** (1 / 3))
    shares = []
    for grid in grids.reshape(-1, side, side, side):
        if grid.any():
            labels, _ = ndimage.label(grid)
            shares.append(np.bincount(labels.reshape(-1))[1:].max() / grid.sum())
    return np.array(shares or [0.0])
