"""Pictures of the page, each as a ``data:`` address, so that the page is one file.

Pictures of voxels are transparent around the shape: they stand on light and dark pages.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image

from pipeline.conventions import Array, Grid, PackedGrid, unpack_grid
from pipeline.pictures.voxel_view import BLUE, Colour, draw_voxels

SHAPE_PX = 112  # side of a picture of one shape
_QUALITY = 78


def data_address(image: Image.Image, quality: int = _QUALITY) -> str:
    """A picture as text that an <img> can show."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, alpha_quality=60, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photograph(pixels: UInt8[Array, "S S 3"], size_px: int = SHAPE_PX) -> str:
    """One view at the size at which shapes are shown."""
    return data_address(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC))


def voxels(grid: Grid, colour: Colour = BLUE, size_px: int = SHAPE_PX) -> str:
    """One shape as shaded cubes."""
    return data_address(draw_voxels(grid, size_px, colour, background=None))


def strip(grids: Sequence[Grid], colour: Colour = BLUE, size_px: int = SHAPE_PX) -> str:
    """Shapes side by side in one picture: the page shows one of them at a time."""
    canvas = Image.new("RGBA", (len(grids) * size_px, size_px))
    for place, grid in enumerate(grids):
        canvas.paste(draw_voxels(grid, size_px, colour, background=None), (place * size_px, 0))
    return data_address(canvas)


def sheet(tiles: UInt8[Array, "N T T 3"], columns: int) -> str:
    """Pictures, row by row in one."""
    side = tiles.shape[1]
    canvas = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side))
    for place, tile in enumerate(tiles):
        canvas.paste(Image.fromarray(tile), (place % columns * side, place // columns * side))
    return data_address(canvas, 70)


def contact_sheet(path: Path, width_px: int = 1500) -> str:
    """A contact sheet scaled to the page."""
    with Image.open(path) as picture:
        picture.thumbnail((width_px, 16_000))  # WebP ends at 16,383 pixels a side
        return data_address(picture.convert("RGB"), 72)


def grid_of(bits: PackedGrid) -> Grid:
    """(R, R, R) from a row of packed bits."""
    return unpack_grid(bits, side_of(8 * len(bits)))


def side_of(voxels: int) -> int:
    """R of R^3 voxels."""
    side: int = round(voxels ** (1 / 3))
    return side
