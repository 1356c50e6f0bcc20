"""The surface of a voxel grid or of a field as triangles: closed, manifold and wound outwards.

Marching cubes with the tables that tell ambiguous cubes apart (Lewiner et al., "Efficient
implementation of marching cubes' cases with topological guarantees", 2003), by scikit-image.
Three things are done to the field so that the guarantee holds for every one of them:

    a border of empty voxels    the surface never meets the end of the grid, so it is closed
    no value near the level     vertices on different edges of the grid stay apart
    the level is a hair off     of a cube's ambiguous face with equal products (always so where a
                                field has two values) both neighbours decide alike
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from pipeline.conventions import Array, Faces, Grid, Vertices
from pipeline.meshes.mesh import Mesh

Field: TypeAlias = Float64[Array, "R R R"]

# Both in shares of the field's largest distance from the level.
_LEAST_DISTANCE = 0.01  # a vertex stays at least this share of an edge from its ends
_OFF = 1e-4


def surface_of(grid: Grid) -> Mesh:
    """Occupied voxels (R, R, R) -> Mesh in the unit box of conventions.py; its sides lie where the voxels end."""
    vertices, faces = _marched(np.where(np.pad(grid, 1), 1.0, -1.0))
    # Every vertex lies in the middle between two voxel centres.
    return _in_unit_box(np.rint(2 * vertices) / 2, faces, len(grid))


def level_surface(field: Field, level: float) -> Mesh:
    """Where a field, 0 outside, is `level`, which is above 0 -> Mesh; without faces where it is nowhere as high."""
    if level <= 0:
        raise ValueError(f"the level {level} does not lie above the 0 outside the field")
    distance = np.pad(field, 1) - level
    largest = float(np.abs(distance).max())
    least = _LEAST_DISTANCE * largest
    distance = np.where(distance >= 0, np.maximum(distance, least), np.minimum(distance, -least))
    return _in_unit_box(*_marched(distance / largest), len(field))


def _marched(padded: Field) -> tuple[Vertices, Faces]:
    """Vertices in voxels before padding, centres at whole numbers, and the faces around what is positive."""
    from skimage.measure import marching_cubes  # takes a moment to load, and few commands need it

    if not (padded > 0).any():
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    found = marching_cubes(padded, _OFF, gradient_direction="ascent")  # type: ignore[no-untyped-call]
    vertices, faces = found[:2]
    return vertices.astype(np.float64) - 1, faces.astype(np.int64)


def _in_unit_box(vertices: Vertices, faces: Faces, resolution: int) -> Mesh:
    return Mesh((vertices + 0.5) / resolution - 0.5, faces)
