"""Archives are read where they lie: a zip by its central directory, or the same tree unpacked.

Both give `entries` (name, size, checksum) and a model's `Files`; names always begin with the
archive's own top folder, so an unpacked ``03001627/`` and ``03001627.zip`` look alike.
Nothing is written while reading.  Sets that come as tar files are unpacked first (pipeline/archives/tar.py).
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pipeline.archives.contents import NOT_FOLLOWED, ContentSums
from pipeline.errors import UserError
from pipeline.formats.zipped import damage_as
from pipeline.meshes.files import Files

MAX_MEMBERS = 10_000_000
# A member may not unpack to more than this, nor to more than this many times its packed size
# (meshes as text shrink 3 to 10 times; only content made to explode passes 100).
MAX_MEMBER_BYTES = 2**30
MAX_RATIO = 100
_RATIO_FROM_BYTES = 2**24  # small members cannot hurt, whatever their ratio
# What ends a zip (APPNOTE 4.3.14 to 4.3.16): the end record, and before it the one of a large zip with its locator.
_END_BYTES, _END64_BYTES, _MOST_COMMENT = 22, 56 + 20, 0xFFFF


class Entry(NamedTuple):
    """One file of an archive."""

    name: str  # POSIX path
    size: int  # bytes, unpacked
    checksum: str  # CRC-32 of the content
    problem: str = ""  # why it cannot be used: a reason code, or nothing


class Archive(Protocol):
    """What adapters see of a zip or a folder."""

    def entries(self) -> Iterator[Entry]: ...

    def files(self, prefix: str = "") -> Files: ...

    def close(self) -> None: ...


def open_archive(path: str | Path, sums: ContentSums | None = None, name: str = "") -> Archive:
    """Open a zip, or a folder as if it were one; `sums` remembers checksums of a folder's files.

    name : with which the names in a folder begin, if not with the folder's own.
    """
    path = Path(path)
    if path.is_dir():
        return FolderArchive(path, sums, name)
    return ZipArchive(path)


class ZipArchive:
    """A zip read in place."""

    def __init__(self, path: Path):
        self.path = path
        with damage_as(self._unreadable):
            self._zip = zipfile.ZipFile(path)
            _require_whole(path, self._zip)

    def _unreadable(self, problem: str) -> UserError:
        if not self.path.exists():
            do = "run `python -m pipeline doctor`, then the same command again"
            return UserError("an archive is not there any more", where=str(self.path), do=do)
        do = "delete it and its entry in the mirror, then fetch it again"
        return UserError("cannot read an archive", where=str(self.path), got=problem, wanted="a whole zip file", do=do)

    def entries(self) -> Iterator[Entry]:
        """Every file once, in the order of the archive; two of one name are a problem of both."""
        infos = self._zip.infolist()
        if len(infos) > MAX_MEMBERS:
            raise UserError(
                "an archive has too many members",
                where=str(self.path),
                got=str(len(infos)),
                wanted=f"at most {MAX_MEMBERS}",
            )
        names = self._zip.NameToInfo  # the last of equal names
        repeated = set() if len(names) == len(infos) else _repeated(info.filename for info in infos)
        for info in infos:
            folder = info.is_dir() and not info.file_size and not info.CRC
            if not folder and names[info.filename] is info:
                problem = "duplicate_name" if info.filename in repeated else _zip_problem(info)
                yield Entry(info.filename, info.file_size, f"{info.CRC:08x}", problem)

    def files(self, prefix: str = "") -> Files:
        """The members below `prefix`."""
        return Files.of_zip(self._zip, prefix)

    def close(self) -> None:
        self._zip.close()


def directory_digest(path: Path) -> str:
    """16 hex digits over a zip's central directory: names, sizes and checksums of its members, none of them read.

    Where the end of the file is no zip's (APPNOTE 6.3.10, 4.3.16 and 4.3.14), over the whole file.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES - _MOST_COMMENT - _END64_BYTES))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        length, start = struct.unpack_from("<II", tail, at + 12) if 0 <= at <= len(tail) - 22 else (0, size)
        if start == 0xFFFFFFFF or length == 0xFFFFFFFF:
            at = tail.rfind(b"PK\x06\x06")
            length, start = struct.unpack_from("<QQ", tail, at + 40) if 0 <= at <= len(tail) - 56 else (0, size)
        file.seek(start if length and start + length <= size else 0)
        return hashlib.sha256(file.read(length or -1)).hexdigest()[:16]


class FolderArchive:
    """An unpacked tree; names begin with the folder's own name, or with `name`."""

    def __init__(self, path: Path, sums: ContentSums | None = None, name: str = ""):
        self.path = path.resolve()
        self._sums, self._name = sums or ContentSums(), name or self.path.name

    def entries(self) -> Iterator[Entry]:
        """Every file, sorted, without hidden ones; links that lead outside, to a folder or nowhere are a problem."""
        for file in self._sums.files(self.path):
            if _hidden(file.name):
                continue
            path = self.path / file.name
            problem = file.link if file.link in NOT_FOLLOWED else ""
            if file.link and not problem and not path.resolve().is_relative_to(self.path):
                problem = "outside"
            size, checksum = (0, "") if problem else (file.info.st_size, self._sums.of(path, file.info))
            yield Entry(f"{self._name}/{_readable(file.name)}", size, checksum, problem)

    def files(self, prefix: str = "") -> Files:
        """The files below `prefix`, which begins with the folder's own name."""
        below = prefix.removeprefix(self._name).lstrip("/")
        return Files.of_folder(self.path / below)

    def close(self) -> None:
        pass


def _require_whole(path: Path, opened: zipfile.ZipFile) -> None:
    """The directory lists as many members as its end says, they lie side by side, and nothing follows.

    `zipfile` looks at none of this, and a changed bit could leave members out.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - _END_BYTES - _MOST_COMMENT - _END64_BYTES))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    total, comment = struct.unpack("<H8xH", tail[at + 10 : at + 22])
    if at + _END_BYTES + comment != len(tail):
        raise zipfile.BadZipFile("something follows its end")
    before = tail[at - _END64_BYTES : at - 20]
    if total == 0xFFFF and before.startswith(b"PK\6\6"):
        (total,) = struct.unpack("<Q", before[32:40])
    infos = opened.infolist()
    if total != len(infos):
        raise zipfile.BadZipFile(f"{total} members are announced and {len(infos)} listed")
    places = sorted((info.header_offset, info.header_offset + 30 + info.compress_size) for info in infos)
    starts = [start for start, _ in places[1:]] + [opened.start_dir]
    if places and (places[0][0] < 0 or any(end > start for (_, end), start in zip(places, starts))):
        raise zipfile.BadZipFile("its members overlap or lie outside")


def _zip_problem(info: zipfile.ZipInfo) -> str:
    """Reason code of a member that must not be unpacked, or nothing."""
    name, mode = info.filename, info.external_attr >> 16
    if name.startswith("/") or "\\" in name or ".." in name.split("/") or name[1:2] == ":":
        return "unsafe_name"
    if info.is_dir() or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
        return "not_a_file"
    if info.flag_bits & 1:
        return "encrypted"
    if info.file_size > MAX_MEMBER_BYTES:
        return "too_large"
    if info.file_size > _RATIO_FROM_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
        return "bomb"
    return ""


def _repeated(names: Iterator[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _readable(name: str) -> str:
    """The name as text: one whose bytes are no UTF-8 was written as Latin-1.  `Files` finds the file by it."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")


def _hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name
