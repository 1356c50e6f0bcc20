"""Arrays as text that a page can hold: base64 of zlib of bytes, which unpack.js of the gallery reads."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from pipeline.conventions import Array, PackedGrid
from pipeline.formats.html import packed

# Thresholds of a slider: the chosen one is SAME, each step is LEVELS of 255.
STEPS, SAME, LEVELS = 32, 16, 8


def pack_voxels(bits: PackedGrid) -> str:
    """The text that `unpackVoxels` of unpack.js reads."""
    return packed(bits.tobytes())


def pack_levels(levels: UInt8[Array, " P"], threshold: int) -> str:
    """Real-valued voxels for a slider of STEPS thresholds: at step SAME exactly `levels >= threshold` is filled.

    A byte a voxel says up to which step it is filled.
    """
    steps = np.floor_divide(levels.astype(np.int64) - threshold, LEVELS) + SAME
    return packed(steps.clip(0, STEPS - 1).astype(np.uint8).tobytes())
