"""Voxels as machine words: 64 voxels of one z column in each uint64, least significant bit first.

``words[x, y, w]`` holds voxels z = 64 w ... 64 w + 63 of the column (x, y); W = ceil(R / 64).
Bits at z >= R are always 0.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import UInt64
from numba import njit

from pipeline.conventions import Array, Grid

Words: TypeAlias = UInt64[Array, "R R W"]

ONE = np.uint64(1)
ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
TOP = np.uint64(63)


def words_per_column(resolution: int) -> int:
    """W: machine words in a column of `resolution` voxels."""
    return (resolution + 63) // 64


def to_grid(words: Words) -> Grid:
    """The voxels of `words`, one bool each."""
    size = words.shape[0]
    octets = words.astype("<u8", copy=False).view(np.uint8)[:, :, : (size + 7) // 8]
    return np.unpackbits(octets, axis=2, count=size, bitorder="little").view(np.bool_)


def from_grid(grid: Grid) -> Words:
    """Inverse of `to_grid`."""
    size = grid.shape[0]
    octets = np.zeros((size, size, words_per_column(size) * 8), dtype=np.uint8)
    packed = np.packbits(np.ascontiguousarray(grid, dtype=bool), axis=2, bitorder="little")
    octets[:, :, : packed.shape[2]] = packed
    return octets.view("<u8").astype(np.uint64, copy=False)


def count(words: Words) -> int:
    """Occupied voxels."""
    return int(np.bitwise_count(words).sum())


@njit(cache=True, nogil=True)
def span(first, last, word):  # type: ignore[no-untyped-def]
    """The bits of word number `word` that lie in [first, last)."""
    low = max(first - 64 * word, 0)
    high = min(last - 64 * word, 64)
    if high <= low:
        return np.uint64(0)
    return (ALL >> np.uint64(64 - (high - low))) << np.uint64(low)


@njit(cache=True, nogil=True)
def transpose_block(block):  # type: ignore[no-untyped-def]
    """Transpose 64 x 64 bits in place (Warren 2012, Hacker's Delight, section 7-3)."""
    width = 32
    mask = np.uint64(0x0000_0000_FFFF_FFFF)
    while width:
        shift = np.uint64(width)
        for base in range(0, 64, 2 * width):
            for k in range(base, base + width):
                swap = ((block[k] >> shift) ^ block[k + width]) & mask
                block[k] ^= swap << shift
                block[k + width] ^= swap
        width >>= 1
        mask ^= mask << np.uint64(width)


@njit(cache=True, nogil=True)
def parity_prefix(column):  # type: ignore[no-untyped-def]
    """Bit k becomes the parity of bits 0 ... k, along the words of one column, in place."""
    carry = np.uint64(0)
    for w in range(column.size):
        word = column[w]
        for step in (1, 2, 4, 8, 16, 32):
            word ^= word << np.uint64(step)
        word ^= carry
        column[w] = word
        carry = ALL if word >> TOP else np.uint64(0)


@njit(cache=True, nogil=True)
def spread(words, out):  # type: ignore[no-untyped-def]
    """Dilate by the 26-neighbourhood: out = every voxel that is on or touches one that is."""
    size, _, width = words.shape
    edge = ALL >> np.uint64(64 * width - size)
    slab = size * width
    flat = words.reshape(-1)
    along, across = np.empty_like(flat), np.empty_like(flat)
    for place in range(flat.size):
        word = flat[place]
        along[place] = word | (word << ONE) | (word >> ONE)
    for column in range(0, flat.size, width):
        for place in range(column + 1, column + width):
            along[place] |= flat[place - 1] >> TOP
            along[place - 1] |= flat[place] << TOP
        along[column + width - 1] &= edge
    for start in range(0, flat.size, slab):
        _widen(along[start : start + slab], width, across[start : start + slab])
    _widen(across, slab, out.reshape(-1))


@njit(cache=True, nogil=True)
def _widen(flat, step, out):  # type: ignore[no-untyped-def]
    """out = every word together with those `step` places before and after it; plain loops, for vector instructions."""
    out[:] = flat
    n = flat.size - step
    later, earlier = out[step:], out[:n]
    for place in range(n):
        later[place] |= flat[place]
    following = flat[step:]
    for place in range(n):
        earlier[place] |= following[place]
