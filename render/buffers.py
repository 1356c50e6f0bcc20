"""What goes into every backend and what comes out: rows of lights, and the buffers of one view.

Also the numbers on which backends and scenes agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Int32

from pipeline.conventions import Array, Depth, Image
from pipeline.settings.render import Specular

# Direction or position x, y, z; kind; r, g, b; energy.
Lights: TypeAlias = Float32[Array, "_L 8"]
# Kinds of light, as stored in the shards' `lights` rows; 0 is an unused row.
AMBIENT, DIRECTIONAL, POINT, FLAT = 1.0, 2.0, 3.0, 4.0

HIGHLIGHTS = Specular()
ENCODE_STEPS = 8192  # of light, in the table that turns it into sRGB bytes
CUTOUT_ALPHA = 128  # texels below it are holes in an opacity map
REPEAT, CLAMP, MIRROR = 0, 1, 2  # how a texture goes on outside [0, 1]


@dataclass(frozen=True)
class Buffers:
    """One view, all from one pass."""

    rgba: Image  # (S, S, 4) sRGB, straight alpha = share of covered samples
    depth: Depth
    normals: Float32[Array, "S S 3"]  # world, towards the camera, 0 where nothing is
    face_ids: Int32[Array, "S S"]  # row of the scene's faces, -1 where nothing is

    @property
    def mask(self) -> Bool[Array, "S S"]:
        """Where any sample is covered."""
        return np.asarray(self.face_ids >= 0)
