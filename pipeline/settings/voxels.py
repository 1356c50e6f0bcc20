"""``voxels:``."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict


class Voxels(Strict):
    """How meshes become occupancy grids."""

    resolution: Literal[16, 32, 64, 128] = 32
    """Voxels along each side of the unit box."""
    mode: Literal["robust", "binvox", "exact", "flood", "carve", "vote", "shapenet"] = "robust"
    """`robust` keeps thin parts; `binvox` is the original's default, bit for bit; others: docs/voxelizer.md."""
    engine: Literal["auto", "builtin", "binvox", "open3d"] = "builtin"
    """`builtin` needs nothing; `binvox` runs the real program, where installed."""
    seconds_per_shape: float = pydantic.Field(default=60.0, gt=0)
    """A shape that takes longer is rejected."""
