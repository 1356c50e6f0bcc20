"""Distances between the surfaces of voxel shapes, on points of the faces between occupied and empty.

The surface of a grid is the set of its exposed faces: squares of side 1 / R between an occupied
voxel and an empty one or the outside.  Lengths are in unit-box sides.

    face points    the middle of every face: no chance, and equal surfaces have equal points
    drawn points   `count` of them, evenly over the area; what generation metrics compare

Chamfer distance   mean distance of A's points to B's plus that of B's points to A's
                   (the sum of both means, not squared: Sun et al. 2018, arXiv 1804.04610, section 5)
F-score            harmonic mean of precision and recall: the shares of the prediction's points
                   within tau of the truth, and of the truth's within tau of the prediction
                   (Knapitsch et al. 2017; Tatarchenko et al. 2019, arXiv 1905.03678,
                   with tau of 1 % of the side of the volume)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.spatial import cKDTree

from pipeline.conventions import Array, Grid
from pipeline.seeds import generator
from training.metrics.voxels import Bits, Floats

TAU = 0.01  # Tatarchenko et al. 2019
WORST = 2 * 3**0.5  # Chamfer distance of an empty prediction: both means are at most the box's diagonal


@dataclass(frozen=True)
class SurfaceScores:
    """(N,) numbers of each shape."""

    chamfer: Floats  # unit-box sides
    f_score: Floats  # at TAU
    f_score_voxel: Floats  # at the side of a voxel


def faces(grid: Grid) -> tuple[Float64[Array, "F 3"], Int64[Array, " F"]]:
    """Middles (F, 3) of the exposed faces in unit-box sides, and the axis (F,) each is normal to."""
    padded = np.pad(grid, 1).astype(np.int8)
    middles, axes = [], []
    for axis in range(3):
        at = np.argwhere(np.diff(padded, axis=axis))
        middle = at - 0.5  # the centre of voxel i lies at i + 0.5, and the padding moved it by one
        middle[:, axis] += 0.5
        middles.append(middle / len(grid) - 0.5)
        axes.append(np.full(len(at), axis))
    return np.concatenate(middles), np.concatenate(axes)


def drawn_points(grid: Grid, count: int, seed: int, *purpose: object) -> Float32[Array, "{count} 3"]:
    """(count, 3) points spread evenly over the surface: one in each of `count` equal pieces of it.

    An empty grid, which has no surface, gives `count` points at the corner of the box, so that it
    is far from every shape.
    """
    middles, axes = faces(grid)
    if not len(middles):
        return np.full((count, 3), 0.5, np.float32)
    source = generator(seed, "surface", *purpose)
    picked = ((np.arange(count) + source.random(count)) * (len(middles) / count)).astype(np.int64)
    picked = np.minimum(picked, len(middles) - 1)
    inside = (source.random((count, 2)) - 0.5) / len(grid)
    return np.asarray(middles[picked] + _in_plane(axes[picked], inside), np.float32)


def points_of(grids: Bits, count: int, seed: int, purpose: str) -> Float32[Array, "N {count} 3"]:
    """(N, count, 3) drawn points of (N, P) grids; equal grids draw other points in other rows."""
    side = round(grids.shape[1] ** (1 / 3))
    shapes = grids.reshape(-1, side, side, side)
    return np.stack([drawn_points(grid, count, seed, purpose, row) for row, grid in enumerate(shapes)])


def surface_scores(predicted: Bits, truth: Bits) -> SurfaceScores:
    """Chamfer distance and F-scores of (N, P) grids against (N, P) grids."""
    side = round(truth.shape[1] ** (1 / 3))
    pairs = zip(predicted.reshape(-1, side, side, side), truth.reshape(-1, side, side, side), strict=True)
    rows = [_scores(one, other) for one, other in pairs]
    return SurfaceScores(*np.array(rows, np.float64).reshape(-1, 3).T)


def _scores(predicted: Grid, truth: Grid) -> tuple[float, float, float]:
    ours, theirs = faces(predicted)[0], faces(truth)[0]
    if not len(ours) or not len(theirs):
        same = len(ours) == len(theirs)
        return (0.0, 1.0, 1.0) if same else (WORST, 0.0, 0.0)
    there, back = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    return float(there.mean() + back.mean()), f_score(there, back, TAU), f_score(there, back, 1 / len(truth))


def f_score(there: Float64[Array, " A"], back: Float64[Array, " B"], tau: float) -> float:
    """From the distances of the prediction's points to the truth and of the truth's to the prediction."""
    # A distance of exactly tau counts, whatever the last bit of the coordinates says.
    precision, recall = ((values <= tau * (1 + 1e-9)).mean() for values in (there, back))
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boxed(points: Float32[Array, "n 3"]) -> Float32[Array, "n 3"]:
    """(n, 3) moved and scaled so that the bounding box has its middle at 0 and its longest side 1 (Pix3D)."""
    low, high = points.min(0), points.max(0)
    longest = float((high - low).max())
    return np.asarray((points - (low + high) / 2) / (longest or 1.0), np.float32)


def _in_plane(axes: Int64[Array, " n"], offsets: Float64[Array, "n 2"]) -> Float64[Array, "n 3"]:
    """Two numbers of each row as a vector across its axis: (..., 2) -> (..., 3)."""
    others = np.array([[1, 2], [0, 2], [0, 1]])[axes]
    shape = np.broadcast_shapes(others.shape, offsets.shape)
    out = np.zeros((*shape[:-1], 3))
    np.put_along_axis(out, np.broadcast_to(others, shape), np.broadcast_to(offsets, shape), -1)
    return out
