"""``report:``."""

from __future__ import annotations

import pydantic

from pipeline.settings.base import Strict


class Report(Strict):
    """What the pages show."""

    title: str = "From meshes to a 3D-VAE-GAN"
    """Heading of report.html."""
    shapes: int = pydantic.Field(default=24, ge=1, le=10_000)
    """Shapes shown on each contact sheet."""
    gallery_shapes: int = pydantic.Field(default=2000, ge=1, le=100_000)
    """Shapes in each gallery; where there are more, those with problems come first, then a draw."""
