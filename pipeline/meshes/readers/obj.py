"""Wavefront OBJ, read strictly and fast; its materials are in mtl.py.

An example, with what matters to this project::

    mtllib model.mtl                v  x y z [w] [r g b]     position (w ignored, colours kept)
    usemtl red wood                 vt u [v [w]]             texture coordinate
    f 1/4/7 2/5/8 3/6/9 4/6/9       f  corners: position[/texture[/normal]], from 1, or from the end if < 0

Every line is read by itself: the corners of one face may have other forms than those of the next, a corner may leave
its slots empty (``4//``), some positions may have colours and others not.  An index below zero counts back from its own
line.  Polygons become triangles (polygons.py).  Lines, points, curves and groups are skipped.
Format: Wavefront Advanced Visualizer manual, appendix B1; http://paulbourke.net/dataformats/obj/.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.polygons import triangulate
from pipeline.meshes.readers.mtl import ObjMaterial, ReadPicture, read_mtl, text_of, without_comment
from pipeline.meshes.readers.text_numbers import LONG, NOT_A_NUMBER, number

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
ReadSibling: TypeAlias = Callable[[str], bytes | None]  # a name as written in the file -> its bytes, None if absent

_EXTRAS = 4  # numbers behind x y z that are kept: w, or red green blue, or both
_NONE, _VERTEX, _COORDINATE, _FACE, _MATERIAL, _LIBRARY = range(6)  # kinds of lines
_OK, _TRUNCATED, _BAD_INDEX = range(3)
_REASONS = {
    _TRUNCATED: ("truncated", "a v line needs three numbers, a vt line one"),
    _BAD_INDEX: ("bad_index", "a corner of a face is no whole number, or names a vertex that there is not"),
}
_USEMTL, _MTLLIB = (np.frombuffer(word, dtype=np.uint8) for word in (b"usemtl", b"mtllib"))
_DECIMAL = re.compile(rb"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf(inity)?)", re.IGNORECASE)
_LIBRARY_NAMES = re.compile(r"\S.*?\.mtl(?=\s|$)", re.IGNORECASE)


@dataclass
class _Parsed:
    """The numbers of one OBJ file, and where its statements stand."""

    positions: Floats  # (V, 3)
    extras: Floats  # (V, 4) numbers behind the position, or (0, 4) where no line has any
    widths: Ints  # (V,) numbers of each v line, at most 8
    coordinates: Floats  # (T, 2)
    corners: Ints  # (C, 2) position and texture coordinate of each corner, from 0; -1 for no coordinate
    counts: Ints  # (F,) corners of each face
    statements: Ints  # (S, 4) kind, begin, end of the text, and how many faces stand before


@np.errstate(all="ignore")  # numbers that are none or too large: the mesh is refused later
def read_obj(data: bytes, read_sibling: ReadSibling, read_picture: ReadPicture) -> Mesh:
    """OBJ bytes -> Mesh with the materials of its faces.

    Raises Reject: `not_text`, `empty`, `no_faces`, `bad_number`, `bad_index`, `truncated`.
    """
    if b"\0" in data:
        raise Reject("not_text", "the OBJ file holds zero bytes; save it as UTF-8 text")
    data = _one_line_end(data)
    found = _parse(data)
    triangles, face = triangulate(found.positions, found.corners[:, 0], found.counts)
    if not len(triangles):
        raise Reject("no_faces", "the OBJ file has no face with three corners or more")
    colours = _colours(found)
    materials, of_face = _materials(data, found, read_sibling, read_picture, coloured=colours is not None)
    used, of_triangle = np.unique(of_face[face], return_inverse=True)
    looks = [materials[i] for i in used]
    mesh = Mesh(
        found.positions, found.corners[triangles, 0], of_triangle, [look.material for look in looks], None, colours
    )
    if len(found.coordinates) and any(look.material.texture is not None for look in looks):
        _split_at_seams(mesh, found.corners[triangles], found.coordinates, looks)
    return mesh


def _one_line_end(data: bytes) -> bytes:
    """The text without a byte order mark, with one kind of line end, continued lines joined."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\\\n", b"  ") if b"\\\n" in data else data


