"""Connected parts of a grid, by union-find over runs of voxels along z."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _root(parent, label):  # type: ignore[no-untyped-def]
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@njit(cache=True, nogil=True)
def _runs(words, resolution):  # type: ignore[no-untyped-def]
    """Runs of on voxels, column by column -> start (N,), stop (N,), offset (R*R + 1,) of each column's runs."""
    offset = np.zeros(resolution * resolution + 1, dtype=np.int64)
    total = 0
    for x in range(resolution):
        for y in range(resolution):
            carry = np.uint64(0)
            for w in range(words.shape[2]):
                word = words[x, y, w]
                starts = word & ~((word << np.uint64(1)) | carry)
                while starts:
                    starts &= starts - np.uint64(1)
                    total += 1
                carry = word >> np.uint64(63)
            offset[x * resolution + y + 1] = total
    start = np.empty(total, dtype=np.int32)
    stop = np.empty(total, dtype=np.int32)
    n = 0
    for x in range(resolution):
        for y in range(resolution):
            if offset[x * resolution + y] == offset[x * resolution + y + 1]:
                continue
            before = False
            for z in range(resolution):
                on = (words[x, y, z >> 6] >> np.uint64(z & 63)) & np.uint64(1) != 0
                if on and not before:
                    start[n] = z
                elif before and not on:
                    stop[n] = z
                    n += 1
                before = on
            if before:
                stop[n] = resolution
                n += 1
    return start, stop, offset


@njit(cache=True, nogil=True)
def _join_columns(parent, start, stop, offset, here, there, reach):  # type: ignore[no-untyped-def]
    """Unite the runs of two neighbouring columns that overlap (reach 0) or also touch diagonally (reach 1)."""
    a, b = offset[here], offset[there]
    while a < offset[here + 1] and b < offset[there + 1]:
        if start[a] < stop[b] + reach and start[b] < stop[a] + reach:
            ra, rb = _root(parent, a), _root(parent, b)
            if ra != rb:
                parent[max(ra, rb)] = min(ra, rb)
        if stop[a] < stop[b]:
            a += 1
        else:
            b += 1


@njit(cache=True, nogil=True)
def run_labels(words, resolution, diagonal):  # type: ignore[no-untyped-def]
    """Label the runs -> start, stop, offset, label (N,) with 0 ... parts - 1, and the number of parts.

    diagonal: voxels that share an edge or a corner belong together (26 neighbours), else 6.
    """
    start, stop, offset = _runs(words, resolution)
    parent = np.arange(start.size)
    reach = 1 if diagonal else 0
    for x in range(resolution):
        for y in range(resolution):
            here = x * resolution + y
            if offset[here] == offset[here + 1]:
                continue
            if y > 0:
                _join_columns(parent, start, stop, offset, here, here - 1, reach)
            if x > 0:
                _join_columns(parent, start, stop, offset, here, here - resolution, reach)
            if diagonal and x > 0 and y > 0:
                _join_columns(parent, start, stop, offset, here, here - resolution - 1, reach)
            if diagonal and x > 0 and y + 1 < resolution:
                _join_columns(parent, start, stop, offset, here, here - resolution + 1, reach)
    label = np.empty(start.size, dtype=np.int32)
    parts = 0
    for run in range(start.size):
        if parent[run] == run:
            label[run] = parts
            parts += 1
        else:
            label[run] = label[_root(parent, run)]
    return start, stop, offset, label, parts


@njit(cache=True, nogil=True)
def count_parts(words, resolution):  # type: ignore[no-untyped-def]
    """Number of 26-connected parts."""
    return run_labels(words, resolution, True)[4]


@njit(cache=True, nogil=True)
def fill_inside(words, resolution):  # type: ignore[no-untyped-def]
    """Switch on every empty voxel that cannot reach the border of the grid (6 neighbours), in place."""
    size, _, width = words.shape
    empty = np.empty_like(words)
    for x in range(size):
        for y in range(size):
            for w in range(width):
                bits = min(64, resolution - 64 * w)
                empty[x, y, w] = ~words[x, y, w] & (np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> np.uint64(64 - bits))
    start, stop, offset, label, parts = run_labels(empty, resolution, False)
    outside = np.zeros(parts, dtype=np.bool_)
    for x in range(size):
        for y in range(size):
            rim = x == 0 or y == 0 or x == size - 1 or y == size - 1
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                if rim or start[run] == 0 or stop[run] == resolution:
                    outside[label[run]] = True
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                if not outside[label[run]]:
                    for z in range(start[run], stop[run]):
                        words[x, y, z >> 6] |= np.uint64(1) << np.uint64(z & 63)
