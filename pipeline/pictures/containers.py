"""Is an encoded picture whole?  Read from the container's own marks, before anything is decoded.

Pillow's decoders fill up what is missing at the end of some formats, or never look for the end:
a JPEG without its last marker, a PNG without IEND and a TIFF without its last strip are accepted.
A file that was cut is another picture than the one that was meant, so it is refused here.

Specifications: PNG (https://www.w3.org/TR/png-3), JPEG (ITU-T T.81, annex B), GIF89a, TIFF 6.0,
BMP (BITMAPFILEHEADER), RIFF and WebP (RFC 9649), ISO base media boxes (ISO/IEC 14496-12).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

PNG = b"\x89PNG\r\n\x1a\n"
# A JPEG marker: 0xff and neither a stuffed zero, a fill byte nor a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE, _START_OF_IMAGE = 0xDA, 0xD9, 0xD8
# Bytes of one value of each TIFF field type.
_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_TIFF_ENTRIES = 4096
# Strip or tile offsets, and the tag that holds their byte counts.
_TIFF_DATA = {273: 279, 324: 325}


class CutShort(Exception):
    """The file ends before the picture does; the message says where."""


def check_whole(data: bytes) -> None:
    """Raise CutShort where the container says that bytes are missing; unknown formats pass."""
    for magic, check in _CHECKS.items():
        if data.startswith(magic):
            try:
                return check(data)
            except struct.error as error:
                raise CutShort("it ends inside its header") from error
    if data[4:8] == b"ftyp":
        _whole_boxes(data)
    return None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a WebP file's canvas from its first chunk: its decoder takes memory on opening."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _whole_png(data: bytes) -> None:
    at, view = len(PNG), memoryview(data)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise CutShort(f"it ends inside its {kind.decode('latin-1')} chunk")
        # A capital letter: the chunk is needed to draw the picture.
        if kind[:1].isupper() and zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise CutShort(f"the checksum of its {kind.decode('latin-1')} chunk does not match")
        if kind == b"IEND":
            return
        at = end


def _whole_jpeg(data: bytes) -> None:
    at = 0
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker not in (_START_OF_IMAGE, 0x01):
            at += struct.unpack_from(">H", data, at)[0]  # what follows a scan's header is searched for the next marker
    raise CutShort("it ends before its end-of-image marker")


def _whole_gif(data: bytes) -> None:
    flags = struct.unpack_from("<B", data, 10)[0]
    at = 13 + _colours(flags)
    while True:
        kind = struct.unpack_from("<B", data, at)[0]
        if kind == 0x3B:
            return
        if kind == 0x2C:
            at += 11 + _colours(struct.unpack_from("<B", data, at + 9)[0])
        elif kind == 0x21:
            at += 2
        else:
            raise CutShort(f"an unknown block {kind:#04x} stands where the next picture or the end should")
        while size := struct.unpack_from("<B", data, at)[0]:
            at += 1 + size
        at += 1


def _colours(flags: int) -> int:
    """Bytes of a GIF's colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _whole_bmp(data: bytes) -> None:
    declared, first = struct.unpack_from("<I4xI", data, 2)
    if max(declared, first) > len(data):
        raise CutShort(f"it has {len(data)} of the {max(declared, first)} bytes that its header names")


def _whole_riff(data: bytes) -> None:
    size = 8 + int(struct.unpack_from("<I", data, 4)[0])
    if size > len(data):
        raise CutShort(f"it has {len(data)} of the {size} bytes that its header names")


def _whole_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    offset, count_type, entry_bytes, room = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    at = struct.unpack_from(f"{order}{offset}", data, 8 if big else 4)[0]
    entries = struct.unpack_from(f"{order}{count_type}", data, at)[0]
    at += struct.calcsize(count_type)
    if entries > _MOST_TIFF_ENTRIES or at + entries * entry_bytes + room > len(data):
        raise CutShort("it ends inside its list of fields")
    values: dict[int, list[int]] = {}
    for number in range(entries):
        place = at + number * entry_bytes
        tag, kind, count = struct.unpack_from(f"{order}HH{offset}", data, place)
        size = _TIFF_BYTES.get(kind, 1) * count
        start = place + entry_bytes - room
        if size > room:
            start = struct.unpack_from(f"{order}{offset}", data, start)[0]
        if start + size > len(data):
            raise CutShort(f"it ends before the values of its field {tag}")
        if tag in _TIFF_DATA or tag in _TIFF_DATA.values():
            letter = {3: "H", 4: "I", 16: "Q"}.get(kind, "")
            values[tag] = list(struct.unpack_from(f"{order}{count}{letter}", data, start)) if letter else []
    for offsets, counts in _TIFF_DATA.items():
        ends = [start + size for start, size in zip(values.get(offsets, []), values.get(counts, []))]
        if ends and max(ends) > len(data):
            raise CutShort(f"it has {len(data)} bytes and its pixels end at {max(ends)}")


def _whole_boxes(data: bytes) -> None:
    at = 0
    while at < len(data):
        try:
            size = struct.unpack_from(">I", data, at)[0]
            if size == 1:
                size = struct.unpack_from(">Q", data, at + 8)[0]
        except struct.error as error:
            raise CutShort("it ends inside the header of a box") from error
        if size == 0:
            return  # the last box, as long as the file
        if size < 8 or at + size > len(data):
            raise CutShort(f"it has {len(data)} bytes and a box ends at {at + size}")
        at += size


_CHECKS: dict[bytes, Callable[[bytes], None]] = {
    PNG: _whole_png,
    b"\xff\xd8\xff": _whole_jpeg,
    b"GIF87a": _whole_gif,
    b"GIF89a": _whole_gif,
    b"BM": _whole_bmp,
    b"II*\0": _whole_tiff,
    b"MM\0*": _whole_tiff,
    b"II+\0": _whole_tiff,
    b"MM\0+": _whole_tiff,
    b"RIFF": _whole_riff,
}
