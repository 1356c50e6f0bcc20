"""The OFF mesh file, read strictly and fast; ModelNet and ModelNet-like sets use it.

An example, as in ModelNet::

    OFF
    4 2 0                vertices, faces, edges (unused; may be absent)
    0 0 0                x y z
    1 0 0
    1 1 0
    0 1 0
    3 0 1 2              corners of the face, then its vertex numbers, then maybe a colour
    3 0 2 3

Hundreds of ModelNet files glue the counts to the keyword (``OFF700 664 0``).  ``#`` starts a
comment.  ``COFF`` and ``NOFF`` carry colours or normals after each vertex; they are skipped.
Format: http://www.geomview.org/docs/html/OFF.html.  Polygons become triangle fans; faces of
one or two corners (points, lines) carry no surface and are dropped.

Numbers are parsed exactly: up to 2^53 as an integer times a power of ten up to 10^22 one
multiplication or division is correctly rounded (Clinger 1990, "How to read floating point
numbers accurately"); anything longer goes through Python's float().
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.errors import Reject

_OK, _TRUNCATED, _BAD_NUMBER, _BAD_INDEX, _BAD_COUNT, _TRAILING = range(6)
_REASONS = {
    _TRUNCATED: ("truncated", "the file ends before the counts of its header are reached"),
    _BAD_NUMBER: ("bad_number", "something else stands where a number is expected"),
    _BAD_INDEX: ("bad_index", "a face names a vertex that does not exist"),
    _BAD_COUNT: ("bad_count", "a face has no corners"),
    _TRAILING: ("count_mismatch", "there is more in the file than its header counts"),
}
_GAP = rb"(?:\s|#[^\n]*\n)*"
_KEYWORD = re.compile(rb"(?:\xef\xbb\xbf)?" + _GAP + rb"((?:ST)?C?N?)OFF(?![A-Za-z])")
_COUNTS = re.compile(
    _GAP + rb"(\d{1,9})" + _GAP[:-2] + rb")+(\d{1,9})(?![\d.eE])[ \t]*-?\d*[ \t\r]*(?:#[^\n]*)?(?:\n|$)"
)
# The shortest vertex is "0 0 0\n", the shortest face "1 0\n".
_VERTEX_BYTES, _FACE_BYTES = 6, 4


def read_off(data: bytes, where: str = "") -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Parse an OFF file -> vertices (V, 3), triangles (F, 3); Reject with a typed reason if malformed."""
    start, extras, vertex_count, face_count = _header(data, where)
    text = np.frombuffer(data, dtype=np.uint8)

    vertices = np.empty((vertex_count, 3))
    status, faces_at, slow_count = _parse_vertices(text, start, extras, vertices, _no_slow())
    if slow_count:  # rare: numbers of more than 15 digits; once more, now noting where they stand
        slow = np.empty((slow_count, 3), dtype=np.int64)
        status, faces_at, _ = _parse_vertices(text, start, extras, vertices, slow)
        for begin, end, place in slow.tolist():
            vertices.reshape(-1)[place] = float(data[begin:end])
    _check(status, faces_at, data, where)
    if not np.isfinite(vertices).all():
        raise Reject("bad_number", _at(where, "a coordinate is too large"))

    triangles = np.empty((face_count, 3), dtype=np.int64)
    status, end, triangle_count = _parse_faces(text, faces_at, face_count, vertex_count, triangles)
    if triangle_count > face_count and status == _OK:  # polygons; the first pass has counted their triangles
        triangles = np.empty((triangle_count, 3), dtype=np.int64)
        status, end, triangle_count = _parse_faces(text, faces_at, face_count, vertex_count, triangles)
    _check(status, end, data, where)
    if triangle_count == 0:
        raise Reject("no_faces", _at(where, "the file has no face of three corners or more"))
    return vertices, triangles[:triangle_count]


def _header(data: bytes, where: str) -> tuple[int, bool, int, int]:
    """Offset of the first vertex, whether vertices carry extras, and the two counts."""
    keyword = _KEYWORD.match(data[:65_536])
    if keyword is None:
        raise Reject("not_off", _at(where, f"no OFF keyword at the start, found {data[:16]!r}"))
    if re.match(rb"[ \t]+BINARY", data[keyword.end() : keyword.end() + 16]):
        raise Reject("unsupported", _at(where, "binary OFF; save the mesh as text"))
    counts = _COUNTS.match(data, keyword.end())
    if counts is None:
        raise Reject("bad_header", _at(where, "no vertex and face counts after the OFF keyword"))
    vertex_count, face_count = int(counts[1]), int(counts[2])
    if vertex_count * _VERTEX_BYTES + face_count * _FACE_BYTES > len(data) + 1:
        raise Reject(
            "truncated", _at(where, f"{len(data)} bytes cannot hold {vertex_count} vertices and {face_count} faces")
        )
    return counts.end(), bool(keyword[1]), vertex_count, face_count


def _no_slow() -> npt.NDArray[np.int64]:
    return np.empty((0, 3), dtype=np.int64)


def _check(status: int, at: int, data: bytes, where: str) -> None:
    if status != _OK:
        reason, detail = _REASONS[status]
        line = data.count(b"\n", 0, at) + 1
        raise Reject(reason, _at(where, f"line {line}: {detail}"))


def _at(where: str, detail: str) -> str:
    return f"{where}: {detail}" if where else detail