def _materials(
    data: bytes, found: _Parsed, read_sibling: ReadSibling, read_picture: ReadPicture, *, coloured: bool
) -> tuple[list[ObjMaterial], Ints]:
    """The materials that faces name, and the number (F,) of each face's one."""
    known: dict[str, ObjMaterial] = {}
    numbers: dict[str, int] = {}
    of_face = np.full(len(found.counts), -1, dtype=np.int64)
    for kind, begin, end, faces in found.statements.tolist():
        text = text_of(data[begin:end]).strip()
        if kind == _MATERIAL:
            of_face[faces:] = numbers.setdefault(text, len(numbers))
            continue
        for library in _libraries(text, read_sibling):
            known.update(read_mtl(library, read_picture))
    if (of_face < 0).any():  # faces before any usemtl
        of_face[of_face < 0] = numbers.setdefault("", len(numbers))
    # A mesh with colours of its own and without this material is not made darker by the neutral grey.
    plain = Material((255, 255, 255, 255)) if coloured else Material()
    missing = {name: ObjMaterial(Material(plain.colour, name=name)) for name in numbers}
    return [known.get(name) or known.get(without_comment(name)) or missing[name] for name in numbers], of_face


def _libraries(text: str, read_sibling: ReadSibling) -> list[bytes]:
    """The files that a mtllib line names: by their suffix, as one name with blanks, or word by word."""
    for names in (_LIBRARY_NAMES.findall(text), [text], text.split()):
        found = [data for name in names if (data := read_sibling(name)) is not None]
        if found or len(names) > 1:
            return found
    return []


def _colours(found: _Parsed) -> npt.NDArray[np.uint8] | None:
    """(V, 4) colours of the v lines with six numbers or more, white for the others; None if no line has any."""
    has = (found.widths == 6) | (found.widths == 7)
    if not has.any():
        return None
    rgb = found.extras[:, :3].copy()
    # Seven numbers are x y z w r g b, or x y z r g b a: w is 1 wherever colours are exported.
    weighted = found.widths == 7
    if weighted.any() and (found.extras[weighted, 0] == 1).all():
        rgb[weighted] = found.extras[weighted, 1:4]
    rgb = np.nan_to_num(rgb[has])
    # 0 to 255, as some scanners write; a little above 1 is light that was not cut off.
    scale = 1.0 if rgb.max() > 2 or (rgb.max() > 1 and (rgb == np.floor(rgb)).all()) else 255.0
    colours = np.full((len(has), 4), 255, dtype=np.uint8)
    colours[has, :3] = np.rint((rgb * scale).clip(0, 255))
    return colours


def _split_at_seams(mesh: Mesh, corners: Ints, coordinates: Floats, looks: list[ObjMaterial]) -> None:
    """Give every (position, texture coordinate, shift of the picture) a vertex of its own; corners (F, 3, 2)."""
    moved = sorted({(look.scale, look.offset) for look in looks})
    kind_of_look = np.array([moved.index((look.scale, look.offset)) for look in looks])
    kind = np.repeat(kind_of_look[mesh.material_of_face], 3)
    pairs = corners.reshape(-1, 2)
    keys, first, inverse = np.unique(
        (pairs[:, 0] * (len(coordinates) + 1) + pairs[:, 1] + 1) * len(moved) + kind,
        return_index=True,
        return_inverse=True,
    )
    chosen = pairs[first]
    mesh.faces = inverse.reshape(-1, 3).astype(np.int64)
    mesh.vertices = mesh.vertices[chosen[:, 0]]
    scale, offset = (np.array([how[k] for how in moved])[kind[first]] for k in (0, 1))
    mesh.uv = np.where(chosen[:, 1:] >= 0, coordinates[chosen[:, 1]] * scale + offset, 0.0)
    if mesh.vertex_colours is not None:
        mesh.vertex_colours = mesh.vertex_colours[chosen[:, 0]]


