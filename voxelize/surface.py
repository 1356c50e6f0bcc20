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
    """Edge functions of the projection on axes (a, b): out (3, 4) of A, B, low, high.

    A voxel (i, j) passes edge e iff low <= A i + B j <= high.
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
        out[e, 0], out[e, 1] = normal_a, normal_b
        out[e, 2], out[e, 3] = offset + min(third, 0.0) - radius, offset + max(third, 0.0) + radius


@njit(cache=True, nogil=True)
def _passes(edges, i, j):  # type: ignore[no-untyped-def]
    for e in range(3):
        value = edges[e, 0] * i + edges[e, 1] * j
        if value < edges[e, 2] or value > edges[e, 3]:
            return False
    return True


@njit(cache=True, nogil=True)
def _set(words, x, y, z):  # type: ignore[no-untyped-def]
    words[x, y, z >> 6] |= ONE << np.uint64(z & 63)


@njit(cache=True, nogil=True)
def _covered(skip, low, high):  # type: ignore[no-untyped-def]
    """Are all voxels of the box low ... high on in skip (R, R, W)?"""
    for w in range(low[2] >> 6, (high[2] >> 6) + 1):
        wanted = span(low[2], high[2] + 1, w)
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                if wanted & ~skip[x, y, w]:
                    return False
    return True


@njit(cache=True, nogil=True)
def surface_words(points, faces, resolution, skip, words):  # type: ignore[no-untyped-def]
    """Switch on in words (R, R, W) every voxel that the surface touches; points in voxel units.

    Voxels that are on in `skip` are of no interest and may be left out; zeros to have them all.
    """
    low = np.empty(3, dtype=np.int64)
    high = np.empty(3, dtype=np.int64)
    edges = np.empty((3, 4))
    at = np.empty(3, dtype=np.int64)
    scratch = np.empty((2, 3, 4))
    for face in range(faces.shape[0]):
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        outside = False
        wide, flat = 0, 0
        for axis in range(3):
            a, b, c = points[i0, axis], points[i1, axis], points[i2, axis]
            least, most = min(a, b, c), max(a, b, c)
            outside |= most < 0.5 - HALF or least > resolution - 0.5 + HALF
            below, above = np.floor(max(least, -1.0)), np.floor(min(most, resolution + 0.0))
            low[axis] = max(int(below), 0)
            high[axis] = min(int(above), resolution - 1)
            if below == above:  # also a face on the far side of the grid
                low[axis] = high[axis] = min(low[axis], resolution - 1)
            if above > below:
                wide += 1
            else:
                flat = axis
        if outside or _covered(skip, low, high):
            continue
        if wide <= 1:
            for x in range(low[0], high[0] + 1):
                for y in range(low[1], high[1] + 1):
                    for z in range(low[2], high[2] + 1):
                        _set(words, x, y, z)
        elif wide == 2:
            a, b = (flat + 1) % 3, (flat + 2) % 3
            _edges(points, i0, i1, i2, a, b, edges)
            at[flat] = low[flat]
            for i in range(low[a], high[a] + 1):
                at[a] = i
                for j in range(low[b], high[b] + 1):
                    if _passes(edges, i, j):
                        at[b] = j
                        _set(words, at[0], at[1], at[2])
        else:
            _mark_general(points, i0, i1, i2, low, high, edges, scratch, at, words)


@njit(cache=True, nogil=True)
def _mark_general(points, i0, i1, i2, low, high, edges, scratch, at, words):  # type: ignore[no-untyped-def]
    """A triangle whose box spans several voxels in all three axes: plane and three projections."""
    px, py, pz = points[i0, 0], points[i0, 1], points[i0, 2]
    ex, ey, ez = points[i1, 0] - px, points[i1, 1] - py, points[i1, 2] - pz
    fx, fy, fz = points[i2, 0] - px, points[i2, 1] - py, points[i2, 2] - pz
    normal = (ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx)
    radius = HALF * (abs(normal[0]) + abs(normal[1]) + abs(normal[2]))
    c = 0  # the axis that the plane faces most, so that few voxels of a column are near the plane
    for axis in range(1, 3):
        if abs(normal[axis]) > abs(normal[c]):
            c = axis
    a, b = (c + 1) % 3, (c + 2) % 3
    na, nb, nc = normal[a], normal[b], normal[c]
    pa, pb, pc = points[i0, a] - 0.5, points[i0, b] - 0.5, points[i0, c] - 0.5
    _edges(points, i0, i1, i2, a, b, edges)
    _edges(points, i0, i1, i2, b, c, scratch[0])
    _edges(points, i0, i1, i2, c, a, scratch[1])
    for i in range(low[a], high[a] + 1):
        at[a] = i
        for j in range(low[b], high[b] + 1):
            if not _passes(edges, i, j):
                continue
            at[b] = j
            aside = na * (i - pa) + nb * (j - pb)
            start, stop = low[c], high[c]
            if nc != 0.0:
                centre, reach = pc - aside / nc, radius / abs(nc) + 1.0
                start = max(start, int(max(centre - reach, 0.0)))
                stop = min(stop, int(max(centre + reach, -1.0)))
            for k in range(start, stop + 1):
                if abs(aside + nc * (k - pc)) > radius:
                    continue
                if _passes(scratch[0], j, k) and _passes(scratch[1], k, i):
                    at[c] = k
                    _set(words, at[0], at[1], at[2])
