"""Writing a shard: rows go to a spool, the file is assembled, verified and renamed at the end.

The number of accepted shapes is known only at the end, a contiguous dataset cannot shrink,
and a killed writer must leave nothing behind.  So rows go to an unnamed temporary file (which
vanishes with its process); on a clean exit the HDF5 file is written under a temporary name,
re-opened, compared with the checksums taken when the rows arrived, and renamed.

HDF5 cannot survive a full disk: writes seem to succeed, close() raises and the interpreter
crashes at exit.  It therefore writes through `_PatientFile`, which keeps the first error to
itself until HDF5 is closed.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import h5py
import numpy as np

from pipeline.atomic import atomic_path
from pipeline.conventions import Array
from pipeline.errors import NO_ROOM, cannot_write
from pipeline.manifest import Record, Rejection
from pipeline.shards.read import H5_ERRORS, Shard, header_crc
from pipeline.shards.schema import (
    CONVENTIONS,
    CRC_GROUP,
    FORMAT,
    GZIP_LEVEL,
    KINDS,
    LIBVER,
    MAJOR,
    MINOR,
    PLACEMENT,
    Field,
    Sizes,
    crc_rows,
    placements,
    rejection_lines,
    text_columns,
    to_json,
)
from pipeline.shards.verify import verify_shard


@contextlib.contextmanager
def create(
    path: str | Path,
    kind: str,
    *,
    count: int,  # most shapes that will be appended; fewer is fine
    views: int,  # pictures of each shape
    size_px: int,  # side of the square pictures
    resolution: int | None = None,  # voxels a side; None for a kind without voxels
    attributes: Mapping[str, Any],  # JSON values kept with the shard: settings, tool versions, digests
) -> Iterator[ShardWriter]:
    """``with create(...) as shard: shard.append(record, rgba=..., K=...)``; published whole or not at all."""
    path = Path(path)
    with atomic_path(path) as temporary:
        writer = ShardWriter(kind, count, Sizes(views, size_px, resolution), attributes)
        try:
            with tempfile.TemporaryFile(dir=path.parent) as writer.spool:
                yield writer
                writer.finish(temporary)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            size = writer.nbytes
            wanted = f"room for {2 * size:,} bytes: {size:,} of the shard and as many while it is written"
            raise cannot_write(error, path, wanted) from error


class ShardWriter:
    """Collects the rows of one shard; use `create`."""

    spool: IO[bytes]  # where rows wait until the shard is assembled

    def __init__(self, kind: str, count: int, sizes: Sizes, attributes: Mapping[str, Any]):
        if kind not in KINDS:
            raise ValueError(f"unknown kind of shard {kind!r}; known: {', '.join(KINDS)}")
        if ("voxels" in KINDS[kind]) != (sizes.resolution is not None):
            raise ValueError(f"resolution is {sizes.resolution} for a shard of kind {kind!r}")
        self.kind, self.count, self.sizes, self.attributes = kind, count, sizes, to_json(attributes)
        self.records: list[Record] = []
        self.rejects: list[Rejection] = []
        self._fields: dict[str, Field] = {}
        self._places: dict[str, list[list[int]]] = {}  # name -> row -> lengths of its parts, in the spool's order
        self._starts: dict[str, list[int]] = {}  # name -> row -> where its first part begins
        self._crc: dict[str, list[Array]] = {}
        self._ids: set[str] = set()

    @property
    def nbytes(self) -> int:
        """Bytes that the shapes so far will take."""
        return sum(length for rows in self._places.values() for lengths in rows for length in lengths)

    def append(self, record: Record, **arrays: Any) -> None:
        """Add one shape; arrays as `KINDS` lists them, one row each. ValueError where they do not fit."""
        if record.shape_id in self._ids:
            raise ValueError(f"{record.shape_id} is already in the shard")
        if len(self.records) == self.count:
            raise ValueError(f"the shard was created for {self.count} shapes")
        rows = self._checked(record, arrays)
        for name, row in rows.items():
            field = self._fields[name]
            parts = _stored_parts(field, row)
            self._starts[name].append(self.spool.tell())
            self._places[name].append([len(part) for part in parts])
            self._crc[name].append(crc_rows(field, row))
            for part in parts:
                self.spool.write(part)
        self._ids.add(record.shape_id)
        self.records.append(record)

    def reject(self, rejection: Rejection) -> None:
        """Add one ledger line."""
        self.rejects.append(rejection)

    def finish(self, temporary: Path) -> None:
        """Assemble the file at `temporary` and compare it with what was appended."""
        self.spool.flush()
        with _PatientFile(temporary) as file:
            try:
                with h5py.File(file, "w", libver=LIBVER) as h5:
                    self._assemble(h5, file)
            except H5_ERRORS:
                file.raise_first_error()
                raise
            file.raise_first_error()
        with Shard(temporary) as shard:
            verify_shard(shard)
            for name, crc in self._crc.items():
                if not np.array_equal(shard.checksums(name), np.array(crc, "<u4")):
                    raise OSError(0, f"what was read back of {name} is not what was written")

    def _checked(self, record: Record, arrays: dict[str, Any]) -> dict[str, Array]:
        """The arrays as their stored types, in schema order."""
        schema = KINDS[self.kind]
        unknown = sorted(set(arrays) - set(schema))
        if unknown:
            raise ValueError(f"a {self.kind!r} shard has no array {', '.join(unknown)}; known: {', '.join(schema)}")
        if not self.records:
            self._start(arrays)
        if set(arrays) != set(self._fields):
            raise ValueError(f"{record.shape_id}: arrays are {sorted(arrays)}, wanted {sorted(self._fields)}")
        return {name: self._fitted(record, name, arrays[name]) for name in self._fields}

    def _start(self, arrays: dict[str, Any]) -> None:
        """The first shape decides which optional arrays there are and how many lights."""
        self._fields = {n: f for n, f in KINDS[self.kind].items() if n in arrays or not f.optional}
        for table in (self._places, self._starts, self._crc):
            table.update({name: [] for name in self._fields})
        if "lights" in arrays:
            lights = np.shape(arrays["lights"])[1]
            self.sizes = Sizes(self.sizes.views, self.sizes.size_px, self.sizes.resolution, lights)

    def _fitted(self, record: Record, name: str, value: Any) -> Array:
        field, value = self._fields[name], np.asarray(value)
        wanted = self.sizes.row_shape(field)
        if value.shape != wanted or not np.can_cast(value.dtype, field.dtype, "same_kind"):
            raise ValueError(f"{record.shape_id}: {name} is {value.shape} {value.dtype}, wanted {wanted} {field.dtype}")
        return np.ascontiguousarray(value, field.dtype)

    def _assemble(self, h5: h5py.File, file: _PatientFile) -> None:
        """Write everything; `complete` comes last."""
        head = self._header()
        for key, value in head.items():
            h5.attrs[key] = np.bytes_(value.encode()) if isinstance(value, str) else value
        h5.create_group(CRC_GROUP)
        for name, lines in text_columns(self.records).items():
            _write_texts(h5, name, lines)
        _write_texts(h5, "reject", rejection_lines(self.rejects))
        _write_small(h5, "placement", PLACEMENT, placements(self.records))
        for name, field in KINDS[self.kind].items():
            if name in self._fields or (not self.records and not field.optional):
                self._write_field(h5, name, field, file)
        h5.flush()
        h5.attrs["complete"] = np.int64(1)

    def _header(self) -> dict[str, Any]:
        head: dict[str, Any] = {
            "format": FORMAT,
            "schema_major": MAJOR,
            "schema_minor": MINOR,
            "kind": self.kind,
            "count": len(self.records),
            "rejects": len(self.rejects),
            "views": self.sizes.views,
            "size_px": self.sizes.size_px,
            "resolution": self.sizes.resolution or 0,
            "lights": self.sizes.lights,
            "attributes": self.attributes.decode(),
            **CONVENTIONS,
        }
        return {**head, "header_crc32": header_crc(head)}

    def _write_field(self, h5: h5py.File, name: str, field: Field, file: _PatientFile) -> None:
        shape = (len(self.records), *self.sizes.row_shape(field))
        crc_shape = shape[:2] if field.per_view else shape[:1]
        _dataset(h5, f"{CRC_GROUP}/{name}", crc_shape, "<u4")[...] = np.array(self._crc.get(name, []), "<u4").reshape(
            crc_shape
        )
        chunks = (1, 1, *shape[2:]) if field.gzip and self.records else None
        data = _dataset(h5, name, shape, field.dtype, chunks)
        for row in range(len(self.records)):
            self.spool.seek(self._starts[name][row])
            parts = [self.spool.read(length) for length in self._places[name][row]]
            if chunks:
                for view, part in enumerate(parts):
                    data.id.write_direct_chunk((row, view) + (0,) * (len(shape) - 2), part)
            else:
                data[row] = np.frombuffer(parts[0], field.dtype).reshape(shape[1:])
            file.raise_first_error()


def _stored_parts(field: Field, row: Array) -> list[bytes]:
    """The bytes of one row as they will lie in the file: one part, or one zlib stream a view."""
    if field.gzip:
        return [zlib.compress(np.ascontiguousarray(view).data, GZIP_LEVEL) for view in row]
    return [row.tobytes()]


def _dataset(
    h5: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...] | None = None
) -> h5py.Dataset:
    packed = {"chunks": chunks, "compression": "gzip", "compression_opts": GZIP_LEVEL} if chunks else {}
    return h5.create_dataset(name, shape=shape, dtype=dtype, track_times=False, **packed)


def _write_texts(h5: h5py.File, name: str, lines: list[bytes]) -> None:
    """Fixed-length bytes: variable-length text lies in HDF5's global heap, which has no checksum."""
    dtype = _text_type(lines)
    _dataset(h5, name, (len(lines),), dtype)[...] = np.array(lines, dtype)
    _write_crc(h5, name, [zlib.crc32(line) for line in lines])


