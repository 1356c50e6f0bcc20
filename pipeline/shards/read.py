"""Reading a shard: every row that is handed out has been compared with its checksum.

``with open_shard(path) as shard: shard.images(3)``.  Damage of any kind is a `UserError`
that names the file, the dataset and the object.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from pydantic import TypeAdapter
from zlib_ng import zlib_ng

from pipeline.conventions import Array
from pipeline.errors import UserError, in_words, is_refusal, remedy
from pipeline.manifest import RECORD, REJECTION, Record, Rejection
from pipeline.pictures.bank import Bank, background, composite
from pipeline.shards.schema import (
    CRC_GROUP,
    FORMAT,
    KINDS,
    MAJOR,
    PLACEMENT,
    REMEDY,
    TEXT_FIELDS,
    Field,
    Sizes,
    crc_rows,
    damaged,
    stored_fields,
)
from pipeline.state.files import parse_json, parse_lines

# What h5py raises for files that are not whole; anything else is a defect of ours.
H5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError, EOFError)


class Rows:
    """One dataset of an open shard, indexed by row like an array; checked against its checksums."""

    def __init__(self, shard: Shard, name: str, field: Field):
        self._shard, self.name, self.field = shard, name, field
        self._data: h5py.Dataset = shard.dataset(name)
        self.crc: Array = shard.checksums(name)
        self.shape: tuple[int, ...] = self._data.shape
        self.dtype: np.dtype[Any] = self._data.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Array]:
        return (self.row(row) for row in range(len(self)))

    def __getitem__(self, index: Any) -> Array:
        """Row `index`, or an array of rows for a slice or a list."""
        if isinstance(index, (int, np.integer)):
            return self.row(range(len(self))[operator.index(index)])
        rows = range(len(self))[index] if isinstance(index, slice) else np.arange(len(self))[index]
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            out[place] = self.row(int(row))
        return out

    def whole(self) -> Array:
        """The whole dataset in one read; for those that are not pictures."""
        values = np.asarray(self._read(...))
        for row, value in enumerate(values):
            if zlib_ng.crc32(value.data) != self.crc[row]:
                raise damaged(self.place(row), "a CRC-32 that does not match")
        return values

    def row(self, row: int) -> Array:
        """One whole row."""
        if self.field.gzip:
            views = [self.view(row, view) for view in range(self.shape[1])]
            return np.stack(views) if views else np.empty(self.shape[1:], self.dtype)
        value = np.asarray(self._read(row))
        self._compare(crc_rows(self.field, value), row)
        return value

    def view(self, row: int, view: int) -> Array:
        """One view of a row, without touching the others."""
        if not self.field.per_view:
            return np.asarray(self.row(row)[view])
        value = self._inflated(row, view) if self.field.gzip else np.ascontiguousarray(self._read((row, view)))
        if zlib_ng.crc32(value.data) != self.crc[row, view]:
            raise damaged(self.place(row, view), "a CRC-32 that does not match")
        return value

    def mapped(self) -> Array | None:
        """Read-only memory map of a contiguous dataset, without checks; None where it is compressed or empty."""
        offset = self._data.id.get_offset()
        if offset is None:
            return None
        return np.memmap(self._shard.path, self.dtype, "r", offset, self.shape)

    @property
    def stored_bytes(self) -> int:
        """What the dataset takes in the file."""
        return int(self._data.id.get_storage_size())

    def _inflated(self, row: int, view: int) -> Array:
        """One picture of a compressed dataset: many times faster than through HDF5, and other threads may run."""
        shape = self.shape[2:]
        try:
            _, data = self._data.id.read_direct_chunk((row, view) + (0,) * len(shape))
            return np.frombuffer(zlib_ng.decompress(data, 15, math.prod(shape)), self.dtype).reshape(shape)
        except (*H5_ERRORS, zlib_ng.error) as error:  # type: ignore[misc] # its stub calls the class an instance
            raise damaged(self.place(row, view), str(error)) from error

    def place(self, row: int, view: int | None = None) -> str:
        """``file: dataset: object: view``, for errors."""
        return self._shard.place(self.name, row, view)

    def _read(self, index: Any) -> Any:
        try:
            return self._data[index]
        except H5_ERRORS as error:
            row, view = index if isinstance(index, tuple) else (None if index is ... else index, None)
            raise damaged(self._shard.place(self.name, row, view), str(error)) from error

    def _compare(self, found: Array, row: int) -> None:
        bad = np.flatnonzero(np.atleast_1d(found != self.crc[row]))
        if len(bad):
            view = int(bad[0]) if self.field.per_view else None
            raise damaged(self._shard.place(self.name, row, view), "a CRC-32 that does not match")


class Shard:
    """An open shard; a context manager."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._file = _open_h5(self.path)
        self._datasets: dict[str, h5py.Dataset] = {}
        self._crc: dict[str, Array] = {}
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def _load(self) -> None:
        head = self._header()
        self._header_crc = header_crc(head)
        self.kind: str = head["kind"]
        self.views, self.size_px = int(head["views"]), int(head["size_px"])
        self.resolution: int | None = int(head["resolution"]) or None
        self.version = f"{head['schema_major']}.{head['schema_minor']}"
        self.attributes: dict[str, Any] = parse_json(head["attributes"])
        self._count = int(head["count"])
        self.object_ids: list[str] = []  # first, so that errors in the other datasets can name the object
        self.object_ids = [text.decode() for text in self._texts("object_id", self._count)]
        self.records = [Record(**line) for line in self._lines("record", self._count, RECORD)]
        self.rejects = [Rejection(**line) for line in self._lines("reject", int(head["rejects"]), REJECTION)]
        self.fields = {**stored_fields(self.kind, list(self._file)), "placement": PLACEMENT}
        self.sizes = Sizes(self.views, self.size_px, self.resolution, int(head["lights"]))
        self._check_shapes()

    def _header(self) -> dict[str, Any]:
        """Root attributes, checked: a shard of ours, of this version, complete and undamaged."""
        try:
            head = {key: _plain(value) for key, value in self._file.attrs.items()}
        except H5_ERRORS as error:
            raise damaged(str(self.path), str(error)) from error
        if head.get("format") != FORMAT:
            raise UserError(
                "not a shard of this pipeline",
                where=str(self.path),
                got=str(head.get("format")),
                wanted=FORMAT,
                do="give a shards/<data set>/<number>.h5 file",
            )
        if head.get("schema_major") != MAJOR:
            raise UserError(
                "a shard of another version",
                where=str(self.path),
                got=str(head.get("schema_major")),
                wanted=f"schema major version {MAJOR}",
                do="make the shards again with this version",
            )
        if head.get("complete") != 1:
            raise UserError("a shard is not complete", where=str(self.path), wanted="complete = 1", do=REMEDY)
        if header_crc(head) != head.get("header_crc32") or head["kind"] not in KINDS:
            raise damaged(f"{self.path}: attributes", "a CRC-32 that does not match")
        return head

    def _lines(self, name: str, count: int, schema: TypeAdapter[Any]) -> list[dict[str, Any]]:
        try:
            return parse_lines(b"\n".join(self._texts(name, count)).decode(), schema)
        except ValueError as error:
            raise damaged(f"{self.path}: {name}", str(error)) from error

    def _texts(self, name: str, count: int) -> list[bytes]:
        """A text dataset, checked row by row."""
        try:
            values = self.dataset(name)[()]
        except H5_ERRORS as error:
            raise damaged(f"{self.path}: {name}", str(error)) from error
        crc = self.checksums(name)
        if values.shape != (count,) or crc.shape != (count,):
            raise damaged(f"{self.path}: {name}", f"{values.shape} rows instead of {count}")
        for row, value in enumerate(values):
            if zlib_ng.crc32(value) != crc[row]:
                raise damaged(self.place(name, row if name in TEXT_FIELDS else None), "a CRC-32 that does not match")
        return [bytes(value) for value in values]

    def _check_shapes(self) -> None:
        for name, field in KINDS[self.kind].items():
            if name not in self.fields and not field.optional:
                raise damaged(f"{self.path}: {name}", "no such dataset")
        for name, field in self.fields.items():
            data = self.dataset(name)
            wanted = (self._count, *self.sizes.row_shape(field))
            if data.shape != wanted or data.dtype != np.dtype(field.dtype):
                raise damaged(f"{self.path}: {name}", f"{data.shape} {data.dtype} instead of {wanted} {field.dtype}")
            crc = self.checksums(name).shape
            if crc != ((self._count, self.views) if field.per_view else (self._count,)):
                raise damaged(f"{self.path}: {CRC_GROUP}/{name}", f"{crc} checksums")

    def dataset(self, name: str) -> h5py.Dataset:
        """The bare dataset."""
        try:
            if name not in self._datasets:
                self._datasets[name] = self._file[name]
            return self._datasets[name]
        except H5_ERRORS as error:
            raise damaged(f"{self.path}: {name}", str(error)) from error

    def checksums(self, name: str) -> Array:
        """(N,) or (N, V) CRC-32 of a dataset's rows."""
        try:
            if name not in self._crc:
                self._crc[name] = np.asarray(self._file[f"{CRC_GROUP}/{name}"][()])
            return self._crc[name]
        except H5_ERRORS as error:
            raise damaged(f"{self.path}: {CRC_GROUP}/{name}", str(error)) from error

    def place(self, name: str, row: int | None = None, view: int | None = None) -> str:
        """``file: dataset: object: view``, for errors."""
        parts = [str(self.path), name]
        if row is not None:
            parts.append(self.object_ids[row] if row < len(self.object_ids) else f"row {row}")
        if view is not None:
            parts.append(f"view {view}")
        return ": ".join(parts)

    def __len__(self) -> int:
        return self._count

    def array(self, name: str) -> Rows:
        """A dataset as checked rows; KeyError for a name this kind does not have."""
        return Rows(self, name, self.fields[name])

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def fingerprint(self) -> str:
        """Short name of the content: a hash of the header and of every checksum, without reading the data."""
        digest = hashlib.sha256(str(self._header_crc).encode())
        for name in sorted([*self.fields, *TEXT_FIELDS, "reject"]):
            digest.update(name.encode() + self.checksums(name).tobytes())
        return digest.hexdigest()[:32]

    def images(self, row: int, bank: Bank | None = None) -> Array:
        """(V, S, S, 3) the finished pictures of one shape; `layers` need the bank they were made with."""
        if self.kind == "composite":
            return self.array("images")[row]
        rgba, space = self.array("rgba")[row], self.compositing
        ids, crops = self.array("background_id")[row], self.array("background_crop")[row]
        return np.stack(
            [
                composite(view, background(bank, int(number), crop, self.size_px), space)
                for view, number, crop in zip(rgba, ids, crops, strict=True)
            ]
        )

    @property
    def compositing(self) -> str:
        """Space in which soft edges were blended: "srgb" or "linear"."""
        return str(self.attributes.get("compositing", "srgb"))

    def close(self) -> None:
        """Give the file back; nothing can be read any more."""
        self._file.close()

    def __enter__(self) -> Shard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def header_crc(head: dict[str, Any]) -> int:
    """CRC-32 of all root attributes but itself and `complete`."""
    text = json.dumps(
        {key: value for key, value in head.items() if key not in ("header_crc32", "complete")}, sort_keys=True
    )
    return zlib_ng.crc32(text.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise UserError("there is no such shard", where=str(path), do="run the pipeline that makes it") from error
    except H5_ERRORS as error:
        if isinstance(error, OSError) and is_refusal(error):
            raise in_words(error, path) from error
        raise UserError(
            "cannot open a shard",
            where=str(path),
            got=str(error),
            wanted="a whole HDF5 file made by this pipeline",
            do=remedy(path, ".h5"),
        ) from error
