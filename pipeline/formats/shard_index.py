"""``shards/D/index.json`` as it is read: its schema; `pipeline.shards.index` says what it means and writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic

from pipeline.errors import UserError
from pipeline.state.files import Stored, read_state

INDEX_FORMAT = "mesh-views-voxels index 1"


class IndexedShard(Stored):
    """One shard."""

    file: str
    count: int  # of shapes
    counts: dict[str, int]  # by split
    rejects: int
    bytes: int
    fingerprint: str  # over its checksums
    sha256: str  # of the whole file


class ShardIndex(Stored):
    """The shards of one data set."""

    format: Literal["mesh-views-voxels index 1"]
    dataset: str
    kind: str
    views: int
    size_px: int
    resolution: int | None
    categories: list[str]  # a label is a position here
    counts: dict[str, int]
    attributes: dict[str, Any]  # what all shards have in common
    digest: str  # SHA-256 over the shards' own
    shards: list[IndexedShard]


_SCHEMA: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ShardIndex)


def read_index(path: str | Path) -> dict[str, Any]:
    """Load an index; a `UserError` for anything else."""
    path = Path(path)
    if not path.exists():
        raise UserError("there is no such index of shards", where=str(path), do="run the pipeline up to its shards")
    index: dict[str, Any] = read_state(path, _SCHEMA, what="cannot read an index of shards")
    return index
