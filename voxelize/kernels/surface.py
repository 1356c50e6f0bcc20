"""binvox's ``-e``: every voxel that the surface touches, by the separating-axis test.

A voxel is on iff a triangle meets its cube, inflated by 0.01 voxel on each half side; the
candidates are floor(min) ... floor(max) of the triangle's bounding box.  The test is that of
Akenine-Moeller (2001, "Fast 3D triangle-box overlap testing"), arranged as edge functions of
the three projections plus the plane (Schwarz and Seidel 2010, "Fast parallel surface and
solid voxelization on GPUs").  A triangle whose box spans one voxel in two axes needs no test,
in one axis only the test of one projection.  Which voxels a box spans is told by the voxels of
the corners, which are packed into one integer each: most triangles of a dense mesh need no more.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from voxelize.kernels.bits import ONE, span

HALF = 0.51  # half side of the inflated voxel
FIELD = 11  # bits for a voxel number, of at most 1024 and what lies around the grid
MASK = (1 << FIELD) - 1
SKIPPED = 1 << 3 * FIELD


@njit(cache=True, nogil=True)
def surface_words(points, faces, skip, words):  # type: ignore[no-untyped-def]
    """Switch on in words (R, R, W) every voxel that the surface touches; points in voxel units.

    skip (R, R, W): voxels that are of no interest and may be left out; None to have them all.
    """
    keys = _keys(points, words.shape[0] - 1, skip)
    _mark_faces(points, faces, keys, skip, words)


@njit(cache=True, nogil=True)
def _place(value, limit):  # type: ignore[no-untyped-def]
    """Number of the voxel that a coordinate is in; -2 and limit + 2 where it is too far out to touch any."""
    if value < 0.5 - HALF:
        return -2
    if value > limit + 0.5 + HALF:
        return limit + 2
    return int(np.floor(value))


@njit(cache=True, nogil=True)
def _keys(points, limit, skip):  # type: ignore[no-untyped-def]
    """The voxel of every point (V, 3) -> (V,) int64: x, y, z plus 2 in FIELD bits each, and SKIPPED.

    SKIPPED: the voxel is on in skip, or the point is so far out that a triangle there touches nothing.
    """
    keys = np.empty(points.shape[0], dtype=np.int64)
    for row in range(points.shape[0]):
        x, y, z = _place(points[row, 0], limit), _place(points[row, 1], limit), _place(points[row, 2], limit)
        key = (x + 2) | (y + 2) << FIELD | (z + 2) << 2 * FIELD
        if min(x, y, z) == -2 or max(x, y, z) == limit + 2:
            key |= SKIPPED
        elif skip is not None:
            z = min(max(z, 0), limit)
            word = skip[min(max(x, 0), limit), min(max(y, 0), limit), z >> 6]
            if (word >> np.uint64(z & 63)) & ONE:
                key |= SKIPPED
        keys[row] = key
    return keys


@njit(cache=True, nogil=True)
def _mark_faces(points, faces, keys, skip, words):  # type: ignore[no-untyped-def]
    limit = words.shape[0] - 1
    for face in range(faces.shape[0]):
        i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
        key0, key1, key2 = keys[i0], keys[i1], keys[i2]
        if key0 == key1 and key0 == key2 and key0 & SKIPPED:
            continue
        x0, x1, wide_x = _reach(key0, key1, key2, 0, limit)
        y0, y1, wide_y = _reach(key0, key1, key2, FIELD, limit)
        z0, z1, wide_z = _reach(key0, key1, key2, 2 * FIELD, limit)
        if x1 < x0 or y1 < y0 or z1 < z0:
            continue
        wide = wide_x + wide_y + wide_z
        if wide == 0:
            words[x0, y0, z0 >> 6] |= ONE << np.uint64(z0 & 63)
            continue
        if skip is not None and _covered(skip, x0, x1, y0, y1, z0, z1):
            continue
        if wide == 1:
            for x in range(x0, x1 + 1):
                for y in range(y0, y1 + 1):
                    for w in range(z0 >> 6, (z1 >> 6) + 1):
                        words[x, y, w] |= span(z0, z1 + 1, w)
        elif wide == 2:
            _mark_flat(points[i0], points[i1], points[i2], (x0, y0, z0), (x1, y1, z1), (wide_x, wide_y, wide_z), words)
        else:
            _mark_general(points[i0], points[i1], points[i2], (x0, y0, z0), (x1, y1, z1), words)


@njit(cache=True, nogil=True)
def _reach(key0, key1, key2, shift, limit):  # type: ignore[no-untyped-def]
    """Voxels low ... high, in 0 ... limit, that an extent touches (none: high < low), and whether it spans several."""
    a, b, c = (key0 >> shift) & MASK, (key1 >> shift) & MASK, (key2 >> shift) & MASK
    least, most = min(a, b, c) - 2, max(a, b, c) - 2
    if most == -2 or least == limit + 2:
        return 0, -1, 0
    least, most = max(least, -1), min(most, limit + 1)
    return min(max(least, 0), limit), max(min(most, limit), 0), 1 if most > least else 0


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
def _edge(pa, pb, qa, qb, ra, rb):  # type: ignore[no-untyped-def]
    """The edge p-q of a projected triangle p q r -> slope, first, last; least, most.

    A voxel (i, j) passes iff first <= slope * i + j <= last and least <= i <= most.
    """
    normal_a, normal_b = pb - qb, qa - pa
    third = normal_a * (ra - pa) + normal_b * (rb - pb)
    radius = HALF * (abs(normal_a) + abs(normal_b))
    # The cube's centre is at (i + 0.5, j + 0.5).
    offset = normal_a * (pa - 0.5) + normal_b * (pb - 0.5)
    low, high = offset + min(third, 0.0) - radius, offset + max(third, 0.0) + radius
    if normal_b != 0.0:
        inverse = 1.0 / normal_b
        first, last = low * inverse, high * inverse
        return normal_a * inverse, min(first, last), max(first, last), -np.inf, np.inf
    if normal_a != 0.0:
        inverse = 1.0 / normal_a
        first, last = low * inverse, high * inverse
        return 0.0, -np.inf, np.inf, min(first, last), max(first, last)
    return 0.0, -np.inf, np.inf, -np.inf, np.inf


@njit(cache=True, nogil=True)
def _edges(p, q, r, a, b):  # type: ignore[no-untyped-def]
    """The three edges of the projection on axes (a, b) -> slopes, firsts, lasts (3 each); least, most."""
    pa, pb, qa, qb, ra, rb = p[a], p[b], q[a], q[b], r[a], r[b]
    slope0, first0, last0, least0, most0 = _edge(pa, pb, qa, qb, ra, rb)
    slope1, first1, last1, least1, most1 = _edge(qa, qb, ra, rb, pa, pb)
    slope2, first2, last2, least2, most2 = _edge(ra, rb, pa, pb, qa, qb)
    least, most = max(least0, least1, least2), min(most0, most1, most2)
    return (slope0, slope1, slope2), (first0, first1, first2), (last0, last1, last2), least, most


@njit(cache=True, nogil=True)
def _narrow(edges, i, low, high):  # type: ignore[no-untyped-def]
    """The part of low ... high of the second axis that passes all three edges at i, as (low, high)."""
    slopes, firsts, lasts, least, most = edges
    if i < least or i > most:
        return low, low - 1
    across0, across1, across2 = slopes[0] * i, slopes[1] * i, slopes[2] * i
    first = max(max(firsts[0] - across0, firsts[1] - across1), max(firsts[2] - across2, low - 0.5))
    last = min(min(lasts[0] - across0, lasts[1] - across1), min(lasts[2] - across2, high + 0.5))
    return max(low, int(np.ceil(first))), min(high, int(np.floor(last)))


@njit(cache=True, nogil=True)
def _column(i, j, c, size, width):  # type: ignore[no-untyped-def]
    """Where voxels (i, j) of the axes c+1, c+2 lie along axis c: first word, words from one to the next, bit.

    Along z (c = 2) the bits follow each other in a word instead.
    """
    if c == 2:
        return (i * size + j) * width, 1, np.uint64(0)
    if c == 0:
        return i * width + (j >> 6), size * width, np.uint64(j & 63)
    return j * size * width + (i >> 6), width, np.uint64(i & 63)


@njit(cache=True, nogil=True)
def _fill(flat, i, j, c, size, width, start, stop):  # type: ignore[no-untyped-def]
    """Switch on the voxels start ... stop along axis c."""
    place, step, bit = _column(i, j, c, size, width)
    if c == 2:
        for w in range(start >> 6, (stop >> 6) + 1):
            flat[place + w] |= span(start, stop + 1, w)
    else:
        for k in range(start, stop + 1):
            flat[place + k * step] |= ONE << bit


@njit(cache=True, nogil=True)
def _mark_flat(p, q, r, low, high, wide, words):  # type: ignore[no-untyped-def]
    """A triangle whose box spans several voxels in two axes: one projection."""
    size, _, width = words.shape
    flat = words.reshape(-1)
    a = 1 if not wide[0] else 2 if not wide[1] else 0
    b, c = (a + 1) % 3, (a + 2) % 3
    edges = _edges(p, q, r, a, b)
    for i in range(low[a], high[a] + 1):
        start, stop = _narrow(edges, i, low[b], high[b])
        # Along b, of which c and a are the next axes.
        if start <= stop:
            _fill(flat, low[c], i, b, size, width, start, stop)


@njit(cache=True, nogil=True)
def _mark_general(p, q, r, low, high, words):  # type: ignore[no-untyped-def]
    """A triangle whose box spans several voxels in all three axes: plane and three projections."""
    size, _, width = words.shape
    flat = words.reshape(-1)
    ex, ey, ez = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    fx, fy, fz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    normal = (ey * fz - ez * fy, ez * fx - ex * fz, ex * fy - ey * fx)
    radius = HALF * (abs(normal[0]) + abs(normal[1]) + abs(normal[2]))
    # The axis that the plane faces most, so that few voxels of a column are near the plane.
    c = 0
    for axis in range(1, 3):
        if abs(normal[axis]) > abs(normal[c]):
            c = axis
    a, b = (c + 1) % 3, (c + 2) % 3
    low_c, high_c = low[c], high[c]
    inverse = 1.0 / normal[c] if normal[c] != 0.0 else 0.0
    slope_a, slope_b = normal[a] * inverse, normal[b] * inverse
    reach = abs(radius * inverse) if inverse != 0.0 else np.inf
    centre = p[c] - 0.5 + slope_a * (p[a] - 0.5) + slope_b * (p[b] - 0.5)
    edges = _edges(p, q, r, a, b)
    edges_a, edges_b = _edges(p, q, r, a, c), _edges(p, q, r, b, c)
    for i in range(low[a], high[a] + 1):
        first, last = _narrow(edges, i, low[b], high[b])
        if last < first:
            continue
        least, most = _narrow(edges_a, i, low_c, high_c)
        for j in range(first, last + 1):
            plane = centre - slope_a * i - slope_b * j
            start = max(least, int(np.ceil(max(plane - reach, -1.0))))
            stop = min(most, int(np.floor(min(plane + reach, high_c + 1.0))))
            if start > stop:
                continue
            start, stop = _narrow(edges_b, j, start, stop)
            if start <= stop:
                _fill(flat, i, j, c, size, width, start, stop)
