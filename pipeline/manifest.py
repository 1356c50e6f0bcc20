"""Shape, Rejection, and where a shape belongs: its split and its shard.

Split and shard are functions of the shape's id (or of the official split), so adding
shapes moves none of the old ones, and no view, pose or image can leak between splits.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from pipeline.conventions import SPLITS
from pipeline.errors import UserError, remedy
from pipeline.seeds import stable_hash, uniform
from pipeline.state.digests import sha256_of as sha256_of
from pipeline.state.files import read_lines
from pipeline.state.tables import read_table, write_table


@dataclass(frozen=True, order=True)
class Shape:
    """One shape of a data set as its index lists it."""

    dataset: str
    category: str  # human name, e.g. "chair"
    name: str  # unique within (dataset, category), e.g. "chair_0891"
    split: str  # one of conventions.SPLITS
    member: str  # path of the mesh inside the archive or folder
    size: int = 0  # bytes of that member
    checksum: str = ""  # its CRC-32 from a zip directory, or a content hash; identity, not security

    @property
    def shape_id(self) -> str:
        """``dataset/category/name``: stable, unique over the whole run."""
        return f"{self.dataset}/{self.category}/{self.name}"

    @property
    def key(self) -> str:
        """``category/name``: unique within the data set; the stem of its files in a pack."""
        return f"{self.category}/{self.name}"


@dataclass(frozen=True, order=True)
class Rejection:
    """One shape that a stage could not use; data, not an exception."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    shape_id: str
    stage: str  # index, prepare, voxelize, render
    reason: str  # short code, e.g. "truncated", "empty", "no_faces"
    detail: str = ""


REJECTION: TypeAdapter[Any] = TypeAdapter(Rejection)

# Of a record before its shard is packed: nothing that is drawn follows from the split.
NO_SPLIT = ""


@dataclass
class Record:
    """What is known of one accepted shape; every stage adds its own facts.

    Facts are plain JSON values (numbers, strings, lists, dicts), one dict a stage.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    shape_id: str
    category: str
    name: str
    split: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.category}/{self.name}"


RECORD: TypeAdapter[Any] = TypeAdapter(Record)


def shard_of(key: str, shards: int) -> int:
    """Shard number of ``category/name`` in a data set of `shards` shards."""
    return stable_hash("shard", key) % shards


def split_of(key: str, *, seed: int, val_percent: float, test_percent: float) -> str:
    """Split by the hash of ``category/name``, for sources without an official one."""
    place = uniform(seed, "split", key) * 100
    if place < test_percent:
        return "test"
    return "val" if place < test_percent + val_percent else "train"


def carve_validation(key: str, *, seed: int, val_percent: float) -> str:
    """Split of a shape from an official training set that has no validation part."""
    return "val" if uniform(seed, "split", key) * 100 < val_percent else "train"


_COLUMNS = [f.name for f in dataclasses.fields(Shape)]
_VALUES = operator.attrgetter(*_COLUMNS)  # dataclasses.astuple copies each value deeply


def shapes_to_tsv(shapes: Iterable[Shape]) -> str:
    """Sorted, tab-separated, with a header: the DAG's interface file of one shard."""
    return write_table(_COLUMNS, map(_VALUES, sorted(shapes)))


def shapes_from_tsv(text: str, where: str = "shape list") -> list[Shape]:
    """Inverse of `shapes_to_tsv`; refuses another header or an unknown split."""
    try:
        rows = read_table(text)
        if rows[:1] != [_COLUMNS]:
            raise ValueError(f"the columns {', '.join(rows[0]) if rows else 'of an empty file'}")
        shapes = [Shape(a, b, c, d, e, int(size), checksum) for a, b, c, d, e, size, checksum in rows[1:]]
    except ValueError as error:
        raise UserError(
            "cannot read a shape list",
            where=where,
            got=str(error),
            wanted=f"the columns {', '.join(_COLUMNS)}, and a number for the size",
            do=remedy(where, ".tsv"),
        ) from error
    for shape in shapes:
        if shape.split not in SPLITS:
            raise UserError(
                "unknown split in a shape list",
                where=where,
                got=shape.split,
                wanted=", ".join(SPLITS),
                do=remedy(where, ".tsv"),
            )
    return shapes


def by_split(records: Sequence[Record]) -> dict[str, int]:
    """How many shapes each split holds."""
    return {split: sum(record.split == split for record in records) for split in SPLITS}


def read_rejects(folder: Path) -> list[Rejection]:
    """The shapes that `index_dataset` refused."""
    path = folder / "rejects.jsonl"
    if not path.exists():
        raise UserError("a data set has no list of refused shapes", where=str(path), do="run the same command again")
    return [Rejection(**line) for line in read_lines(path, REJECTION, what="cannot read the list of refused shapes")]
