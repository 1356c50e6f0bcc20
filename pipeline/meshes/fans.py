"""Fans of polygons, compiled: most files have quads, and hundreds of thousands of them."""

from __future__ import annotations

from numba import njit

# A triangle of a fan that is turned against its polygon by more than this share of the polygon's area leaves it.
_OUTSIDE = 1e-9


@njit(cache=True, nogil=True, error_model="numpy")
def _area_vector(vertices, a, b, c):  # type: ignore[no-untyped-def]
    """Normal of a triangle, as long as twice its area."""
    px, py, pz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    qx, qy, qz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    return py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx


@njit(cache=True, nogil=True)
def fill_fans(vertices, corners, counts, triangles, polygon, leaves):  # type: ignore[no-untyped-def]
    """Fill triangles (T, 3), positions in `corners`, and polygon (T,) with the fans of all polygons.

    leaves (N,) becomes True where a triangle of the fan is turned against its polygon: the area vectors of the fan
    add up to the polygon's (Newell's normal), and a triangle that leaves the polygon points the other way.
    """
    start = filled = 0
    for number in range(counts.size):
        first, last = filled, start + counts[number] - 1
        x = y = z = 0.0
        for corner in range(start + 1, last):
            triangles[filled, 0], triangles[filled, 1], triangles[filled, 2] = start, corner, corner + 1
            polygon[filled] = number
            filled += 1
            if counts[number] > 3:
                i, j, k = _area_vector(vertices, corners[start], corners[corner], corners[corner + 1])
                x, y, z = x + i, y + j, z + k
        if counts[number] > 3:
            bound = -_OUTSIDE * (x * x + y * y + z * z)
            for row in range(first, filled):
                corner = triangles[row, 1]
                i, j, k = _area_vector(vertices, corners[start], corners[corner], corners[corner + 1])
                if x * i + y * j + z * k < bound:
                    leaves[number] = True
                    break
        start += counts[number]
