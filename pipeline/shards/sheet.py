"""What is in a shard, for eyes: a table, and a sheet of its pictures beside its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from pipeline.atomic import atomic_path
from pipeline.conventions import Image, unpack_grid
from pipeline.manifest import by_split
from pipeline.pictures.bank import Bank
from pipeline.shards.read import Shard
from pipeline.shards.schema import Array

_GAP_PX = 4
_WHITE = 255


def describe(shard: Shard) -> str:
    """Kind, sizes, counts, and what every dataset takes on disk."""
    counts = ", ".join(f"{split} {count}" for split, count in by_split(shard.records).items())
    lines = [
        f"{shard.path}: {shard.kind}, schema {shard.version}, {shard.path.stat().st_size:,} bytes",
        f"  shapes      {len(shard)} ({counts}), {len(shard.rejects)} rejected",
        f"  views       {shard.views} of {shard.size_px} px, voxels {shard.resolution or 'none'}",
        f"  categories  {', '.join(sorted({record.category for record in shard.records})) or 'none'}",
        f"  settings    {', '.join(f'{key} = {value}' for key, value in sorted(shard.attributes.items())) or 'none'}",
        f"  {'dataset':<18}{'shape':<26}{'type':<10}{'bytes':>14}{'on disk':>14}",
    ]
    for name in shard.fields:
        rows = shard.array(name)
        size = int(np.prod(rows.shape)) * rows.dtype.itemsize
        shape = " x ".join(map(str, rows.shape))
        lines.append(f"  {name:<18}{shape:<26}{rows.dtype!s:<10}{size:>14,}{rows.stored_bytes:>14,}")
    return "\n".join(lines)


def draw_sheet(shard: Shard, rows: list[int], views: int, bank: Bank | None) -> Image:
    """One line a shape: its first views, then its voxels seen from the front, the side and above."""
    return np.concatenate([_line(shard, row, views, bank) for row in rows])


def _line(shard: Shard, row: int, views: int, bank: Bank | None) -> Image:
    cells = [_framed(_opaque(view)) for view in _pictures(shard, row, bank)[:views]]
    if "voxels" in shard:
        grid = unpack_grid(shard.array("voxels").row(row), shard.resolution or 0)
        cells += [_framed(cell) for cell in projections(grid, shard.size_px)]
    return np.concatenate(cells, axis=1)


def _pictures(shard: Shard, row: int, bank: Bank | None) -> Array:
    if shard.kind == "renders" or (shard.kind == "layers" and bank is None):
        return shard.array("rgba").row(row)
    return shard.images(row, bank)


def projections(grid: Array, size_px: int) -> list[Image]:
    """Three pictures of a grid, darker where more voxels lie behind one another.

    Rows run down from +Y in the first two and from the back in the third; columns run along
    -X seen from the front (the viewer stands at -Z), along -Z from the object's +X side.
    """
    depth = grid.astype(np.float64)
    front = depth.mean(2).T[::-1, ::-1]  # [y, x], both turned
    side = depth.mean(0)[::-1, ::-1]  # [y, z], both turned
    above = depth.mean(1).T[::-1, ::-1]  # [z, x]: the front (-Z) at the bottom
    return [_shaded(picture, size_px) for picture in (front, side, above)]


def _shaded(share: Array, size_px: int) -> Image:
    grey = np.where(share > 0, 200 - 180 * np.sqrt(share), _WHITE).astype(np.uint8)
    place = np.arange(size_px) * len(grey) // size_px
    return np.repeat(grey[place][:, place, None], 3, axis=2)


def _opaque(view: Image) -> Image:
    if view.shape[2] == 3:
        return view
    share = view[..., 3:].astype(np.uint16)
    return ((view[..., :3] * share + _WHITE * (255 - share) + 127) // 255).astype(np.uint8)


def _framed(cell: Image) -> Image:
    return np.pad(cell, ((0, _GAP_PX), (0, _GAP_PX), (0, 0)), constant_values=_WHITE)


def write_sheet(path: Path, picture: Image) -> None:
    """Publish a sheet as PNG."""
    with atomic_path(path) as temporary:
        Picture.fromarray(picture).save(temporary, "PNG")