def _parse(data: bytes) -> _Parsed:
    """All numbers of the file; Reject with the line for what is none."""
    text = np.frombuffer(data, dtype=np.uint8)
    vertices, coordinates, faces, corners, statements, extras = _count(text)
    if not vertices:
        raise Reject("empty", "the OBJ file has no vertices")
    found = _Parsed(
        np.empty((vertices, 3)),
        np.zeros((vertices if extras else 0, _EXTRAS)),
        np.empty(vertices, np.int64),
        np.zeros((coordinates, 2)),
        np.empty((corners, 2), np.int64),
        np.empty(faces, np.int64),
        np.empty((statements, 4), np.int64),
    )
    arrays = (found.positions, found.extras, found.widths, found.coordinates, found.corners, found.counts)
    slow = np.empty((0, 4), dtype=np.int64)
    status, at, slow_count = _fill(text, *arrays, found.statements, slow)
    if slow_count:  # rare: long numbers and what may be none; once more, now noting where they stand
        slow = np.empty((slow_count, 4), dtype=np.int64)
        status, at, _ = _fill(text, *arrays, found.statements, slow)
        _long_numbers(data, found, slow)
    if status != _OK:
        reason, detail = _REASONS[status]
        raise Reject(reason, f"line {_line_of(data, at)} of the OBJ file: {detail}")
    return found


def _long_numbers(data: bytes, found: _Parsed, slow: Ints) -> None:
    """Read the noted numbers by Python's float(); `slow` (N, 4) has begin, end, array and place."""
    arrays = (found.positions.reshape(-1), found.extras.reshape(-1), found.coordinates.reshape(-1))
    for begin, end, array, place in slow.tolist():
        word = data[begin:end]
        if not _DECIMAL.fullmatch(word):
            raise Reject("bad_number", f"line {_line_of(data, begin)} of the OBJ file: {word[:40]!r} is not a number")
        arrays[array][place] = float(word)


def _line_of(data: bytes, at: int) -> int:
    """Number of the line at this offset, from 1."""
    return data.count(b"\n", 0, at) + 1


