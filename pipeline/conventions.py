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

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
else:
    Array = np.ndarray

# Free space on each side of the longest extent, in unit-box sides: half a voxel at 32^3,
# so that a surface voxel of the longest side never falls outside the grid.
MARGIN = 0.5 / 32

# Shapes are types.  A signature names its arrays from this family, or writes the shape where none fits:
# ``Float64[Array, "V 3"]``, the element type and then one word a dimension.  A word without an underscore is one
# number within one call (V vertices have V colours); with it, it is a label only (a mesh goes in, a smaller one comes
# out); "..." is any number of dimensions, a number is itself.  A single word begins with a space, so that linters do
# not take it for a name.  mypy sees an array; the tests check shapes and element types at run time (tests/shapes.py).
Vertices: TypeAlias = Float64[Array, "_V 3"]
Faces: TypeAlias = Int64[Array, "_F 3"]  # rows of `Vertices`
Grid: TypeAlias = Bool[Array, "R R R"]  # indexed x, y, z
Cuboid: TypeAlias = Bool[Array, "_X _Y _Z"]  # a grid whose sides may differ
PackedGrid: TypeAlias = UInt8[Array, " _P"]  # R^3 / 8 bytes: C order x, y, z, most significant bit first
Image: TypeAlias = UInt8[Array, "_H _W _C"]  # 3 or 4 channels: sRGB, straight alpha
Images: TypeAlias = UInt8[Array, "_N _H _W _C"]
Alpha: TypeAlias = UInt8[Array, "_H _W"]  # 0 outside the object, 255 inside, between them at its rim
Depth: TypeAlias = Float32[Array, "_H _W"]  # along the camera's -Z in unit-box sides, inf where nothing is
Matrix: TypeAlias = Float64[Array, "_N _N"]  # 3 or 4: one may stand for the other
Rotation: TypeAlias = Float64[Array, "3 3"]
Intrinsics: TypeAlias = Float64[Array, "3 3"]  # K
Transform: TypeAlias = Float64[Array, "4 4"]  # homogeneous; camera_to_world
Points: TypeAlias = Float64[Array, "_N 3"]
Floats: TypeAlias = Float64[Array, "..."]  # any shape: the docstring says which
Floats32: TypeAlias = Float32[Array, "..."]
Ints: TypeAlias = Int64[Array, "..."]
Bools: TypeAlias = Bool[Array, "..."]
Bytes: TypeAlias = UInt8[Array, "..."]

SPLITS = ("train", "val", "test")

# Rotations that bring a source's own axes into the world frame above (rows are world axes).
# Proper rotations only: a reflection would turn left chairs into right ones.
UP_AXIS_TO_WORLD: dict[str, Rotation] = {
    "y": np.eye(3),
    # (x, y, z) -> (-x, z, y): +Z up becomes +Y up, the front at -Y becomes -Z ... ModelNet, Blender.
    "z": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    # (x, y, z) -> (-y, x, z): +X up becomes +Y up.
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}

# ShapeNetCore v1 (and 3D-R2N2, made from it) has +Y up and the front at +X, where v2 has -Z:
# (x, y, z) -> (z, y, -x).  Seen on the chairs and airplanes of both releases.
SHAPENET_V1_TO_WORLD = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def voxel_centres(resolution: int) -> Float64[Array, " {resolution}"]:
    """(R,) coordinates of the voxel centres along one axis, in unit-box sides."""
    return (np.arange(resolution) + 0.5) / resolution - 0.5


def pack_grid(grid: Grid) -> PackedGrid:
    """(R, R, R) bool -> (R^3 / 8,) uint8, C order, most significant bit first."""
    return np.packbits(np.ascontiguousarray(grid, dtype=bool).reshape(-1))


def unpack_grid(bits: PackedGrid, resolution: int) -> Grid:
    """Inverse of `pack_grid`."""
    return np.unpackbits(bits, count=resolution**3).reshape((resolution,) * 3).astype(bool)