_POWERS = 10.0 ** np.arange(23)
_DIGITS_MAX = 2**53
_NUMBER, _LONG, _NOT_A_NUMBER = range(3)


@njit(cache=True, nogil=True, inline="always")
def _is_gap(byte: int) -> bool:
    return byte == 32 or (9 <= byte <= 13)


@njit(cache=True, nogil=True)
def _skip(text, at):  # type: ignore[no-untyped-def]
    """Offset of the next token: past white space and comments."""
    size = text.size
    while at < size:
        byte = text[at]
        if byte == 35:
            while at < size and text[at] != 10:
                at += 1
        elif not _is_gap(byte):
            break
        else:
            at += 1
    return at


@njit(cache=True, nogil=True)
def _skip_line(text, at):  # type: ignore[no-untyped-def]
    """Offset behind the end of this line."""
    while at < text.size and text[at] != 10:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _number(text, at):  # type: ignore[no-untyped-def]
    """Decimal number at `at` -> value, offset behind it, _NUMBER, _LONG or _NOT_A_NUMBER."""
    size = text.size
    negative = False
    if at < size and (text[at] == 45 or text[at] == 43):
        negative = text[at] == 45
        at += 1
    mantissa, exponent, digits, long = np.int64(0), 0, 0, False
    point = False
    while at < size:
        byte = text[at]
        if 48 <= byte <= 57:
            digits += 1
            if mantissa < 100_000_000_000_000_000:
                mantissa = mantissa * 10 + (byte - 48)
                exponent -= point
            else:
                long = True
        elif byte == 46 and not point:
            point = True
        else:
            break
        at += 1
    if digits == 0:
        return 0.0, at, _NOT_A_NUMBER
    if at < size and (text[at] == 101 or text[at] == 69):
        at += 1
        minus = False
        if at < size and (text[at] == 45 or text[at] == 43):
            minus = text[at] == 45
            at += 1
        power, power_digits = 0, 0
        while at < size and 48 <= text[at] <= 57:
            power = min(power * 10 + (text[at] - 48), 10_000)
            power_digits += 1
            at += 1
        if power_digits == 0:
            return 0.0, at, _NOT_A_NUMBER
        exponent += -power if minus else power
    if at < size and not _is_gap(text[at]) and text[at] != 35:
        return 0.0, at, _NOT_A_NUMBER
    if long or mantissa >= _DIGITS_MAX or not -22 <= exponent <= 22:
        if mantissa == 0 and not long:
            return 0.0, at, _NUMBER
        return 0.0, at, _LONG
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return (-value if negative else value), at, _NUMBER


@njit(cache=True, nogil=True)
def _parse_vertices(text, at, extras, vertices, slow):  # type: ignore[no-untyped-def]
    """Fill vertices (V, 3) -> status, offset, count of long numbers; `slow` gets (begin, end, place) of those."""
    found = 0
    for row in range(vertices.shape[0]):
        for column in range(3):
            begin = _skip(text, at)
            if begin == text.size:
                return _TRUNCATED, begin, found
            value, at, kind = _number(text, begin)
            if kind == _NOT_A_NUMBER:
                return _BAD_NUMBER, begin, found
            if kind == _LONG:
                if found < slow.shape[0]:
                    slow[found, 0], slow[found, 1], slow[found, 2] = begin, at, row * 3 + column
                found += 1
            vertices[row, column] = value
        if extras:
            at = _skip_line(text, at)
    return _OK, at, found


@njit(cache=True, nogil=True)
def _whole(text, at):  # type: ignore[no-untyped-def]
    """Whole number at `at` -> value (-1 if it is none), offset behind it."""
    begin, value = at, np.int64(0)
    while at < text.size and 48 <= text[at] <= 57 and at - begin < 18:
        value = value * 10 + (text[at] - 48)
        at += 1
    if at == begin or (at < text.size and not _is_gap(text[at]) and text[at] != 35):
        return np.int64(-1), at
    return value, at


@njit(cache=True, nogil=True)
def _parse_faces(text, at, faces, vertex_count, triangles):  # type: ignore[no-untyped-def]
    """Fill triangles (T, 3) as far as they fit -> status, offset, count of triangles."""
    count, size = 0, text.size
    for _ in range(faces):
        at = _skip(text, at)
        if at == size:
            return _TRUNCATED, at, count
        corners, at = _whole(text, at)
        if corners < 0:
            return _BAD_NUMBER, at, count
        if corners == 0:
            return _BAD_COUNT, at, count
        first, previous = np.int64(0), np.int64(0)
        for corner in range(corners):
            begin = _skip(text, at)
            if begin == size:
                return _TRUNCATED, begin, count
            index, at = _whole(text, begin)
            if index < 0 and text[begin] != 45:
                return _BAD_NUMBER, begin, count
            if index < 0 or index >= vertex_count:
                return _BAD_INDEX, begin, count
            if corner == 0:
                first = index
            elif corner >= 2:
                if count < triangles.shape[0]:
                    triangles[count, 0], triangles[count, 1], triangles[count, 2] = first, previous, index
                count += 1
            previous = index
        # A colour may follow on the same line: numbers only.
        while at < size and text[at] != 10 and text[at] != 35:
            if _is_gap(text[at]):
                at += 1
                continue
            begin = at
            _, at, kind = _number(text, begin)
            if kind == _NOT_A_NUMBER:
                return _BAD_NUMBER, begin, count
    end = _skip(text, at)
    return (_OK if end == size else _TRAILING), end, count