@njit(cache=True, nogil=True, inline="always")
def _is_blank(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 11 or byte == 12


@njit(cache=True, nogil=True)
def _word(text, at):  # type: ignore[no-untyped-def]
    """Offset of the next word of this line, or of its end."""
    while at < text.size and _is_blank(text[at]):
        at += 1
    return at


@njit(cache=True, nogil=True, inline="always")
def _ends(text, at):  # type: ignore[no-untyped-def]
    """Whether nothing that counts follows on this line."""
    return at >= text.size or text[at] == 10 or text[at] == 35


@njit(cache=True, nogil=True)
def _word_end(text, at):  # type: ignore[no-untyped-def]
    while at < text.size and not _is_blank(text[at]) and text[at] != 10 and text[at] != 35:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _line_end(text, at):  # type: ignore[no-untyped-def]
    while at < text.size and text[at] != 10:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _kind(text, at):  # type: ignore[no-untyped-def]
    """Kind of the line that begins with the word at `at`, and the offset behind that word."""
    end = _word_end(text, at)
    size = end - at
    if size == 1 and text[at] == 118:  # v
        return _VERTEX, end
    if size == 1 and text[at] == 102:  # f
        return _FACE, end
    if size == 2 and text[at] == 118 and text[at + 1] == 116:  # vt
        return _COORDINATE, end
    if size == 2 and text[at] == 102 and text[at + 1] == 111:  # fo, as versions before 3.0 wrote
        return _FACE, end
    if size == 6 and (text[at:end] == _USEMTL).all():
        return _MATERIAL, end
    if size == 6 and (text[at:end] == _MTLLIB).all():
        return _LIBRARY, end
    return _NONE, end


@njit(cache=True, nogil=True)
def _count(text):  # type: ignore[no-untyped-def]
    """Lines of each kind: v, vt, f, corners of all f, statements, and whether a v line has more than three numbers."""
    vertices, coordinates, faces, corners, statements, extras = 0, 0, 0, 0, 0, False
    at = 0
    while at < text.size:
        kind, at = _kind(text, _word(text, at))
        if kind == _VERTEX:
            vertices += 1
            words = 0
            at = _word(text, at)
            while not extras and not _ends(text, at):
                words += 1
                at = _word(text, _word_end(text, at))
            extras = extras or words > 3
        elif kind == _COORDINATE:
            coordinates += 1
        elif kind == _FACE:
            faces += 1
            at = _word(text, at)
            while not _ends(text, at):
                corners += 1
                at = _word(text, _word_end(text, at))
        elif kind != _NONE:
            statements += 1
        at = _line_end(text, at) + 1
    return vertices, coordinates, faces, corners, statements, extras


@njit(cache=True, nogil=True)
def _index(text, at):  # type: ignore[no-untyped-def]
    """Whole number at `at`, 0 if there is none -> value, offset behind it; whoever asks looks at what stands there."""
    negative = at < text.size and text[at] == 45
    if negative or (at < text.size and text[at] == 43):
        at += 1
    value, begin = np.int64(0), at
    while at < text.size and 48 <= text[at] <= 57 and at - begin < 18:
        value = value * 10 + (text[at] - 48)
        at += 1
    return (-value if negative else value), at


@njit(cache=True, nogil=True)
def _corner(text, at, vertices, coordinates):  # type: ignore[no-untyped-def]
    """One corner ``a[/b[/c]]`` -> position and coordinate from 0 (-1 for none), offset; -2 for a bad one.

    vertices, coordinates : how many there are before this line, for counting back.
    """
    position, at = _index(text, at)
    coordinate, slashes = 0, 0
    while at < text.size and text[at] == 47:
        value, at = _index(text, at + 1)
        slashes += 1
        if slashes == 1:
            coordinate = value
    if position == 0 or slashes > 2 or not (_ends(text, at) or _is_blank(text[at])):
        return np.int64(-2), np.int64(-1), at
    position = position - 1 if position > 0 else vertices + position
    coordinate = coordinate - 1 if coordinate > 0 else (coordinates + coordinate if coordinate < 0 else -1)
    return (position if position >= 0 else np.int64(-2)), (coordinate if coordinate >= 0 else np.int64(-1)), at


@njit(cache=True, nogil=True)
def _numbers(text, at, row, array, rows, slow, found):  # type: ignore[no-untyped-def]
    """Numbers of this line into `rows[row]` -> how many were read, offset, count of noted ones."""
    words = 0
    at = _word(text, at)
    while words < rows.shape[1] and not _ends(text, at):
        begin = at
        value, at, kind = number(text, begin)
        if kind in (NOT_A_NUMBER, LONG):
            at = _word_end(text, begin)
            if found < slow.shape[0]:
                slow[found, 0], slow[found, 1] = begin, at
                slow[found, 2], slow[found, 3] = array, row * rows.shape[1] + words
            found += 1
        rows[row, words] = value
        words += 1
        at = _word(text, at)
    return words, at, found


@njit(cache=True, nogil=True)
def _fill(text, positions, extras, widths, coordinates, corners, counts, statements, slow):  # type: ignore[no-untyped-def]
    """Fill the arrays of `_Parsed` -> status, offset, count of numbers for Python; `slow` gets where those stand."""
    v, vt, f, c, s, found, at = 0, 0, 0, 0, 0, 0, 0
    while at < text.size:
        line = at
        kind, at = _kind(text, _word(text, at))
        if kind == _VERTEX:
            width, at, found = _numbers(text, at, v, 0, positions, slow, found)
            if width < 3:
                return _TRUNCATED, line, found
            if extras.shape[0]:
                more, at, found = _numbers(text, at, v, 1, extras, slow, found)
                width += more if _ends(text, at) else _EXTRAS + 1  # more than anybody writes: not colours
            widths[v] = width
            v += 1
        elif kind == _COORDINATE:
            width, at, found = _numbers(text, at, vt, 2, coordinates, slow, found)
            if width < 1:
                return _TRUNCATED, line, found
            vt += 1
        elif kind == _FACE:
            first = c
            at = _word(text, at)
            while not _ends(text, at):
                corners[c, 0], corners[c, 1], at = _corner(text, at, v, vt)
                if corners[c, 0] < 0 or corners[c, 0] >= positions.shape[0]:
                    return _BAD_INDEX, line, found
                if corners[c, 1] >= coordinates.shape[0]:
                    corners[c, 1] = -1
                c += 1
                at = _word(text, at)
            counts[f] = c - first
            f += 1
        elif kind != _NONE:
            end = _line_end(text, at)
            statements[s, 0], statements[s, 1], statements[s, 2], statements[s, 3] = kind, at, end, f
            s += 1
        at = _line_end(text, at) + 1
    return _OK, at, found
