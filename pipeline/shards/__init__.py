"""Shards: the one format in which shapes, views and voxels travel; h5py is used here only.

    with create("shards/demo/000.h5", "composite", count=64, views=12, size_px=64, resolution=32,
                attributes={...}) as shard:
        shard.append(record, images=..., alpha=..., voxels=..., K=..., ...)
    with open_shard("shards/demo/000.h5") as shard:
        shard.records[3], shard.images(3), shard.array("voxels")[3]

The parts: `schema` what is stored, `write`, `read`, `verify`.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.shards.read import Rows, Shard
from pipeline.shards.schema import KINDS, Field, Sizes
from pipeline.shards.verify import LEVELS, Level, verify_shard
from pipeline.shards.write import ShardWriter, create

__all__ = [
    "KINDS",
    "LEVELS",
    "Field",
    "Level",
    "Rows",
    "Shard",
    "ShardWriter",
    "Sizes",
    "create",
    "open_shard",
    "verify",
    "verify_shard",
]


def open_shard(path: str | Path) -> Shard:
    """Open for reading; a `UserError` says what is wrong with a file that is not a whole shard."""
    return Shard(path)


def verify(path: str | Path, level: Level = "full") -> int:
    """Check one file; returns the bytes that were compared, raises a `UserError` for damage."""
    with open_shard(path) as shard:
        return verify_shard(shard, level)
