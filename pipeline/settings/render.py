"""``render:``."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict


class Specular(Strict):
    """The highlights of every surface."""

    strength: float = pydantic.Field(default=0.05, ge=0, le=1)
    """Share of the light that is mirrored; 0 is chalk, 0.3 lacquer."""
    shininess: Literal[4, 8, 16, 32, 64, 128] = 32
    """Exponent of Blinn's law: small numbers give wide highlights, large ones sharp ones."""


class Render(Strict):
    """How views of a shape are drawn."""

    backend: Literal["auto", "raster", "pyrender"] = "raster"
    """`raster` runs anywhere on CPU cores; `pyrender` uses OpenGL; `auto` takes it where a GPU answers."""
    size_px: int = pydantic.Field(default=64, ge=32, le=1024, multiple_of=8)
    """Side of the square views in pixels; the encoder needs 64, 128 or 256."""
    views: int = pydantic.Field(default=12, ge=1, le=256)
    """Views of each shape."""
    cameras: Literal["ring", "r2n2", "paper", "sphere", "photo"] = "r2n2"
    """Camera preset, see docs/renderer.md."""
    supersampling: Literal[1, 2, 3, 4] = 2
    """Samples along each side of a pixel."""
    specular: Specular = Specular()
    texture_px: int = pydantic.Field(default=512, ge=16, le=8192)
    """Textures are scaled down to this when meshes are prepared."""
    seconds_per_shape: float = pydantic.Field(default=120.0, gt=0)
    """A shape that takes longer is rejected."""
    max_faces: int = pydantic.Field(default=2_000_000, ge=1)
    """Larger meshes are rejected, or simplified, when they are prepared."""
    above_max_faces: Literal["reject", "decimate"] = "reject"
    """`decimate` simplifies larger meshes to `max_faces` (needs open3d) instead of rejecting them."""
