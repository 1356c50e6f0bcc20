"""``python -m render sheet``: contact sheets for eyes, one row a shape, voxels beside views.

The first picture of a row shows the voxels, drawn by the same renderer from the camera of
the first view: a wrong axis, mirror or placement is seen at once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pipeline.atomic import atomic_path
from pipeline.conventions import SPLITS, Grid, Image, unpack_grid
from pipeline.manifest import Record
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.bank import Bank, composite, open_bank
from pipeline.pictures.voxel_view import outer_squares
from pipeline.progress import Log, progress, say
from pipeline.seeds import stable_hash
from pipeline.shards import Shard
from pipeline.shards.index import open_indexed, read_index
from render.backends.raster import RasterBackend
from render.cameras import Camera
from render.lights import plain
from render.scene import prepare_scene

CELL_PX = 112
MOST_VIEWS = 6
GAP_PX, LABEL_PX, HEADER_PX = 4, 168, 64
MOST_IN_ONE_COLUMN = 8
PNG_LEVEL = 2  # photographs hardly shrink further, at three times the cost
PAPER, INK, FAINT = (250, 250, 248), (28, 30, 34), (120, 124, 130)
VOXEL_COLOUR = (120, 152, 190, 255)


@dataclass(frozen=True)
class Row:
    """One line of a sheet."""

    title: str
    notes: tuple[str, ...]
    pictures: Sequence[Image]  # (S, S, 3) each


def sheets_of_index(index_path: Path, folder: Path, *, shapes: int, bank_path: Path | None, log: Log) -> None:
    """Write ``sheet.png`` and ``<category>.png`` for every category; sheet.png comes last."""
    index = read_index(index_path)
    places = _choose(index_path, index, shapes)
    bank = open_bank(bank_path) if bank_path is not None else None
    rows = dict(_rows(index_path, index, places, bank, log))

    by_category: dict[str, list[Row]] = {}
    for (_, _, category), row in rows.items():
        by_category.setdefault(category, []).append(row)
    what = f"{index['views']} views of {index['size_px']} px, {index['resolution']}^3 voxels"
    for category, of_it in sorted(by_category.items()):
        write_png(folder / f"{category}.png", draw_sheet(f"{index['dataset']}: {category}", what, of_it))
    each = max(1, -(-shapes // max(len(by_category), 1)))
    some = [row for _, of_it in sorted(by_category.items()) for row in of_it[:each]][: max(shapes, len(by_category))]
    counts = ", ".join(f"{index['counts'][split]} {split}" for split in SPLITS if index["counts"].get(split))
    write_png(folder / "sheet.png", draw_sheet(str(index["dataset"]), f"shapes: {counts or 0}; {what}", some))
    say(f"sheet {index['dataset']}: {len(by_category)} categories, {len(rows)} shapes")


Place = tuple[int, int, str]  # shard, row, category


def _choose(index_path: Path, index: dict[str, Any], shapes: int) -> list[Place]:
    """Up to `shapes` of every category, the same ones however the shapes lie in the shards."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for number, entry in enumerate(index["shards"]):
        with open_indexed(index_path, entry) as shard:
            for row, record in enumerate(shard.records):
                found.setdefault(record.category, []).append((stable_hash("sheet", record.shape_id), number, row))
    return [
        (number, row, category)
        for category, all_of_it in sorted(found.items())
        for _, number, row in sorted(all_of_it)[:shapes]
    ]


def _rows(
    index_path: Path, index: dict[str, Any], places: list[Place], bank: Bank | None, log: Log
) -> list[tuple[Place, Row]]:
    """Read the chosen shapes, shard by shard; in the order of `places`."""
    rows: dict[Place, Row] = {}
    for number in progress(sorted({place[0] for place in places}), "sheet", unit="shard", log=log):
        with open_indexed(index_path, index["shards"][number]) as shard:
            for place in places:
                if place[0] == number:
                    rows[place] = _row(shard, place[1], bank)
    return [(place, rows[place]) for place in places]


