"""Generated furniture of the six IKEA classes, and room-like pictures to stand it in front of."""

from __future__ import annotations

from pipeline.furniture.archive import generate
from pipeline.furniture.shapes import CATEGORIES, make_shape, parameters

__all__ = ["CATEGORIES", "generate", "make_shape", "parameters"]
