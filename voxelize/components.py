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


# Position of the lowest bit of a word, by a de Bruijn sequence (Leiserson, Prokop and Randall 1998).
_SEQUENCE = np.uint64(0x03F7_9D71_B4CB_0A89)
_POSITION = np.zeros(64, dtype=np.int32)
for _bit in range(64):
    _POSITION[((int(_SEQUENCE) << _bit) & (2**64 - 1)) >> 58] = _bit


@njit(cache=True, nogil=True)
def _mark(bits, offset, places, n):  # type: ignore[no-untyped-def]
    """Write the positions of the bits, plus offset, from places[n] on -> the next n."""
    while bits:
        lowest = bits & (~bits + np.uint64(1))
        places[n] = offset + _POSITION[(lowest * _SEQUENCE) >> np.uint64(58)]
        bits ^= lowest
        n += 1
    return n


@njit(cache=True, nogil=True)
def _runs(words, resolution):  # type: ignore[no-untyped-def]
    """Runs of on voxels, column by column -> start (N,), stop (N,), offset (R*R + 1,) of each column's runs."""
    offset = np.zeros(resolution * resolution + 1, dtype=np.int64)
    size = words.shape[2]
    start = np.empty(1024, dtype=np.int32)
    stop = np.empty(1024, dtype=np.int32)
    begun = ended = np.int64(0)
    for x in range(resolution):
        for y in range(resolution):
            if begun + resolution > start.size:
                start = np.concatenate((start, np.empty_like(start)))
                stop = np.concatenate((stop, np.empty_like(stop)))
            before = np.uint64(0)
            for w in range(size):
                word = words[x, y, w]
                if word or before:
                    shifted = (word << np.uint64(1)) | before
                    begun = _mark(word & ~shifted, 64 * w, start, begun)
                    ended = _mark(shifted & ~word, 64 * w, stop, ended)
                    before = word >> np.uint64(63)
            if ended < begun:  # the last run reaches the end of the words
                stop[ended] = resolution
                ended += 1
            offset[x * resolution + y + 1] = begun
    return start[:begun], stop[:begun], offset


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
def run_labels(words, resolution, neighbours):  # type: ignore[no-untyped-def]
    """Label the runs -> start, stop, offset, label (N,) with 0 ... parts - 1, and the number of parts.

    neighbours: 6 (voxels that share a face belong together) or 26 (an edge or a corner suffices);
    given as np.int64, since a plain number would be compiled in.
    """
    start, stop, offset = _runs(words, resolution)
    parent = np.arange(start.size)
    diagonal = neighbours == 26
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
    return run_labels(words, resolution, np.int64(26))[4]


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
    start, stop, offset, label, parts = run_labels(empty, resolution, np.int64(6))
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
