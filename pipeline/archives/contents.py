"""CRC-32 of files in a folder, remembered by size and time, so that an unchanged file is read once.

A folder of meshes has no central directory to look into.  Its checksums must follow the
content (a touched file is not a changed one), and a large folder must not be read again
each time the plan is made.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from pipeline.atomic import write_json

_CHUNK = 1 << 20


class ContentSums:
    """Checksums of files below one folder, kept in a JSON file `cache` (None keeps nothing)."""

    def __init__(self, cache: Path | None = None):
        self._cache = cache
        self._known: dict[str, list[str | int]] = {}
        self._changed = False
        if cache is not None and cache.exists():
            try:
                self._known = dict(json.loads(cache.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):  # a cache may always be made again
                self._known = {}

    def of(self, path: Path) -> str:
        """8 hex digits: the CRC-32 of the file's bytes."""
        info = path.stat()
        stamp: list[str | int] = [info.st_size, info.st_mtime_ns]
        known = self._known.get(str(path))
        if known is not None and known[:2] == stamp:
            return str(known[2])
        checksum = _crc32(path)
        self._known[str(path)] = [*stamp, checksum]
        self._changed = True
        return checksum

    def save(self) -> None:
        """Publish what was learnt."""
        if self._cache is not None and self._changed:
            write_json(self._cache, self._known)
            self._changed = False


def _crc32(path: Path) -> str:
    value = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return f"{value:08x}"
