"""Shards as the files that other tools read: folders of pictures, WebDataset tars, or Parquet.

    folders        <out>/<category>/<name>/00.png 00.alpha.png ... model.binvox shape.json
    webdataset     <out>/<shard>.tar with <category>.<name>.00.png ... .binvox .json of each shape
    parquet        <out>/<split>-<shard>.parquet with a row for each shape: parquet.py

``shape.json`` holds the record and the cameras.  Renders without backgrounds become RGBA
pictures.  Equal shards give equal bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.atomic import atomic_path
from pipeline.conventions import unpack_grid
from pipeline.errors import UserError
from pipeline.foreign import visible
from pipeline.formats.binvox import write_binvox
from pipeline.manifest import Record
from pipeline.pictures.bank import Bank
from pipeline.shards.parquet import export_parquet
from pipeline.shards.pictures import encoded_views
from pipeline.shards.read import Shard

_PER_VIEW = ("K", "camera_to_world", "azimuth_deg", "elevation_deg", "distance", "roll_deg", "background_id")


def export_folders(shard: Shard, out: Path, bank: Bank | None, jpeg_quality: int | None) -> int:
    """One folder a shape; returns how many files were written."""
    files = 0
    for row, record in enumerate(shard.records):
        _require_plain_names(shard, record)
        for name, data in shape_files(shard, row, bank, jpeg_quality):
            with atomic_path(out / record.category / record.name / name) as temporary:
                temporary.write_bytes(data)
            files += 1
    return files


def export_webdataset(shard: Shard, out: Path, bank: Bank | None, jpeg_quality: int | None) -> int:
    """One tar a shard, samples in its order; returns how many members were written."""
    members = 0
    with atomic_path(out / f"{shard.path.stem}.tar") as temporary, tarfile.open(temporary, "w") as tar:
        keys: set[str] = set()
        for row, record in enumerate(shard.records):
            _require_plain_names(shard, record)
            # WebDataset takes everything before the first dot of a base name as the sample's key.
            key = f"{record.category}/{record.name}".replace(".", "_")
            key = f"{key}-{row}" if key in keys else key  # "a.b" and "a_b" are two shapes
            keys.add(key)
            for name, data in shape_files(shard, row, bank, jpeg_quality):
                member = tarfile.TarInfo(f"{key}.{name.removeprefix('model.').removeprefix('shape.')}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                members += 1
    return members


EXPORTS: dict[str, Callable[[Shard, Path, Bank | None, int | None], int]] = {
    "folders": export_folders,
    "webdataset": export_webdataset,
    "parquet": export_parquet,
}


def shape_files(shard: Shard, row: int, bank: Bank | None, jpeg_quality: int | None) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file of one shape; pictures are PNG, or JPEG of `jpeg_quality`."""
    for number, view in enumerate(encoded_views(shard, row, bank, jpeg_quality)):
        yield f"{number:02d}.{view.suffix}", view.picture
        if view.alpha is not None:
            yield f"{number:02d}.alpha.png", view.alpha
    if "voxels" in shard:
        yield "model.binvox", write_binvox(unpack_grid(shard.array("voxels").row(row), shard.resolution or 0))
    yield "shape.json", (json.dumps(shape_facts(shard, row), indent=1, sort_keys=True) + "\n").encode()


def shape_facts(shard: Shard, row: int) -> dict[str, Any]:
    """The record and the cameras of one shape as JSON values."""
    facts: dict[str, Any] = dataclasses.asdict(shard.records[row])
    facts["views"] = {name: shard.array(name).row(row).tolist() for name in _PER_VIEW if name in shard}
    return facts


def _require_plain_names(shard: Shard, record: Record) -> None:
    """Names become folders; those of a shard from elsewhere must not lead out of `out`."""
    for name in (record.category, record.name):
        if name in ("", ".", "..") or "/" in name or "\\" in name or visible(name) != name:
            raise UserError(
                "a name cannot become a folder",
                where=str(shard.path),
                got=repr(name),
                wanted="a name without slashes and control characters",
            )