def _row(shard: Shard, row: int, bank: Bank | None) -> Row:
    record: Record = shard.records[row]
    assert shard.resolution is not None
    grid = unpack_grid(shard.array("voxels")[row], shard.resolution)
    chosen = np.unique(np.linspace(0, shard.views - 1, min(shard.views, MOST_VIEWS)).astype(int))
    images = shard.images(row, bank)
    camera = _camera(shard, row, int(chosen[0]))
    notes = (record.split, f"{int(grid.sum()):,} voxels")
    return Row(f"{record.category}\n{record.name}", notes, [voxel_picture(grid, camera), *images[chosen]])


def _camera(shard: Shard, row: int, view: int) -> Camera:
    """The stored camera of one view, for a picture of a cell's size."""
    K = shard.array("K")[row][view].copy()
    K[:2] *= CELL_PX / shard.size_px
    names = ("azimuth_deg", "elevation_deg", "distance", "roll_deg")
    azimuth, elevation, distance, roll = (float(shard.array(name)[row][view]) for name in names)
    return Camera(K, shard.array("camera_to_world")[row][view], azimuth, elevation, distance, roll, CELL_PX)


def voxel_picture(grid: Grid, camera: Camera) -> Image:
    """(S, S, 3) the grid's outer squares from one camera, on paper."""
    blank = np.full((camera.size_px, camera.size_px, 3), PAPER, np.uint8)
    if not grid.any():
        return blank
    backend = RasterBackend(2)
    backend.load(prepare_scene(voxel_mesh(grid)))
    return composite(backend.render(camera, plain(camera)).rgba, blank)


def voxel_mesh(grid: Grid) -> Mesh:
    """Two triangles for every square between a filled and an empty voxel."""
    squares = np.concatenate([outer_squares(grid, axis, sign) for axis in range(3) for sign in (1, -1)])
    vertices = squares[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    return Mesh(vertices, faces, materials=[Material(colour=VOXEL_COLOUR)])


def draw_sheet(title: str, subtitle: str, rows: Sequence[Row], cell_px: int = CELL_PX) -> Image:
    """(H, W, 3) a title, then the shapes: name, notes and pictures; long lists in two columns."""
    across = 2 if len(rows) > MOST_IN_ONE_COLUMN else 1
    lines = max(-(-len(rows) // across), 1)
    group_px = LABEL_PX + max((len(row.pictures) for row in rows), default=1) * (cell_px + GAP_PX) + GAP_PX
    sheet = Pillow.new("RGB", (across * group_px, HEADER_PX + lines * (cell_px + GAP_PX) + GAP_PX), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((12, 10), title, fill=INK, font=ImageFont.load_default(22))
    pen.text((12, 40), subtitle, fill=FAINT, font=ImageFont.load_default(13))
    if not rows:
        pen.text((12, HEADER_PX + 10), "no shapes", fill=FAINT, font=ImageFont.load_default(13))
    for number, row in enumerate(rows):
        group, line = divmod(number, lines)
        left, top = group * group_px, HEADER_PX + line * (cell_px + GAP_PX)
        _label(pen, row, left + 12, top + 6)
        for column, picture in enumerate(row.pictures):
            cell = Pillow.fromarray(np.ascontiguousarray(picture[..., :3]))
            if cell.size != (cell_px, cell_px):
                cell = cell.resize((cell_px, cell_px), Pillow.Resampling.BICUBIC)
            sheet.paste(cell, (left + LABEL_PX + column * (cell_px + GAP_PX), top))
    return np.asarray(sheet)


def _label(pen: ImageDraw.ImageDraw, row: Row, left: int, top: int) -> None:
    """The name in lines that fit, the notes under it."""
    first, *rest = row.title.split("\n")
    big, small = ImageFont.load_default(15), ImageFont.load_default(12)
    pen.text((left, top), _fitting(first, big), fill=INK, font=big)
    top += 20
    for line in [*rest, *row.notes]:
        pen.text((left, top), _fitting(line, small), fill=FAINT, font=small)
        top += 16


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text where it fits; else its end, by which names are told apart, and a little of its beginning."""
    if font.getlength(text) <= LABEL_PX - 20:
        return text
    keep = len(text)
    while font.getlength(shorter := f"{text[: keep // 4]}...{text[-(keep // 2) :]}") > LABEL_PX - 20:
        keep -= 1
    return shorter


def write_png(path: Path, picture: Image) -> None:
    """Publish a picture atomically."""
    buffer = io.BytesIO()
    Pillow.fromarray(picture).save(buffer, "PNG", compress_level=PNG_LEVEL)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
