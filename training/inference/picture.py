"""Shapes as one small picture, drawn without any library: for boards and for the samples of a run."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray as Array

from training.metrics.voxels import Levels


def grid_picture(levels: Levels, resolution: int, columns: int = 4) -> UInt8[Array, "H W 3"]:
    """(n, P) occupancy levels -> (H, W, 3): each shape in cavalier projection, its front (-Z) towards us."""
    tiles = [_drawn(grid) for grid in levels.reshape(-1, resolution, resolution, resolution) >= 128]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    framed = np.pad(np.stack(tiles).repeat(2, 1).repeat(2, 2), ((0, 0), (2, 2), (2, 2)), constant_values=60)
    side = framed.shape[1]
    picture = framed.reshape(-1, columns, side, side).transpose(0, 2, 1, 3).reshape(-1, columns * side)
    return np.repeat(picture[:, :, None], 3, axis=2)


def _drawn(grid: Bool[Array, "R R R"]) -> UInt8[Array, "H W"]:
    """(R, R, R) -> (3 R / 2, 3 R / 2): slices painted from the back, half a voxel apart; tops light."""
    size, reach = len(grid), len(grid) // 2
    room = np.pad(grid, 1)
    inner = slice(1, -1)
    top, front = ~room[inner, 2:, inner], ~room[inner, inner, :-2]
    shade = np.where(front, 170, np.where(top, 240, 95)).astype(np.uint8)
    canvas = np.zeros((size + reach, size + reach), np.uint8)
    for z in range(size - 1, -1, -1):
        right, up = z // 2, z // 2
        place = canvas[reach - up : reach - up + size, right : right + size]
        occupied = grid[::-1, ::-1, z].T  # from the front, x runs to the left; rows run down
        place[occupied] = shade[::-1, ::-1, z].T[occupied]
    return canvas
