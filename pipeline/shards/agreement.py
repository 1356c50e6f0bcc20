"""Do the voxels and the views of one shape show the same object, in the same axes?

Two questions, two measures.  Which of the 48 ways to read the axes fits best: the silhouettes of
the voxels from the stored cameras are compared with the views' alpha along rays that are made
once (`ViewSilhouettes`); the audit asks this of a whole data set, the gallery of every shape.  Is
this shape right as it stands: `voxels_on_silhouettes` projects the voxels, with a tolerance;
``verify --level deep`` asks that.  Of 1,147 generated shapes at 32^3 it passes all and finds 94 %
of the same ones turned by a quarter; a bound on the rays that passes 99.5 % of them finds 83 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from pipeline.conventions import UP_AXIS_TO_WORLD, Array, Grid, Intrinsics, Rotation, Transform, voxel_centres
from pipeline.meshes.orient import Orientation
from pipeline.pictures.camera import project

VIEWS = 3  # of each shape
SILHOUETTE_PX = 24
LEAST_IOU = 0.55  # a shape below it is flagged
MARGIN = 0.02  # symmetric shapes fit mirrored as well: over many shapes, another way must be better by this
EMPTY_COVERAGE, BLACK_LEVEL = 0.002, 4  # share of the picture; sRGB level


@dataclass(frozen=True)
class ViewSilhouettes:
    """What some views say of a shape: the voxels that each ray passes, and which rays meet the object."""

    rays: list[Int64[Array, "P T"]]  # one a view, see `silhouette_samples`
    masks: list[Bool[Array, " P"]]  # one a view

    def iou(self, grid: Grid) -> float:
        """Mean over the views of the IoU of the voxels' silhouette and the picture's."""
        pairs = zip(self.rays, self.masks, strict=True)
        return float(np.mean([_iou(silhouette(grid, samples), mask) for samples, mask in pairs]))


def view_silhouettes(
    alpha: UInt8[Array, "V S S"],
    K: Float64[Array, "V 3 3"],
    camera_to_world: Float64[Array, "V 4 4"],
    resolution: int,
    views: int = VIEWS,
) -> ViewSilhouettes:
    """What up to `views` views, spread over all there are, say of a shape of R^3 voxels."""
    chosen = np.unique(np.linspace(0, len(alpha) - 1, min(views, len(alpha))).astype(int))
    rays = [silhouette_samples(K[view], camera_to_world[view], alpha.shape[1], resolution) for view in chosen]
    return ViewSilhouettes(rays, [shrink_alpha(alpha[view]) for view in chosen])


@dataclass(frozen=True)
class ViewFaults:
    """What can be wrong with one view."""

    empty: bool  # almost nothing is covered
    black: bool  # nothing that is covered is brighter than black
    cut_off: bool  # something is covered at the border


def view_faults(mask: UInt8[Array, "S S"], picture: UInt8[Array, "S S 3"]) -> ViewFaults:
    """Look at one view's alpha and colours."""
    solid = mask == 255
    return ViewFaults(
        empty=bool(mask.mean() / 255 < EMPTY_COVERAGE),
        black=bool(solid.any() and picture[solid].max() < BLACK_LEVEL),
        cut_off=bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()),
    )


def silhouette_samples(K: Intrinsics, camera_to_world: Transform, size_px: int, resolution: int) -> Int64[Array, "P T"]:
    """Flat voxel indices along the ray of each of P pixels; what is outside the box points past the end.

    P = SILHOUETTE_PX^2 rays through the centres of large pixels, in steps of 0.7 voxels.
    """
    centres = (np.arange(SILHOUETTE_PX) + 0.5) * size_px / SILHOUETTE_PX
    columns, rows = np.meshgrid(centres, centres)
    directions = np.stack([(columns - K[0, 2]) / K[0, 0], -(rows - K[1, 2]) / K[1, 1], -np.ones_like(rows)], axis=-1)
    directions = directions.reshape(-1, 3) @ camera_to_world[:3, :3].T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    eye = camera_to_world[:3, 3]
    reach = np.sqrt(3) / 2
    steps = np.linalg.norm(eye) - reach + np.arange(0, 2 * reach, 0.7 / resolution)
    places = np.floor((eye + directions[:, None] * steps[:, None] + 0.5) * resolution).astype(np.int64)
    inside = ((places >= 0) & (places < resolution)).all(axis=2) & (steps > 0)
    flat = (places[..., 0] * resolution + places[..., 1]) * resolution + places[..., 2]
    return np.where(inside, flat, resolution**3)


