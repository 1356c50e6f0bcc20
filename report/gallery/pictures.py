"""The views of a shape as one small picture, and where each view lies in it."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.conventions import Array

TILE_PX = 64  # side of a view on the sheet; 64 is what the demo's networks see
LARGE_PX = 128  # side of the one larger view, where views are larger than a tile
_QUALITY = 62


def spread(count: int, most: int) -> list[int]:
    """Up to `most` of `count` views, spread evenly, the first one among them."""
    return [index * count // min(count, most) for index in range(min(count, most))]


def columns(count: int) -> int:
    """How many views lie side by side."""
    return min(count, 3 if count <= 6 else 4)


def sheet(views: UInt8[Array, "V S S 3"]) -> str:
    """Views, row by row in one picture of TILE_PX tiles, as a ``data:`` address."""
    across = columns(len(views))
    lines = -(-len(views) // across)
    canvas = Image.new("RGB", (across * TILE_PX, lines * TILE_PX), (128, 128, 128))
    for number, view in enumerate(views):
        canvas.paste(_sized(view, TILE_PX), (number % across * TILE_PX, number // across * TILE_PX))
    return _address(canvas)


def large(view: UInt8[Array, "S S 3"]) -> str | None:
    """One view larger than its tile; None where the tile already shows every pixel."""
    return _address(_sized(view, min(len(view), LARGE_PX))) if len(view) > TILE_PX else None


def _sized(view: UInt8[Array, "S S 3"], size_px: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(view))
    return picture if picture.width == size_px else picture.resize((size_px, size_px), Image.Resampling.LANCZOS)


def _address(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
