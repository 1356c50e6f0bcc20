"""The finishing steps of binvox on a plain grid: -down, -ri, -fit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from pipeline.conventions import Array, Cuboid, Grid
from voxelize.options import Options


def finish(grid: Grid, options: Options) -> Cuboid:
    """Halve and hollow out as the options say."""
    for _ in range(options.halvings):
        grid = halve(grid, options.halving_minimum)
    return remove_internal(grid) if options.remove_internal else grid


def halve(grid: Bool[Array, "N N N"], minimum: int = 4) -> Bool[Array, "N//2 N//2 N//2"]:
    """Half the resolution: a voxel is on iff at least `minimum` of its eight are on."""
    count = sum(grid[x::2, y::2, z::2].view(np.uint8) for x in (0, 1) for y in (0, 1) for z in (0, 1))
    return np.asarray(np.asarray(count) >= minimum)


def remove_internal(grid: Grid) -> Grid:
    """Remove voxels whose six neighbours are on.

    As the original does, neighbours are taken by position in the file (x, z, y): along z and y
    they wrap into the next row, and beyond the ends of the file counts as off.
    """
    size = grid.shape[0]
    flat = grid.transpose(0, 2, 1).reshape(-1)
    internal = flat.copy()
    for step in (1, size, size * size):
        internal[step:] &= flat[:-step]
        internal[:step] = False
        internal[:-step] &= flat[step:]
        internal[-step:] = False
    hollow = (flat & ~internal).reshape((size,) * 3).transpose(0, 2, 1)
    return np.ascontiguousarray(hollow)


def cut(grid: Cuboid) -> tuple[Cuboid, tuple[int, int, int]]:
    """The bounding box of the occupied voxels, and the index of its first corner."""
    low, high = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(grid.any(axis=others))
        low.append(int(filled[0]))
        high.append(int(filled[-1]) + 1)
    box = tuple(slice(a, b) for a, b in zip(low, high))
    return np.ascontiguousarray(grid[box]), (low[0], low[1], low[2])
