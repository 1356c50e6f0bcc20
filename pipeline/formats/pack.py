"""A pack: one shard's files and what is known of them, in one plain zip.

    chair/chair_0001.glb        one file a shape (``category/name`` + suffix), stored uncompressed
    records.jsonl               one `Record` a line, sorted by shape id
    rejects.jsonl               one `Rejection` a line: shapes this stage could not use

One file a shard instead of one a mesh: 51,000 models are a few hundred files on a shared
file system, a pack is whole or absent, and `unzip` opens it.  Times inside are fixed, so
the same content gives the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from pipeline.atomic import atomic_path
from pipeline.errors import UserError, remedy
from pipeline.formats.zipped import damage_as, member
from pipeline.manifest import RECORD, REJECTION, Record, Rejection
from pipeline.state.files import parse_lines

RECORDS, REJECTS = "records.jsonl", "rejects.jsonl"


class PackWriter:
    """Collects one shard; use `write_pack` to get one that publishes atomically."""

    def __init__(self, archive: zipfile.ZipFile, suffix: str):
        self._archive, self._suffix = archive, suffix
        self.records: list[Record] = []
        self.rejects: list[Rejection] = []

    def add(self, record: Record, payload: bytes | None) -> None:
        """Add one accepted shape; `payload` None for stages that keep facts only."""
        if payload is not None:
            _write_member(self._archive, record.key + self._suffix, payload)
        self.records.append(record)

    def reject(self, rejection: Rejection) -> None:
        """Add one ledger line."""
        self.rejects.append(rejection)

    def _finish(self) -> None:
        self.records.sort(key=lambda record: record.shape_id)
        self.rejects.sort()
        _write_member(self._archive, RECORDS, _lines(self.records))
        _write_member(self._archive, REJECTS, _lines(self.rejects))


class _AtomicPack:
    def __init__(self, path: Path, suffix: str):
        self._publish = atomic_path(path)
        self._suffix = suffix

    def __enter__(self) -> PackWriter:
        self._zip = zipfile.ZipFile(self._publish.__enter__(), "w", zipfile.ZIP_STORED)
        self._writer = PackWriter(self._zip, self._suffix)
        return self._writer

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        try:
            if kind is None:
                self._writer._finish()
            self._zip.close()
        except OSError as disk:
            with contextlib.suppress(OSError):  # or zipfile tries again, and complains, when it is collected
                self._zip.close()
            self._publish.__exit__(type(disk), disk, disk.__traceback__)
            raise
        return self._publish.__exit__(kind, error, trace)


def write_pack(path: str | Path, suffix: str) -> _AtomicPack:
    """``with write_pack(path, ".glb") as pack: pack.add(record, payload)``."""
    return _AtomicPack(Path(path), suffix)


class PackReader:
    """Reads a pack; shapes in the order of their ids."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with damage_as(self._unreadable):
            self._zip = zipfile.ZipFile(self.path)
            self.records = [Record(**line) for line in self._jsonl(RECORDS, RECORD)]
            self.rejects = [Rejection(**line) for line in self._jsonl(REJECTS, REJECTION)]
        self._members = {name.rpartition(".")[0]: name for name in self._zip.namelist()}

    def _unreadable(self, problem: str) -> UserError:
        wanted, do = "a pack made by this pipeline", remedy(self.path, ".zip")
        return UserError("cannot read a pack", where=str(self.path), got=problem, wanted=wanted, do=do)

    def payload(self, record: Record) -> bytes:
        """The shape's file; zip's CRC is checked while reading."""
        where, do = f"{self.path}: {record.key}", remedy(self.path, ".zip")
        with damage_as(lambda problem: UserError("a pack is damaged", where=where, got=problem, do=do)):
            return self._zip.read(self._members[record.key])

    def __iter__(self) -> Iterator[tuple[Record, bytes]]:
        return ((record, self.payload(record)) for record in self.records)

    def _jsonl(self, member: str, schema: TypeAdapter[Any]) -> list[dict[str, Any]]:
        return parse_lines(self._zip.read(member).decode("utf-8"), schema)


def write_again(source: zipfile.ZipFile, target: IO[bytes]) -> None:
    """Write the content of an open pack once more: equal content gives equal bytes, so any difference is damage."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for info in source.infolist():
            _write_member(archive, info.filename, source.read(info))


def _write_member(archive: zipfile.ZipFile, name: str, payload: bytes) -> None:
    archive.writestr(member(name), payload)


def _lines(items: Iterable[Any]) -> bytes:
    return "".join(json.dumps(dataclasses.asdict(i), sort_keys=True, allow_nan=False) + "\n" for i in items).encode()
