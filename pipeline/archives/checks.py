"""Whether a file that came over the network is whole, when no checksum of it is published."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

from pipeline.archives.archive import open_archive
from pipeline.archives.tar import SUFFIXES, read
from pipeline.errors import UserError
from pipeline.formats.zipped import BROKEN_ZIP


def problem_of(path: Path, name: str) -> str:
    """What is wrong with an archive, by the checksums inside it; nothing for a good one.

    `name` tells the format by its suffix; a format without checksums is only looked at for a
    web page in disguise.
    """
    if path.stat().st_size == 0:
        return "the file is empty"
    with open(path, "rb") as file:
        head = file.read(512)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")) and not name.endswith((".html", ".htm")):
        return "a web page instead of the file"
    try:
        if name.endswith(".zip"):
            open_archive(path).close()
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            return f"its member {damaged} is damaged" if damaged else ""
        if name.endswith(".glb"):
            return _glb_problem(head, path.stat().st_size)
        if name.endswith(".gz") and not name.endswith(SUFFIXES):
            with gzip.open(path) as packed:
                while packed.read(1 << 20):
                    pass  # the sum stands at the end
        if name.endswith(SUFFIXES):
            for _ in read(path):
                pass  # reading to the end checks every header and the compressor's own sums
    except UserError as error:
        return f"not a whole archive: {error.got or error.what}"
    except (OSError, *BROKEN_ZIP) as error:
        return f"not a whole archive: {error or type(error).__name__}"
    return ""


def _glb_problem(head: bytes, size: int) -> str:
    """A GLB says its own length in bytes 8 to 11 (glTF 2.0, section 4.4.2)."""
    if len(head) < 12 or head[:4] != b"glTF":
        return "not a binary glTF file"
    (length,) = struct.unpack_from("<I", head, 8)
    return "" if length == size else f"its header says {length:,} bytes, and it has {size:,}"
