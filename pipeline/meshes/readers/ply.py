"""PLY, read as its header says: text or binary, any element, any property, every number counted.

    ply
    format binary_little_endian 1.0       or ascii, or binary_big_endian
    element vertex 8
    property float x                      ... y, z; red green blue [alpha]; s t, u v or texture_u texture_v
    element face 6
    property list uchar int vertex_indices
    property uchar red                    a face may have a colour of its own
    end_header

Other elements and properties are stepped over by their types.  Colours of integer types are scaled by the largest
value of the type, those of float types are 0 to 1.  A file that ends before its counts are reached, or holds more, is
refused.  Format: Greg Turk, "The PLY Polygon File Format", http://paulbourke.net/dataformats/ply/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.polygons import triangulate

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Column: TypeAlias = npt.NDArray[Any]

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER_BYTES = 2**16
_END = re.compile(rb"(?:^|\n|\r)end_header[ \t]*(\r\n|\n|\r)")
_BLANK_LINES = re.compile(rb"[\r\n]\s++")
_COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_INDICES = ("vertex_indices", "vertex_index")


@dataclass
class _Property:
    """One property: `count` is the type of a list's length, None for a single number."""

    name: str
    type: str
    count: str | None = None


@dataclass
class _Element:
    """One element of the header."""

    name: str
    rows: int
    properties: list[_Property] = field(default_factory=list)


@dataclass
class _List:
    """A list property of all rows: the values one after the other, and how many each row has."""

    values: Column  # (C,)
    counts: Ints  # (N,)


_Columns: TypeAlias = dict[str, Column | _List]


@np.errstate(all="ignore")  # numbers that are none or too large: the mesh is refused later
def read_ply(data: bytes) -> Mesh:
    """PLY bytes -> Mesh, polygons cut into triangles, with the colours of vertices or faces.

    Raises Reject: `malformed`, `truncated`, `bad_number`, `bad_index`, `count_mismatch`, `no_faces`, `unsupported`.
    """
    order, elements, body = _header(data)
    found = _read_binary(data, body, order, elements) if order else _read_text(data[body:], elements)
    vertex = found.get("vertex", {})
    if not all(isinstance(vertex.get(axis), np.ndarray) for axis in "xyz"):
        raise Reject("malformed", "the PLY file has no element vertex with x, y and z")
    vertices = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    face = found.get("face", {})
    lists = [column for name in _INDICES if isinstance(column := face.get(name), _List)]
    if not lists:
        what = "triangle strips" if "tristrips" in found else "points only"
        raise Reject("no_faces", f"the PLY file has {what}: no element face with a list vertex_indices")
    corners, counts = _whole(lists[0])
    if len(corners) and (corners.min() < 0 or corners.max() >= len(vertices)):
        raise Reject("bad_index", f"a face of the PLY file names a vertex beyond the {len(vertices)} there are")
    triangles, polygon = triangulate(vertices, corners, counts)
    if not len(triangles):
        raise Reject("no_faces", "the PLY file has no face with three corners or more")
    mesh = Mesh(vertices, corners[triangles])
    _add_colours(mesh, vertex, face, polygon)
    for names in _COORDINATES:
        if all(isinstance(vertex.get(name), np.ndarray) for name in names):
            mesh.uv = np.stack([np.asarray(vertex[name], dtype=np.float64) for name in names], axis=1)
    return mesh


def _whole(indices: _List) -> tuple[Ints, Ints]:
    """Indices and counts as whole numbers."""
    if indices.values.dtype.kind == "f" and not (indices.values == np.floor(indices.values)).all():
        raise Reject("bad_index", "a face of the PLY file has an index that is not a whole number")
    return indices.values.astype(np.int64), indices.counts


def _add_colours(mesh: Mesh, vertex: _Columns, face: _Columns, polygon: Ints) -> None:
    """Colours of the vertices, or else of the faces."""
    of_vertices, of_faces = _colours(vertex), _colours(face)
    if of_vertices is not None:
        mesh.vertex_colours, mesh.materials = of_vertices, [Material((255, 255, 255, 255))]
    elif of_faces is not None:
        _, first, number = np.unique(of_faces.view(np.uint32)[polygon, 0], return_index=True, return_inverse=True)
        mesh.materials = [Material((r, g, b, a)) for r, g, b, a in of_faces[polygon[first]].tolist()]
        mesh.face_material = number.reshape(-1).astype(np.int64)


