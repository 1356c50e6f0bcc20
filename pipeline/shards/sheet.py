"""What is in a shard, for eyes: a table, and a sheet of its pictures beside its voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from pipeline.atomic import atomic_path
from pipeline.conventions import Array, Grid, Image, unpack_grid
from pipeline.manifest import by_split
from pipeline.pictures.bank import Bank
from pipeline.pictures.voxel_view import draw_voxels
from pipeline.shards.read import Shard

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


def facts(shard: Shard) -> dict[str, Any]:
    """The same for machines."""
    fields = {}
    for name in shard.fields:
        rows = shard.array(name)
        fields[name] = {"shape": list(rows.shape), "type": str(rows.dtype), "stored_bytes": rows.stored_bytes}
    return {
        "file": str(shard.path),
        "kind": shard.kind,
        "schema": shard.version,
        "shapes": by_split(shard.records),
        "rejected": len(shard.rejects),
        "views": shard.views,
        "size_px": shard.size_px,
        "resolution": shard.resolution,
        "categories": sorted({record.category for record in shard.records}),
        "fields": fields,
    }


def draw_sheet(shard: Shard, rows: list[int], views: int, bank: Bank | None) -> Image:
    """One line a shape: its first views, then its voxels seen from the front, the side and above."""
    return np.concatenate([_line(shard, row, views, bank) for row in rows])


def _line(shard: Shard, row: int, views: int, bank: Bank | None) -> Image:
    cells = [_framed(_opaque(view)) for view in _pictures(shard, row, bank)[:views]]
    if "voxels" in shard:
        grid = unpack_grid(shard.array("voxels").row(row), shard.resolution or 0)
        cells += [_framed(cell) for cell in voxel_pictures(grid, shard.size_px)]
    return np.concatenate(cells, axis=1)


def _pictures(shard: Shard, row: int, bank: Bank | None) -> Array:
    if shard.kind == "renders" or (shard.kind == "layers" and bank is None):
        return shard.array("rgba").row(row)
    return shard.images(row, bank)


def voxel_pictures(grid: Grid, size_px: int) -> list[Image]:
    """Three (S, S, 3) pictures of a grid: from the front, from the object's +X side, and from above."""
    angles = ((0.0, 0.0), (270.0, 0.0), (0.0, 90.0))  # azimuth and elevation in degrees
    return [np.asarray(draw_voxels(grid, size_px, azimuth_deg=a, elevation_deg=e)) for a, e in angles]


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
