"""The surface of a voxel grid as triangles, for sources that publish voxels only.

Surface nets (Gibson, "Constrained Elastic Surface Nets", MICCAI 1998) without the relaxation:
every cube of eight voxel centres that are not alike holds one vertex, at the mean of the
middles of the cube's edges that cross the surface; every such edge is crossed by one quad of
the four vertices around it.  The surface is closed, its normals point out of the occupied
part, and it passes between the centres of every two voxels that differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.conventions import Grid
from pipeline.meshes.mesh import Mesh


def surface_of(grid: Grid) -> Mesh:
    """Occupied voxels (R, R, R) -> Mesh in the unit box of conventions.py."""
    return level_surface(grid.astype(np.float64), 0.5)


def level_surface(field: npt.NDArray[np.float64], level: float) -> Mesh:
    """Where a field (R, R, R), 0 outside, is `level` (above 0) -> Mesh; edges are cut by linear interpolation."""
    padded = np.pad(field, 1)
    inside = (padded >= level).astype(np.int8)
    crossings = [np.asarray(np.diff(inside, axis=axis), np.int8) for axis in range(3)]  # +1: the surface is entered
    cells = padded.shape[0] - 1
    total, count = np.zeros((cells, cells, cells, 3)), np.zeros((cells, cells, cells))
    for axis, crossing in enumerate(crossings):
        fraction = _fractions(padded, level, axis, crossing)
        others = [other for other in range(3) if other != axis]
        for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
            window = [slice(None)] * 3
            middle = np.zeros(3)
            for other, step in zip(others, shift):
                window[other] = slice(step, step + cells)
                middle[other] = step
            crossed = crossing[tuple(window)] != 0
            count += crossed
            total += crossed[..., None] * middle
            total[..., axis] += crossed * fraction[tuple(window)]
    mixed = count > 0
    number = np.full(count.shape, -1, dtype=np.int64)
    number[mixed] = np.arange(int(mixed.sum()))
    corner = np.argwhere(mixed) - 1  # of the cell's lowest voxel, in the grid before padding
    vertices = (corner + total[mixed] / count[mixed][:, None] + 0.5) / field.shape[0] - 0.5
    faces = np.concatenate([_quads(number, crossing, axis) for axis, crossing in enumerate(crossings)])
    return Mesh(vertices, faces)


def _fractions(
    padded: npt.NDArray[np.float64], level: float, axis: int, crossing: npt.NDArray[np.int8]
) -> npt.NDArray[np.float64]:
    """How far along each edge the field is `level`, in [0, 1]; 0 where it does not cross."""
    step = np.diff(padded, axis=axis)
    start = np.take(padded, np.arange(padded.shape[axis] - 1), axis=axis)
    out = np.zeros_like(step)
    np.divide(level - start, step, out=out, where=crossing != 0)
    return out


def _quads(number: npt.NDArray[np.int64], crossing: npt.NDArray[np.int8], axis: int) -> npt.NDArray[np.int64]:
    """Two triangles (2 N, 3) around each crossed edge along `axis`."""
    place = np.argwhere(crossing)
    sign = crossing[tuple(place.T)]
    first, second = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    first[(axis + 1) % 3] = second[(axis + 2) % 3] = 1
    ring = [number[tuple((place - step).T)] for step in (first + second, second, 0 * first, first)]
    quads = np.stack(ring, axis=1)
    # Counter-clockwise about +axis; where the surface is entered the outside lies towards -axis.
    quads[sign > 0] = quads[sign > 0, ::-1]
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
