"""binvox's ``-aw``: the edges of the triangles, drawn as lines of one pixel from the three sides.

A line is stepped along its longer axis in the picture (GL's diamond-exit rule for lines of
width one); every pixel it covers counts as a crossing at the line's depth there.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def draw_wires(points, faces, resolution, first, last):  # type: ignore[no-untyped-def]
    """Widen first, last (3, R*R) by the edges of faces (F, 3), points in voxel units."""
    for face in range(faces.shape[0]):
        for corner in range(3):
            a, b = faces[face, corner], faces[face, (corner + 1) % 3]
            for axis in range(3):
                _line(points, a, b, axis, resolution, first[axis], last[axis])


@njit(cache=True, nogil=True)
def _line(points, a, b, axis, resolution, first, last):  # type: ignore[no-untyped-def]
    u, w = (axis + 1) % 3, (axis + 2) % 3
    steep = abs(points[b, w] - points[a, w]) > abs(points[b, u] - points[a, u])
    major, minor = (w, u) if steep else (u, w)
    if points[a, major] > points[b, major]:
        a, b = b, a
    start, stop = points[a, major], points[b, major]
    if not stop > start:
        return
    minor_slope = (points[b, minor] - points[a, minor]) / (stop - start)
    depth_slope = (points[b, axis] - points[a, axis]) / (stop - start)
    for i in range(int(np.ceil(max(start, 0.0) - 0.5)), int(np.ceil(min(stop, resolution + 0.0) - 0.5))):
        along = i + 0.5 - start
        j = int(np.floor(points[a, minor] + minor_slope * along))
        depth = points[a, axis] + depth_slope * along
        if 0 <= j < resolution and 0 <= i < resolution and 0.0 <= depth <= resolution:
            line = j * resolution + i if steep else i * resolution + j
            k = int(np.floor(depth + 0.5))
            first[line] = min(first[line], k)
            last[line] = max(last[line], k)
