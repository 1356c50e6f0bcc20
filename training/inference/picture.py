"""Shapes as one small picture, for boards and for the samples of a run."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from pipeline.conventions import Array
from pipeline.pictures.voxel_view import cavalier_picture
from training.metrics.voxels import Levels


def grid_picture(levels: Levels, resolution: int, columns: int = 4) -> UInt8[Array, "H W 3"]:
    """(n, P) occupancy levels -> (H, W, 3): each shape in cavalier projection, its front (-Z) towards us."""
    tiles = [cavalier_picture(grid) for grid in levels.reshape(-1, resolution, resolution, resolution) >= 128]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    framed = np.pad(np.stack(tiles).repeat(2, 1).repeat(2, 2), ((0, 0), (2, 2), (2, 2)), constant_values=60)
    side = framed.shape[1]
    picture = framed.reshape(-1, columns, side, side).transpose(0, 2, 1, 3).reshape(-1, columns * side)
    return np.repeat(picture[:, :, None], 3, axis=2)
