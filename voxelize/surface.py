"""binvox's ``-e``: every voxel that the surface touches, by the separating-axis test.

A voxel is on iff a triangle meets its cube, inflated by 0.01 voxel on each half side; the
candidates are floor(min) ... floor(max) of the triangle's bounding box.  The test is that of
Akenine-Moeller (2001, "Fast 3D triangle-box overlap testing"), arranged as edge functions of
the three projections plus the plane (Schwarz and Seidel 2010, "Fast parallel surface and
solid voxelization on GPUs").  A triangle whose box spans one voxel in two axes needs no test,
in one axis only the test of one projection.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from voxelize.bits import ONE, span

HALF = 0.51  # half side of the inflated voxel


@njit(cache=True, nogil=True)
def _edges(points, i0, i1, i2, a, b, out):  # type: ignore[no-untyped-def]
    """Edge functions of the projection on axes (a, b): out (3, 4) of A, 1 / B, low, high.

    A voxel (i, j) passes an edge iff low <= A i + B j <= high; A and B are the edge's normal.
    B = 0 is stored as 1 / B = 0.
    """
    corners = (i0, i1, i2, i0, i1)
    for e in range(3):
        p, q, r = corners[e], corners[e + 1], corners[e + 2]
        pa, pb = points[p, a], points[p, b]
        normal_a, normal_b = pb - points[q, b], points[q, a] - pa
        third = normal_a * (points[r, a] - pa) + normal_b * (points[r, b] - pb)
        radius = HALF * (abs(normal_a) + abs(normal_b))
        # The cube's centre is at (i + 0.5, j + 0.5).
        offset = normal_a * (pa - 0.5) + normal_b * (pb - 0.5)
        out[e, 0] = normal_a
        out[e, 1] = 1.0 / normal_b if normal_b != 0.0 else 0.0
        out[e, 2], out[e, 3] = offset + min(third, 0.0) - radius, offset + max(third, 0.0) + radius


@njit(cache=True, nogil=True)
def _narrow(edges, i, low, high):  # type: ignore[no-untyped-def]
    """The part of low ... high of the second axis that passes all three edges at i, as (low, high)."""
    least, most = low - 0.5, high + 0.5
    for e in range(3):
        across = edges[e, 0] * i
        first, last, inverse = edges[e, 2] - across, edges[e, 3] - across, edges[e, 1]
        if inverse > 0.0:
            least, most = max(least, first * inverse), min(most, last * inverse)
        elif inverse < 0.0:
            least, most = max(least, last * inverse), min(most, first * inverse)
        elif first > 0.0 or last < 0.0:
            return low, low - 1
    return max(low, int(np.ceil(least))), min(high, int(np.floor(most)))


@njit(cache=True, nogil=True)
def _covered(skip, x0, x1, y0, y1, z0, z1):  # type: ignore[no-untyped-def]
    """Are all voxels of a box on in skip (R, R, W)?"""
    for w in range(z0 >> 6, (z1 >> 6) + 1):
        wanted = span(z0, z1 + 1, w)
        for x in range(x0, x1 + 1):
            for y in range(y0, y1 + 1):
                if wanted & ~skip[x, y, w]:
                    return False
    return True


@njit(cache=True, nogil=True)
def _fill(words, at, axis, start, stop):  # type: ignore[no-untyped-def]
    """Switch on the voxels start ... stop along one axis through `at`."""
    if axis == 2:
        for w in range(start >> 6, (stop >> 6) + 1):
            words[at[0], at[1], w] |= span(start, stop + 1, w)
        return
    bit = ONE << np.uint64(at[2] & 63)
    for k in range(start, stop + 1):
        if axis == 0:
            words[k, at[1], at[2] >> 6] |= bit
        else:
            words[at[0], k, at[2] >> 6] |= bit


@njit(cache=True, nogil=True)
def surface_words(points, faces, resolution, skip, words):  # type: ignore[no-untyped-def]
    """Switch on in words (R, R, W) every voxel that the surface touches; points in voxel units.

    Voxels that are on in `skip` are of no interest and may be left out; zeros to have them all.
    """
    low = np.empty(3, dtype=np.int64)
    high = np.empty(3, dtype=np.int64)
    edges = np.empty((3, 3, 4))
    at = np.empty(3, dtype=np.int64)
    limit = resolution - 1
    for face in range(faces.shape[0]):
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        x0, x1, wide_x = _reach(points[i0, 0], points[i1, 0], points[i2, 0], limit)
        y0, y1, wide_y = _reach(points[i0, 1], points[i1, 1], points[i2, 1], limit)
        z0, z1, wide_z = _reach(points[i0, 2], points[i1, 2], points[i2, 2], limit)
        if x1 < x0 or y1 < y0 or z1 < z0:
            continue
        wide = wide_x + wide_y + wide_z
        if wide == 0:  # most triangles of a dense mesh
            words[x0, y0, z0 >> 6] |= (ONE << np.uint64(z0 & 63)) & ~skip[x0, y0, z0 >> 6]
            continue
        if _covered(skip, x0, x1, y0, y1, z0, z1):
            continue
        if wide == 1:
            for x in range(x0, x1 + 1):
                for y in range(y0, y1 + 1):
                    for w in range(z0 >> 6, (z1 >> 6) + 1):
                        words[x, y, w] |= span(z0, z1 + 1, w)
            continue
        low[0], low[1], low[2] = x0, y0, z0
        high[0], high[1], high[2] = x1, y1, z1
        if wide == 2:
            flat = 0 if not wide_x else 1 if not wide_y else 2
            a, b = (flat + 1) % 3, (flat + 2) % 3
            _edges(points, i0, i1, i2, a, b, edges[0])
            at[flat] = low[flat]
            for i in range(low[a], high[a] + 1):
                at[a] = i
                start, stop = _narrow(edges[0], i, low[b], high[b])
                _fill(words, at, b, start, stop)
        else:
            _mark_general(points, i0, i1, i2, low, high, edges, at, words)


@njit(cache=True, nogil=True)
def _reach(a, b, c, limit):  # type: ignore[no-untyped-def]
    """Voxels low ... high, in 0 ... limit, that an extent touches (none: high < low), and whether it spans several."""
    least, most = min(a, b, c), max(a, b, c)
    if most < 0.5 - HALF or least > limit + 0.5 + HALF:
        return 0, -1, 0
    below, above = int(np.floor(max(least, -1.0))), int(np.floor(min(most, limit + 1.0)))
    low, high = min(max(below, 0), limit), max(min(above, limit), 0)
    return low, high, 1 if above > below else 0


@njit(cache=True, nogil=True)
def _mark_general(points, i0, i1, i2, low, high, edges, at, words):  # type: ignore[no-untyped-def]
    """A triangle whose box spans several voxels in all three axes: plane and three projections."""
    px, py, pz = points[i0, 0], points[i0, 1], points[i0, 2]
    ex, ey, ez = points[i1, 0] - px, points[i1, 1] - py, points[i1, 2] - pz
    fx, fy, fz = points[i2, 0] - px, points[i2, 1] - py, points[i2, 2] - pz
    normal = (ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx)
    radius = HALF * (abs(normal[0]) + abs(normal[1]) + abs(normal[2]))
    c = np.int64(0)  # the axis that the plane faces most, so that few voxels of a column are near the plane
    for axis in range(1, 3):
        if abs(normal[axis]) > abs(normal[c]):
            c = np.int64(axis)
    a, b = (c + 1) % 3, (c + 2) % 3
    inverse = 1.0 / normal[c] if normal[c] != 0.0 else 0.0
    slope_a, slope_b, reach = normal[a] * inverse, normal[b] * inverse, abs(radius * inverse)
    centre = points[i0, c] - 0.5 + slope_a * (points[i0, a] - 0.5) + slope_b * (points[i0, b] - 0.5)
    _edges(points, i0, i1, i2, a, b, edges[0])
    _edges(points, i0, i1, i2, a, c, edges[1])
    _edges(points, i0, i1, i2, b, c, edges[2])
    for i in range(low[a], high[a] + 1):
        at[a] = i
        first, last = _narrow(edges[0], i, low[b], high[b])
        if last < first:
            continue
        least, most = _narrow(edges[1], i, low[c], high[c])
        for j in range(first, last + 1):
            start, stop = least, most
            if inverse != 0.0:
                plane = centre - slope_a * i - slope_b * j
                start = max(start, int(np.ceil(max(plane - reach, -1.0))))
                stop = min(stop, int(np.floor(min(plane + reach, high[c] + 1.0))))
            if start <= stop:
                start, stop = _narrow(edges[2], j, start, stop)
                if start <= stop:
                    at[b] = j
                    _fill(words, at, c, start, stop)
