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
def _slab_runs(slab, start, stop, offset, n):  # type: ignore[no-untyped-def]
    """Runs of the columns slab (R, W): start and stop from place n on, the end of each column's in offset (R,)."""
    size, width = slab.shape
    begun = ended = n
    for y in range(size):
        before = np.uint64(0)
        for w in range(width):
            word = slab[y, w]
            if word or before:
                shifted = (word << np.uint64(1)) | before
                begun = _mark(word & ~shifted, 64 * w, start, begun)
                ended = _mark(shifted & ~word, 64 * w, stop, ended)
                before = word >> np.uint64(63)
        if ended < begun:  # the last run reaches the end of the words
            stop[ended] = size
            ended += 1
        offset[y] = begun
    return begun


@njit(cache=True, nogil=True)
def _runs(words):  # type: ignore[no-untyped-def]
    """Runs of on voxels, column by column -> start (N,), stop (N,), offset (R*R + 1,) of each column's runs."""
    size = words.shape[0]
    offset = np.zeros(size * size + 1, dtype=np.int64)
    start = np.empty(1024, dtype=np.int32)
    stop = np.empty(1024, dtype=np.int32)
    n = np.int64(0)
    most = size * (size // 2 + 1)  # runs in a slab
    for x in range(size):
        while n + most > start.size:
            start = np.concatenate((start, np.empty_like(start)))
            stop = np.concatenate((stop, np.empty_like(stop)))
        n = _slab_runs(words[x], start, stop, offset[x * size + 1 :], n)
    return start[:n], stop[:n], offset


@njit(cache=True, nogil=True)
def _join(parent, start, stop, a, a_end, b, b_end, reach):  # type: ignore[no-untyped-def]
    """Unite runs [a, a_end) and [b, b_end) of neighbouring columns that overlap; reach 1: or touch diagonally."""
    while a < a_end and b < b_end:
        if start[a] < stop[b] + reach and start[b] < stop[a] + reach:
            first, second = parent[a], parent[b]
            if first != second:
                first, second = _root(parent, first), _root(parent, second)
                root = min(first, second)
                parent[max(first, second)] = root
                parent[a] = root
        if stop[a] < stop[b]:
            a += 1
        else:
            b += 1


@njit(cache=True, nogil=True)
def _join_columns(parent, start, stop, offset, size, diagonal):  # type: ignore[no-untyped-def]
    """Unite the runs of every column with those of its neighbours that come before it."""
    reach = 1 if diagonal else 0
    for x in range(size):
        for y in range(size):
            here = x * size + y
            a, end = offset[here], offset[here + 1]
            if a == end:
                continue
            back = here - size
            if y > 0:
                _join(parent, start, stop, a, end, offset[here - 1], a, reach)
            if x > 0:
                _join(parent, start, stop, a, end, offset[back], offset[back + 1], reach)
            if diagonal and x > 0 and y > 0:
                _join(parent, start, stop, a, end, offset[back - 1], offset[back], reach)
            if diagonal and x > 0 and y + 1 < size:
                _join(parent, start, stop, a, end, offset[back + 1], offset[back + 2], reach)


@njit(cache=True, nogil=True)
def run_labels(words, neighbours):  # type: ignore[no-untyped-def]
    """Label the runs -> start, stop, offset, label (N,) with 0 ... parts - 1, and the number of parts.

    neighbours: 6 (voxels that share a face belong together) or 26 (an edge or a corner suffices);
    given as np.int64, since a plain number would be compiled in.
    """
    start, stop, offset = _runs(words)
    parent = np.arange(start.size)
    _join_columns(parent, start, stop, offset, words.shape[0], neighbours == 26)
    label = np.empty(start.size, dtype=np.int32)
    parts = 0
    for run in range(start.size):
        if parent[run] == run:
            label[run] = parts
            parts += 1
        else:  # a parent comes before its runs, so it has its label already
            label[run] = label[parent[run]]
    return start, stop, offset, label, parts


@njit(cache=True, nogil=True)
def count_parts(words):  # type: ignore[no-untyped-def]
    """Number of 26-connected parts."""
    return run_labels(words, np.int64(26))[4]


@njit(cache=True, nogil=True)
def fill_inside(words):  # type: ignore[no-untyped-def]
    """Switch on every empty voxel that cannot reach the border of the grid (6 neighbours), in place."""
    size, _, width = words.shape
    empty = np.empty_like(words)
    for x in range(size):
        for y in range(size):
            for w in range(width):
                bits = min(64, size - 64 * w)
                empty[x, y, w] = ~words[x, y, w] & (np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> np.uint64(64 - bits))
    start, stop, offset, label, parts = run_labels(empty, np.int64(6))
    outside = np.zeros(parts, dtype=np.bool_)
    for x in range(size):
        for y in range(size):
            rim = x == 0 or y == 0 or x == size - 1 or y == size - 1
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                if rim or start[run] == 0 or stop[run] == size:
                    outside[label[run]] = True
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                if not outside[label[run]]:
                    for z in range(start[run], stop[run]):
                        words[x, y, z >> 6] |= np.uint64(1) << np.uint64(z & 63)
