"""Axes, units and array layouts, written once; every stage imports them from here.

World     right-handed, +Y up, -Z front (OpenGL, ShapeNet); lengths in unit-box sides.
Unit box  a normalised mesh is centred on the origin, its longest side is 1 - 2 * MARGIN.
Voxels    ``grid[x, y, z]`` bool, C order; voxel i of R has its centre at (i + 0.5) / R - 0.5.
Images    ``image[row, column, channel]`` uint8 sRGB, row 0 on top; alpha is straight.
Cameras   K (3, 3) in pixels, pixel centres at + 0.5; camera_to_world (4, 4); a camera looks
          along its own -Z with +Y up.  Azimuth 0 sees the front of the object from -Z,
          growing counter-clockwise seen from above; elevation is positive above the object.
Flip      a left-right image flip is a voxel mirror in x and an azimuth negation, or nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# Free space on each side of the longest extent, in unit-box sides: half a voxel at 32^3,
# so that a surface voxel of the longest side never falls outside the grid.
MARGIN = 0.5 / 32

Vertices: TypeAlias = npt.NDArray[np.float64]  # (V, 3)
Faces: TypeAlias = npt.NDArray[np.int64]  # (F, 3)
Grid: TypeAlias = npt.NDArray[np.bool_]  # (R, R, R) indexed x, y, z
PackedGrid: TypeAlias = npt.NDArray[np.uint8]  # (R^3 / 8,), C order x, y, z, MSB first
Image: TypeAlias = npt.NDArray[np.uint8]  # (H, W, 3) or (H, W, 4) sRGB, straight alpha
Matrix: TypeAlias = npt.NDArray[np.float64]  # (3, 3) or (4, 4)

SPLITS = ("train", "val", "test")

# Rotations that bring a source's own axes into the world frame above (rows are world axes).
# Proper rotations only: a reflection would turn left chairs into right ones.
UP_AXIS_TO_WORLD: dict[str, npt.NDArray[np.float64]] = {
    "y": np.eye(3),
    # (x, y, z) -> (-x, z, y): +Z up becomes +Y up, the front at -Y becomes -Z ... ModelNet, Blender.
    "z": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    # (x, y, z) -> (-y, x, z): +X up becomes +Y up.
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}

# ShapeNetCore v1 (and 3D-R2N2, made from it) has +Y up and the front at +X, where v2 has -Z:
# (x, y, z) -> (z, y, -x).  Seen on the chairs and airplanes of both releases.
SHAPENET_V1_TO_WORLD = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def voxel_centres(resolution: int) -> npt.NDArray[np.float64]:
    """(R,) coordinates of the voxel centres along one axis, in unit-box sides."""
    return (np.arange(resolution) + 0.5) / resolution - 0.5


def pack_grid(grid: Grid) -> PackedGrid:
    """(R, R, R) bool -> (R^3 / 8,) uint8, C order, most significant bit first."""
    return np.packbits(np.ascontiguousarray(grid, dtype=bool).reshape(-1))


def unpack_grid(bits: PackedGrid, resolution: int) -> Grid:
    """Inverse of `pack_grid`."""
    return np.unpackbits(bits, count=resolution**3).reshape((resolution,) * 3).astype(bool)