def _text_type(lines: list[bytes]) -> np.dtype[Any]:
    """HDF5's type for these lines: declared as UTF-8 where they hold more than ASCII, so that h5py decodes them."""
    width = max([len(line) for line in lines], default=0) or 1
    ascii_only = all(line.isascii() for line in lines)
    dtype: np.dtype[Any] = h5py.string_dtype("ascii" if ascii_only else "utf-8", width)
    return dtype


def _write_small(h5: h5py.File, name: str, field: Field, values: Array) -> None:
    _dataset(h5, name, values.shape, field.dtype)[...] = values
    _write_crc(h5, name, [int(crc_rows(field, row)) for row in values])


def _write_crc(h5: h5py.File, name: str, crc: list[int]) -> None:
    _dataset(h5, f"{CRC_GROUP}/{name}", (len(crc),), "<u4")[...] = np.array(crc, "<u4")


class _PatientFile(io.RawIOBase):
    """A file for HDF5 that pretends to accept every byte after its first error, and tells us later."""

    def __init__(self, path: Path):
        self._file: BinaryIO = open(path, "w+b", buffering=0)  # noqa: SIM115 - closed in close()
        self._error: OSError | None = None

    def raise_first_error(self) -> None:
        """The error that HDF5 must not see; call between rows and after closing."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self._error is None:
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Nothing is buffered here; `atomic_path` calls fsync once at the end."""

    def close(self) -> None:
        self._file.close()
        super().close()

    def __exit__(self, *_: object) -> None:
        self.close()
