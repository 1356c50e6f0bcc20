"""``voxels:``, ``render:``, ``shards:`` and ``report:``, the stages between meshes and training."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict
from pipeline.settings.datasets import PLAIN_COLOUR, Backgrounds


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


class Shards(Strict):
    """How views are composited and stored for training."""

    storage: Literal["composite", "layers"] = "composite"
    """`composite` stores finished pictures; `layers` foreground and background choice."""
    compositing: Literal["srgb", "linear"] = "srgb"
    """Space in which soft edges are blended."""


class PackSettings(Strict):
    """What a training shard depends on: `shards:`, and of `backgrounds:` only what is not in the bank."""

    storage: Literal["composite", "layers"] = "composite"
    """As in `shards`."""
    compositing: Literal["srgb", "linear"] = "srgb"
    """As in `shards`."""
    background: str = pydantic.Field(default="photo", pattern=PLAIN_COLOUR.replace("(", "(photo|"))
    """`photo` uses the bank; the rest are the plain colours of `backgrounds.colour`."""

    @classmethod
    def of(cls, shards: Shards, backgrounds: Backgrounds) -> PackSettings:
        """The part of both sections that `pack` reads."""
        background = backgrounds.colour if backgrounds.source == "none" else "photo"
        return cls(storage=shards.storage, compositing=shards.compositing, background=background)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> PackSettings:
        if self.storage == "composite" and self.background == "transparent":
            raise ValueError("finished pictures cannot be transparent; set shards.storage to layers")
        return self


class Report(Strict):
    """What the pages show."""

    title: str = "From meshes to a 3D-VAE-GAN"
    """Heading of report.html."""
    shapes: int = pydantic.Field(default=24, ge=1, le=10_000)
    """Shapes shown on each contact sheet."""
    gallery_shapes: int = pydantic.Field(default=2000, ge=1, le=100_000)
    """Shapes in each gallery; where there are more, those with problems come first, then a draw."""
