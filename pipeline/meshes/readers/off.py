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
Format: http://www.geomview.org/docs/html/OFF.html.  Polygons become triangles (polygons.py); faces
of one or two corners (points, lines) carry no surface and are dropped.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.errors import Reject
from pipeline.meshes.polygons import triangulate
from pipeline.meshes.readers.text_numbers import LONG, NOT_A_NUMBER, is_gap, number, skip, skip_line, whole

_OK, _TRUNCATED, _BAD_NUMBER, _BAD_INDEX, _BAD_COUNT, _TRAILING = range(6)
_REASONS = {
    _TRUNCATED: ("truncated", "the file ends before the counts of its header are reached"),
    _BAD_NUMBER: ("bad_number", "something else stands where a number is expected"),
    _BAD_INDEX: ("bad_index", "a face names a vertex that does not exist"),
    _BAD_COUNT: ("bad_count", "a face has no corners"),
    _TRAILING: ("count_mismatch", "there is more in the file than its header counts"),
}
# Possessive, because a gap of megabytes would otherwise be remembered byte by byte.
_GAP, _SOME_GAP = rb"(?:\s++|#[^\n]*+\n)*+", rb"(?:\s++|#[^\n]*+\n)++"
_HEADER_BYTES = 2**20  # the counts stand within so many bytes of the keyword
_KEYWORD = re.compile(rb"(?:\xef\xbb\xbf)?" + _GAP + rb"((?:ST)?C?N?)OFF(?![A-Za-z])")
_COUNTS = re.compile(
    _GAP + rb"(\d{1,9})(?!\d)" + _SOME_GAP + rb"(\d{1,9})(?![\d.eE])[ \t]*-?\d*[ \t\r]*(?:#[^\n]*)?(?:\n|$)"
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
    status, end, triangle_count, corner_count, largest = _parse_faces(
        text, faces_at, face_count, vertex_count, triangles
    )
    _check(status, end, data, where)
    if data[-1:].isdigit() and _may_be_cut(data, vertex_count):
        raise Reject("truncated", _at(where, "the last line has no end, so its last number may be cut; add a line end"))
    if triangle_count == 0:
        raise Reject("no_faces", _at(where, "the file has no face of three corners or more"))
    if largest <= 3:
        return vertices, triangles[:triangle_count]
    corners, counts = np.empty(corner_count, dtype=np.int64), np.empty(face_count, dtype=np.int64)
    _parse_polygons(text, faces_at, corners, counts)
    return vertices, corners[triangulate(vertices, corners, counts)[0]]


def _header(data: bytes, where: str) -> tuple[int, bool, int, int]:
    """Offset of the first vertex, whether vertices carry extras, and the two counts."""
    keyword = _KEYWORD.match(data[:65_536])
    if keyword is None:
        raise Reject("not_off", _at(where, f"no OFF keyword at the start, found {data[:16]!r}"))
    if re.match(rb"[ \t]+BINARY", data[keyword.end() : keyword.end() + 16]):
        raise Reject("unsupported", _at(where, "binary OFF; save the mesh as text"))
    counts = _COUNTS.match(data, keyword.end(), keyword.end() + _HEADER_BYTES)
    if counts is None:
        raise Reject("bad_header", _at(where, "no vertex and face counts after the OFF keyword"))
    vertex_count, face_count = int(counts[1]), int(counts[2])
    if vertex_count * _VERTEX_BYTES + face_count * _FACE_BYTES > len(data) + 1:
        raise Reject(
            "truncated", _at(where, f"{len(data)} bytes cannot hold {vertex_count} vertices and {face_count} faces")
        )
    return counts.end(), bool(keyword[1]), vertex_count, face_count


def _may_be_cut(data: bytes, vertex_count: int) -> bool:
    """Whether one digit more at the end would make another legal file; colours behind the corners are not read."""
    words = data[-4096:].splitlines()[-1].split()  # of a face, of a comment, or of colours behind a lone return
    if not (words[0].isdigit() and words[-1].isdigit()):
        return False
    return len(words) == int(words[0]) + 1 and int(words[-1]) * 10 < vertex_count


def _no_slow() -> npt.NDArray[np.int64]:
    return np.empty((0, 3), dtype=np.int64)


def _check(status: int, at: int, data: bytes, where: str) -> None:
    if status != _OK:
        reason, detail = _REASONS[status]
        line = data.count(b"\n", 0, at) + 1
        raise Reject(reason, _at(where, f"line {line}: {detail}"))


def _at(where: str, detail: str) -> str:
    return f"{where}: {detail}" if where else detail


@njit(cache=True, nogil=True)
def _parse_vertices(text, at, extras, vertices, slow):  # type: ignore[no-untyped-def]
    """Fill vertices (V, 3) -> status, offset, count of long numbers; `slow` gets (begin, end, place) of those."""
    found = 0
    for row in range(vertices.shape[0]):
        for column in range(3):
            begin = skip(text, at)
            if begin == text.size:
                return _TRUNCATED, begin, found
            value, at, kind = number(text, begin)
            if kind == NOT_A_NUMBER:
                return _BAD_NUMBER, begin, found
            if kind == LONG:
                if found < slow.shape[0]:
                    slow[found, 0], slow[found, 1], slow[found, 2] = begin, at, row * 3 + column
                found += 1
            vertices[row, column] = value
        if extras:
            at = skip_line(text, at)
    return _OK, at, found


@njit(cache=True, nogil=True)
def _parse_faces(text, at, faces, vertex_count, triangles):  # type: ignore[no-untyped-def]
    """Fill triangles (T, 3) as far as they fit -> status, offset, triangles, corners of all faces, of the largest."""
    count, total, largest, size = 0, 0, np.int64(0), text.size
    for _ in range(faces):
        at = skip(text, at)
        if at == size:
            return _TRUNCATED, at, count, total, largest
        corners, at = whole(text, at)
        if corners < 0:
            return _BAD_NUMBER, at, count, total, largest
        if corners == 0:
            return _BAD_COUNT, at, count, total, largest
        total, largest = total + corners, max(largest, corners)
        first, previous = np.int64(0), np.int64(0)
        for corner in range(corners):
            begin = skip(text, at)
            if begin == size:
                return _TRUNCATED, begin, count, total, largest
            index, at = whole(text, begin)
            if index < 0 and text[begin] != 45:
                return _BAD_NUMBER, begin, count, total, largest
            if index < 0 or index >= vertex_count:
                return _BAD_INDEX, begin, count, total, largest
            if corner == 0:
                first = index
            elif corner >= 2:
                if count < triangles.shape[0]:
                    triangles[count, 0], triangles[count, 1], triangles[count, 2] = first, previous, index
                count += 1
            previous = index
        # A colour may follow on the same line: numbers only.
        while at < size and text[at] != 10 and text[at] != 35:
            if is_gap(text[at]):
                at += 1
                continue
            begin = at
            _, at, kind = number(text, begin)
            if kind == NOT_A_NUMBER:
                return _BAD_NUMBER, begin, count, total, largest
    end = skip(text, at)
    return (_OK if end == size else _TRAILING), end, count, total, largest


@njit(cache=True, nogil=True)
def _parse_polygons(text, at, corners, counts):  # type: ignore[no-untyped-def]
    """Fill the corners (C,) of all faces and their counts (F,); `_parse_faces` has checked every number."""
    filled = 0
    for face in range(counts.size):
        count, at = whole(text, skip(text, at))
        counts[face] = count
        for _ in range(count):
            corners[filled], at = whole(text, skip(text, at))
            filled += 1
        at = skip_line(text, at)  # a colour may follow