def silhouette(grid: Grid, samples: Int64[Array, "P T"]) -> Bool[Array, " P"]:
    """Which rays meet a filled voxel."""
    return np.asarray(np.append(grid.reshape(-1), False)[samples].any(axis=1))


def shrink_alpha(alpha: UInt8[Array, "S S"]) -> Bool[Array, " P"]:
    """Which are covered at the centres of the large pixels."""
    centres = ((np.arange(SILHOUETTE_PX) + 0.5) * len(alpha) / SILHOUETTE_PX).astype(int)
    return np.asarray(alpha[np.ix_(centres, centres)].reshape(-1) >= 128)


def voxels_on_silhouettes(
    grid: Grid, alpha: UInt8[Array, "V S S"], K: Float64[Array, "V 3 3"], camera_to_world: Float64[Array, "V 4 4"]
) -> tuple[float, float]:
    """Shares of voxels that fall on the silhouettes and of silhouettes that voxels cover, over all views.

    Both are compared on cells of the size of a projected voxel, with one cell of tolerance.
    """
    points = np.stack([voxel_centres(len(grid))[axis] for axis in np.nonzero(grid)], axis=1)
    shares = []
    for view, intrinsics, pose in zip(alpha, K, camera_to_world, strict=True):
        pixels, depth = project(points, intrinsics, pose)
        pitch = max(1, round(float(intrinsics[0, 0] / np.median(depth) / len(grid))))
        cells = -(-len(view) // pitch)
        inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < len(view)).all(1)
        column, row = np.floor(pixels[inside] / pitch).astype(np.int64).T
        voxels = np.zeros((cells, cells), bool)
        voxels[row, column] = True
        padded = np.zeros((cells * pitch, cells * pitch), bool)
        padded[: len(view), : len(view)] = view >= 128
        shape = np.asarray(padded.reshape(cells, pitch, cells, pitch).any((1, 3)))
        if voxels.any() and shape.any():
            shares.append((_grown(shape)[voxels].mean(), _grown(voxels)[shape].mean()))
    found = np.mean(shares, axis=0) if shares else (1.0, 1.0)  # nothing is visible: nothing to compare
    return float(found[0]), float(found[1])


def _grown(mask: Bool[Array, "N N"]) -> Bool[Array, "N N"]:
    """The mask and its eight neighbours."""
    padded = np.pad(mask, 1)
    size = len(mask)
    return np.asarray(np.any([padded[r : r + size, c : c + size] for r in range(3) for c in range(3)], axis=0))


def _iou(a: Bool[Array, " P"], b: Bool[Array, " P"]) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def name(way: Orientation) -> str:
    """``+x +z -y``: where the new x, y and z come from."""
    return " ".join(("+" if sign > 0 else "-") + "xyz"[axis] for axis, sign in zip(*way, strict=True))


def advice(way: Orientation) -> str:
    """Which setting or mistake explains that the voxels fit when turned this way."""
    matrix = np.zeros((3, 3))
    for row, (axis, sign) in enumerate(zip(*way, strict=True)):
        matrix[row, axis] = sign
    if np.linalg.det(matrix) < 0:
        return "the voxels are mirrored: two axes are exchanged or one is reversed (.binvox files store x, z, y)"
    if matrix[1, 1] == 1:
        degrees = int(round(np.degrees(np.arctan2(matrix[0, 2], matrix[0, 0])))) % 360
        return f"the voxels are turned about the upright axis: make them again with yaw_deg {degrees} more"
    for up, to_world in _upright_ways():
        if np.array_equal(matrix, to_world):
            return f"the voxels were made of meshes whose {up} axis points up: set up_axis: {up} and make them again"
    return "delete the voxels and make them again from the prepared meshes"


def _upright_ways() -> Iterator[tuple[str, Rotation]]:
    """Every up axis, with every quarter turn about the upright axis after it."""
    quarter = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    for axis, matrix in UP_AXIS_TO_WORLD.items():
        for turns in range(4):
            yield axis, np.linalg.matrix_power(quarter, turns) @ matrix
