"""binvox's ``-aw``: the edges of the triangles are drawn too, one pixel wide, from all six sides.

How the original draws them was found by comparing with its files; it is the rule of OpenGL 1.x
(specification 2.1, section 3.4.1, "diamond exit"):

- A line is stepped along its longer axis in the picture.  Its first pixel counts if the line
  starts before the middle of the pixel or inside the pixel's diamond; its last one if the line
  ends beyond the middle and outside the diamond.
- A line exactly between two rows of pixels belongs to the lower one; the picture from behind is
  mirrored, so seen along z the two sides disagree about x, and such a pixel is hit from one
  side only.
- The triangles lie deeper than their edges by their slope (`columns.cross_lines`, pushed_back).
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def draw_wires(points, faces, resolution, first, last):  # type: ignore[no-untyped-def]
    """Widen first and last (3, R*R) by the edges of faces (F, 3); points in voxel units."""
    for face in range(faces.shape[0]):
        for corner in range(3):
            a, b = faces[face, corner], faces[face, (corner + 1) % 3]
            for axis in range(3):
                _line(points, a, b, axis, resolution, first[axis], last[axis])


@njit(cache=True, nogil=True)
def _inside_diamond(major, minor):  # type: ignore[no-untyped-def]
    return abs(major - np.floor(major) - 0.5) + abs(minor - np.floor(minor) - 0.5) < 0.5


@njit(cache=True, nogil=True)
def _pixels(start, stop, start_minor, stop_minor):  # type: ignore[no-untyped-def]
    """Pixels [i, j) along the longer axis of a line from start to stop, by the diamond-exit rule."""
    first, last = int(np.floor(start)), int(np.floor(stop))
    way = 1.0 if stop > start else -1.0
    draw_first = (start - first - 0.5) * way <= 0.0 or _inside_diamond(start, start_minor)
    draw_last = (stop - last - 0.5) * way > 0.0 and not _inside_diamond(stop, stop_minor)
    if way > 0.0:
        return first + (0 if draw_first else 1), last + (1 if draw_last else 0)
    return last + (0 if draw_last else 1), first + (1 if draw_first else 0)


@njit(cache=True, nogil=True)
def _line(points, a, b, axis, resolution, first, last):  # type: ignore[no-untyped-def]
    u, w = (axis + 1) % 3, (axis + 2) % 3
    steep = abs(points[b, w] - points[a, w]) > abs(points[b, u] - points[a, u])
    major, minor = (w, u) if steep else (u, w)
    start, stop = points[a, major], points[b, major]
    if start == stop or min(start, stop) > resolution or max(start, stop) < 0.0:
        return
    minor_slope = (points[b, minor] - points[a, minor]) / (stop - start)
    depth_slope = (points[b, axis] - points[a, axis]) / (stop - start)
    low, high = _pixels(start, stop, points[a, minor], points[b, minor])
    for i in range(max(low, 0), min(high, resolution)):
        along = i + 0.5 - start
        across = points[a, minor] + minor_slope * along
        depth = points[a, axis] + depth_slope * along
        if not (0.0 <= across <= resolution and 0.0 <= depth <= resolution):
            continue
        k = int(np.floor(depth + 0.5))
        back = int(np.ceil(across)) - 1
        front = int(np.floor(across)) if axis == 2 and minor == 0 else back
        if 0 <= front < resolution:
            line = front * resolution + i if steep else i * resolution + front
            first[line] = min(first[line], k)
        if 0 <= back < resolution:
            line = back * resolution + i if steep else i * resolution + back
            last[line] = max(last[line], k)