def _colours(columns: _Columns) -> npt.NDArray[np.uint8] | None:
    """(N, 4) sRGB and alpha of an element, None where it has no colours."""
    names = [[f"{prefix}{name}" for name in ("red", "green", "blue")] for prefix in ("", "diffuse_")]
    chosen = next((rgb for rgb in names if all(isinstance(columns.get(name), np.ndarray) for name in rgb)), None)
    if chosen is None:
        return None
    if isinstance(columns.get("alpha"), np.ndarray):
        chosen = [*chosen, "alpha"]
    out = np.full((len(columns[chosen[0]]), 4), 255, dtype=np.uint8)  # type: ignore[arg-type]
    for channel, name in enumerate(chosen):
        values = np.asarray(columns[name])
        largest = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
        out[:, channel] = np.rint(np.nan_to_num(values.astype(np.float64) / largest).clip(0, 1) * 255)
    return out


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for text), the elements, and where the body begins."""
    end = _END.search(data, 0, _HEADER_BYTES)
    if not data.startswith(b"ply") or end is None:
        raise Reject("malformed", "no PLY header: it begins with `ply` and ends with `end_header`")
    order: str | None = None
    elements: list[_Element] = []
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) >= 2:
            order = _FORMATS.get(words[1])
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) <= 12:
            elements.append(_Element(words[1], int(words[2])))
        elif words[0] == "property" and elements and (made := _property(words[1:])) is not None:
            elements[-1].properties.append(made)
        else:
            raise Reject("malformed", f"the PLY header has a line that is not of the format: {line[:60]!r}")
    if order is None:
        raise Reject("malformed", f"the PLY header names no format; known are {', '.join(_FORMATS)}")
    return order, elements, end.end()


def _property(words: list[str]) -> _Property | None:
    if len(words) == 2 and words[0] in _TYPES:
        return _Property(words[1], _TYPES[words[0]])
    if len(words) == 4 and words[0] == "list" and words[1] in _TYPES and words[2] in _TYPES:
        return _Property(words[3], _TYPES[words[2]], _TYPES[words[1]])
    return None


def _read_binary(data: bytes, at: int, order: str, elements: list[_Element]) -> dict[str, _Columns]:
    """All elements of a binary body."""
    found: dict[str, _Columns] = {}
    for element in elements:
        if any(one.count for one in element.properties):
            found[element.name], at = _binary_lists(data, at, order, element)
        else:
            layout = np.dtype([(f"{n}", order + one.type) for n, one in enumerate(element.properties)])
            _need(data, at, element.rows * layout.itemsize, element)
            rows = np.frombuffer(data, layout, element.rows, at)
            found[element.name] = {one.name: _native(rows[str(n)]) for n, one in enumerate(element.properties)}
            at += element.rows * layout.itemsize
    if len(data) - at > 0 and data[at:].strip(b"\0\r\n\t "):
        raise Reject("count_mismatch", f"{len(data) - at} bytes stand behind the last element of the PLY file")
    return found


def _binary_lists(data: bytes, at: int, order: str, element: _Element) -> tuple[_Columns, int]:
    """An element with lists: as an array where all rows are alike, else row by row."""
    counts = _first_counts(data, at, order, element)
    if counts is not None and element.rows:
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for n, one in enumerate(element.properties):
            if one.count:
                fields += [(f"c{n}", order + one.count), (f"{n}", order + one.type, (counts[n],))]
            else:
                fields.append((f"{n}", order + one.type))
        layout = np.dtype(fields)
        if at + element.rows * layout.itemsize <= len(data):
            rows = np.frombuffer(data, layout, element.rows, at)
            if all((rows[f"c{n}"] == counts[n]).all() for n, one in enumerate(element.properties) if one.count):
                return {
                    one.name: _List(_native(rows[str(n)]).reshape(-1), np.full(element.rows, counts[n], np.int64))
                    if one.count
                    else _native(rows[str(n)])
                    for n, one in enumerate(element.properties)
                }, at + element.rows * layout.itemsize
    return _row_by_row(data, at, order, element)


def _first_counts(data: bytes, at: int, order: str, element: _Element) -> dict[int, int] | None:
    """Lengths of the lists of the first row; None if it does not fit into the file."""
    counts: dict[int, int] = {}
    for n, one in enumerate(element.properties):
        if one.count:
            kind = np.dtype(order + one.count)
            if at + kind.itemsize > len(data):
                return None
            counts[n] = _length(np.frombuffer(data, kind, 1, at)[0], element)
            at += kind.itemsize
        at += counts.get(n, 1) * np.dtype(one.type).itemsize
    return counts if at <= len(data) else None


def _row_by_row(data: bytes, at: int, order: str, element: _Element) -> tuple[_Columns, int]:
    """An element whose lists have different lengths: where each list stands is found first, then all are gathered."""
    from pipeline.meshes.readers.ply_rows import NEGATIVE, TRUNCATED, places  # compiled code takes a moment to load

    if any(one.count and one.count.startswith("f") for one in element.properties):
        raise Reject("malformed", f"a list of the PLY element {element.name} has a length that is no whole number")
    sizes = np.array([np.dtype(one.type).itemsize for one in element.properties], np.int64)
    count_sizes = np.array([np.dtype(one.count).itemsize if one.count else 0 for one in element.properties], np.int64)
    # The smallest row has empty lists.
    _need(data, at, element.rows * int(np.where(count_sizes > 0, count_sizes, sizes).sum()), element)
    signed = np.array([(one.count or "u").startswith("i") for one in element.properties])
    begins, lengths = np.empty((2, len(sizes), element.rows), np.int64)
    text = np.frombuffer(data, np.uint8)
    status, end = places(text, at, order == "<", sizes, count_sizes, signed, begins, lengths)
    if status == NEGATIVE:
        raise Reject("malformed", f"a list of the PLY element {element.name} has a length below zero")
    if status == TRUNCATED:
        _need(data, len(data), 1, element)
    columns: _Columns = {}
    for one, size, begin, length in zip(element.properties, sizes.tolist(), begins, lengths, strict=True):
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        first = np.repeat(begin, length) + within * size
        values = _native(text[first[:, None] + np.arange(size)].view(order + one.type).reshape(-1))
        columns[one.name] = _List(values, length.copy()) if one.count else values
    return columns, end


def _length(value: Any, element: _Element) -> int:
    if value < 0 or value != int(value):
        raise Reject("malformed", f"a list of the PLY element {element.name} has the length {value}")
    return int(value)


def _native(values: Column) -> Column:
    return values.astype(values.dtype.newbyteorder("="))


def _need(data: bytes, at: int, size: int, element: _Element) -> None:
    if at + size > len(data):
        raise Reject("truncated", f"the PLY file ends inside its element {element.name} of {element.rows} rows")


def _read_text(body: bytes, elements: list[_Element]) -> dict[str, _Columns]:
    """All elements of a text body: one row a line, every number of it counted."""
    if b"_" in body:  # which Python's float() would pass over
        raise Reject("bad_number", "the text of the PLY file holds underscores, which are no part of a number")
    lines = _BLANK_LINES.sub(b"\n", body).strip().splitlines()
    found: dict[str, _Columns] = {}
    for element in elements:
        if element.rows > len(lines):
            raise Reject("truncated", f"the PLY file ends inside its element {element.name} of {element.rows} rows")
        found[element.name] = _text_rows(lines[: element.rows], element)
        lines = lines[element.rows :]
    if lines:
        raise Reject("count_mismatch", f"{len(lines)} lines stand behind the last element of the PLY file")
    if not body.endswith((b"\n", b"\r", b" ")) and _may_be_cut(body, elements, found):
        raise Reject(
            "truncated", "the last line of the PLY file has no end, so its last number may be cut; add a line end"
        )
    return found


def _may_be_cut(body: bytes, elements: list[_Element], found: dict[str, _Columns]) -> bool:
    """Whether one digit more behind the last number would make another legal file."""
    element = next((element for element in reversed(elements) if element.rows and element.properties), None)
    if element is None:
        return False
    word, last = body.split()[-1], element.properties[-1]
    if last.type.startswith("f") or not word.lstrip(b"-").isdigit():
        return True
    rows = len(next(iter(found["vertex"].values()))) if "vertex" in found and last.name in _INDICES else None  # type: ignore[arg-type]
    most = np.iinfo(last.type).max if rows is None else rows - 1
    return abs(int(word)) * 10 <= most


def _text_rows(lines: list[bytes], element: _Element) -> _Columns:
    """One element: the words of each line by the types of its properties."""
    words: list[list[bytes]] = [[] for _ in element.properties]
    counts: list[list[int]] = [[] for _ in element.properties]
    for line in lines:
        row, at = line.split(), 0
        for one, into, lengths in zip(element.properties, words, counts, strict=True):
            count = 1
            if one.count:
                if at >= len(row) or not row[at].isdigit() or len(row[at]) > 9:
                    raise Reject("bad_number", f"a list of the PLY element {element.name} has no length: {line[:60]!r}")
                count, at = int(row[at]), at + 1
            into += row[at : at + count]
            lengths.append(count)
            at += count
        if at != len(row):
            raise Reject(
                "count_mismatch", f"a line of the PLY element {element.name} has {len(row)} words: {line[:60]!r}"
            )
    columns: _Columns = {}
    for one, into, lengths in zip(element.properties, words, counts, strict=True):
        values = _numbers(into, one, element)
        columns[one.name] = _List(values, np.array(lengths, np.int64)) if one.count else values
    return columns


def _numbers(words: list[bytes], one: _Property, element: _Element) -> Column:
    """Words as numbers of the property's type, which has to hold them."""
    try:
        values = np.array([float(word) for word in words], dtype=np.float64)
    except ValueError as error:
        raise Reject(
            "bad_number", f"the PLY element {element.name} has a {one.name} that is no number: {error}"
        ) from error
    if one.type.startswith("f"):
        return values
    bounds = np.iinfo(one.type)
    if len(values) and not ((values == np.floor(values)) & (values >= bounds.min) & (values <= bounds.max)).all():
        raise Reject(
            "bad_number", f"the PLY element {element.name} has a {one.name} that its type {one.type} cannot hold"
        )
    return values.astype(one.type)
