"""Shards as Parquet files that ``datasets.load_dataset`` and the Hub's viewer read: a row for each shape.

    <out>/<split>-<shard>.parquet     split is train, validation or test, by which `datasets` knows it

    data = datasets.load_dataset("<out>", split="train")
    data[0]["images"][2]                                                     a PIL picture
    np.unpackbits(np.frombuffer(data[0]["voxels"], np.uint8)).reshape(R, R, R)     R is data[0]["resolution"]

    shape_id, category, name    text
    images, alpha               PNG or JPEG of each view, and PNG of its alpha where the picture has a background
    voxels, resolution          R^3 / 8 bytes, packed bits of grid[x, y, z] as conventions.pack_grid, and R
    K, camera_to_world          (V, 3, 3) pixels and (V, 4, 4); then azimuth_deg, elevation_deg, distance, roll_deg
    record                      JSON of what the ledger knows of the shape

The schema's metadata say in the way of `datasets` which columns hold pictures.
https://huggingface.co/docs/datasets/image_load describes it; equal shards give equal files.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pipeline.atomic import atomic_path
from pipeline.errors import UserError
from pipeline.pictures.bank import Bank
from pipeline.shards.pictures import encoded_views
from pipeline.shards.read import Shard

SPLITS = {"train": "train", "val": "validation", "test": "test", "": "views"}  # views of a renderer have none yet
_CAMERAS = {"K": 3, "camera_to_world": 3, "azimuth_deg": 1, "elevation_deg": 1, "distance": 1, "roll_deg": 1}
_ROWS = 64  # in a group: what a reader takes at once


def export_parquet(shard: Shard, out: Path, bank: Bank | None, jpeg_quality: int | None) -> int:
    """One file for each split of a shard; returns how many rows were written."""
    arrow = _library()
    for split in sorted({record.split for record in shard.records}):
        rows = [row for row, record in enumerate(shard.records) if record.split == split]
        values = [shape_row(shard, row, bank, jpeg_quality) for row in rows]
        schema = _schema(arrow, values[0])
        with atomic_path(out / f"{SPLITS.get(split, split)}-{shard.path.stem}.parquet") as temporary:
            table = arrow.Table.from_pylist(values, schema=schema)
            arrow.parquet.write_table(table, temporary, row_group_size=_ROWS)
    return len(shard)


def shape_row(shard: Shard, row: int, bank: Bank | None, jpeg_quality: int | None) -> dict[str, Any]:
    """The columns of one shape."""
    record = shard.records[row]
    views = list(encoded_views(shard, row, bank, jpeg_quality))
    values: dict[str, Any] = {
        "shape_id": record.shape_id,
        "category": record.category,
        "name": record.name,
        "images": [{"bytes": view.picture, "path": None} for view in views],
    }
    if all(view.alpha is not None for view in views):
        values["alpha"] = [{"bytes": view.alpha, "path": None} for view in views]
    if "voxels" in shard:
        values["voxels"], values["resolution"] = shard.array("voxels").row(row).tobytes(), shard.resolution
    values |= {name: shard.array(name).row(row).tolist() for name in _CAMERAS if name in shard}
    values["record"] = json.dumps(dataclasses.asdict(record), sort_keys=True)
    return values


def _schema(arrow: Any, values: dict[str, Any]) -> Any:
    """Types of the columns of `values`, with the features of `datasets` in the metadata."""
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "images": _listed(arrow, picture, {"_type": "Image"}, 1),
        "alpha": _listed(arrow, picture, {"_type": "Image"}, 1),
        "voxels": (arrow.binary(), {"dtype": "binary", "_type": "Value"}),
        "resolution": (arrow.int32(), {"dtype": "int32", "_type": "Value"}),
    }
    for name, depth in _CAMERAS.items():
        kinds[name] = _listed(arrow, arrow.float64(), {"dtype": "float64", "_type": "Value"}, depth)
    text = (arrow.string(), {"dtype": "string", "_type": "Value"})
    chosen = {name: kinds.get(name, text) for name in values}
    features = {name: feature for name, (_, feature) in chosen.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return arrow.schema([(name, kind) for name, (kind, _) in chosen.items()], metadata=metadata)


def _listed(arrow: Any, kind: Any, feature: dict[str, Any], depth: int) -> tuple[Any, dict[str, Any]]:
    """A list of lists, `depth` deep, as Arrow and `datasets` write it."""
    for _ in range(depth):
        kind, feature = arrow.list_(kind), {"feature": feature, "_type": "Sequence"}
    return kind, feature


def _library() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Parquet files need a package that is not installed", got=str(error), do="run `pip install pyarrow`"
        ) from error
    return pyarrow
