"""CRC-32 of files in a folder, remembered by size and time, so that an unchanged file is read once.

A folder of meshes has no central directory to look into.  Its checksums must follow the
content (a touched file is not a changed one), and a large folder must not be read again
each time the plan is made.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from pathlib import Path
from typing import NamedTuple

import pydantic

from pipeline.state.files import read_cache, write_state

_CHUNK = 1 << 20
# Path -> size, time of the last change in ns, CRC-32.
_KNOWN = pydantic.TypeAdapter(dict[str, tuple[int, int, str]])


class ContentSums:
    """Checksums of files below one folder, kept in a JSON file `cache` (None keeps nothing)."""

    def __init__(self, cache: Path | None = None):
        self._cache = cache
        self._known: dict[str, tuple[int, int, str]] = {}
        self._changed = False
        self._files: dict[Path, list[File]] = {}
        if cache is not None:
            self._known = read_cache(cache, _KNOWN, {})

    def of(self, path: Path, info: os.stat_result | None = None) -> str:
        """8 hex digits: the CRC-32 of the file's bytes; `info` spares asking for size and time again."""
        info = info or path.stat()
        stamp = (info.st_size, info.st_mtime_ns)
        known = self._known.get(str(path))
        if known is not None and tuple(known[:2]) == stamp:
            return known[2]
        checksum = _crc32(path)
        self._known[str(path)] = (*stamp, checksum)
        self._changed = True
        return checksum

    def files(self, folder: Path) -> list[File]:
        """`files_below`, asked for once."""
        if folder not in self._files:
            self._files[folder] = files_below(folder)
        return self._files[folder]

    def save(self) -> None:
        """Publish what was learnt."""
        if self._cache is not None and self._changed:
            write_state(self._cache, self._known)
            self._changed = False


# Links that are one entry: what lies behind a folder may be a whole disk, or the folder itself again.
NOT_FOLLOWED = ("broken_link", "linked_folder")


class File(NamedTuple):
    """One file of a folder."""

    name: str  # below the folder, POSIX
    info: os.stat_result
    link: str = ""  # "link" of a link to a file, or one of `NOT_FOLLOWED`


def files_below(folder: Path) -> list[File]:
    """Every file of a folder, sorted by the parts of its name; one question to the file system for each."""
    found: list[File] = []
    waiting = [("", str(folder))]
    while waiting:
        prefix, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_symlink():
                    found.append(_link(prefix, entry))
                elif entry.is_dir():
                    waiting.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_file():
                    found.append(File(prefix + entry.name, entry.stat()))
    return sorted(found, key=lambda file: file.name.split("/"))


def _link(prefix: str, entry: os.DirEntry[str]) -> File:
    try:
        info = entry.stat()
    except OSError:
        return File(prefix + entry.name, entry.stat(follow_symlinks=False), "broken_link")
    return File(prefix + entry.name, info, "linked_folder" if stat.S_ISDIR(info.st_mode) else "link")


def folder_identity(folder: Path, sums: ContentSums) -> str:
    """12 hex digits over the names and contents of the files in a folder."""
    digest = hashlib.sha256()
    for file in sums.files(folder):
        content = file.link if file.link in NOT_FOLLOWED else sums.of(folder / file.name, file.info)
        line = f"{file.name}\0{file.info.st_size}\0{content}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]


def _crc32(path: Path) -> str:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"
