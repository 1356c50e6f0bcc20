"""PLY of every format and type, written by this test and read back; cut and bent files are refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.readers.ply import read_ply

CUBE = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CODES = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d"}
LARGEST = {"uchar": 255, "ushort": 65535, "uint": 2**32 - 1, "float": 1.0, "double": 1.0}
MIXED = [*QUADS[:5], (1, 5, 7), (1, 7, 3)]


def ply(
    form: str = "binary_little_endian",
    *,
    faces: list[tuple[int, ...]] = QUADS,
    place: str = "float",
    lists: tuple[str, str] = ("uchar", "int"),
    colour: str | None = None,  # type of the vertices' colours
    face_colour: str | None = None,
    extras: bool = False,  # elements and properties that nobody needs, before, between and behind
    rgb: tuple[float, float, float] = (0.8, 0.2, 0.1),
) -> bytes:
    """A cube."""
    vertex = [(place, name) for name in "xyz"]
    rows: list[list[float]] = [list(corner) for corner in CUBE]
    if extras:
        vertex.insert(1, ("double", "quality"))
        rows = [[row[0], 0.5, *row[1:]] for row in rows]
    if colour:
        vertex += [(colour, name) for name in ("red", "green", "blue")]
        rows = [[*row, *scaled(rgb, colour)] for row in rows]
    tail = [(face_colour, name) for name in ("red", "green", "blue")] if face_colour else []
    header = ["ply", f"format {form} 1.0", "comment a cube", "obj_info nothing"]
    body: list[list[tuple[str, float]]] = []
    if extras:
        header += ["element camera 2", "property float a", "property list uchar short b"]
        body += [[("float", 1.5), ("uchar", 2), ("short", -3), ("short", 4)], [("float", 2), ("uchar", 0)]]
    header += [f"element vertex {len(rows)}", *(f"property {kind} {name}" for kind, name in vertex)]
    body += [list(zip([kind for kind, _ in vertex], row, strict=True)) for row in rows]
    header += [f"element face {len(faces)}", f"property list {lists[0]} {lists[1]} vertex_indices"]
    header += [f"property {kind} {name}" for kind, name in tail]
    body += [
        [(lists[0], len(face)), *((lists[1], index) for index in face)]
        + [(kind, value) for (kind, _), value in zip(tail, scaled(rgb, face_colour) if face_colour else ())]
        for face in faces
    ]
    if extras:
        header += ["element edge 1", "property int vertex1", "property int vertex2"]
        body += [[("int", 0), ("int", 1)]]
    head = "\n".join([*header, "end_header"]).encode() + b"\n"
    if form == "ascii":
        words = [[f"{v!r}" if kind in ("float", "double") else f"{int(v)}" for kind, v in row] for row in body]
        return head + "".join(" ".join(row) + "\n" for row in words).encode()
    order = "<" if "little" in form else ">"
    return head + b"".join(struct.pack(order + CODES[kind], v) for row in body for kind, v in row)


def scaled(rgb: tuple[float, float, float], kind: str) -> list[float]:
    return [value * LARGEST[kind] if kind in ("float", "double") else round(value * LARGEST[kind]) for value in rgb]


def area(mesh: Mesh) -> float:
    t = mesh.triangles
    return float(np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1).sum() / 2)


@settings(max_examples=120, deadline=None)
@given(
    form=st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian"]),
    mixed=st.booleans(),
    place=st.sampled_from(["float", "double", "short", "int"]),
    lists=st.tuples(st.sampled_from(["uchar", "ushort", "int"]), st.sampled_from(["uchar", "short", "int", "uint"])),
    colour=st.sampled_from([None, "uchar", "ushort", "float"]),
    face_colour=st.sampled_from([None, "uchar", "ushort", "uint", "float"]),
    extras=st.booleans(),
)
def test_every_format_and_type_is_the_same_cube(
    form: str,
    mixed: bool,
    place: str,
    lists: tuple[str, str],
    colour: str | None,
    face_colour: str | None,
    extras: bool,
) -> None:
    data = ply(
        form,
        faces=MIXED if mixed else QUADS,
        place=place,
        lists=lists,
        colour=colour,
        face_colour=face_colour,
        extras=extras,
    )
    mesh = read_ply(data)
    assert (len(mesh.faces), area(mesh)) == (12, 6.0)
    if colour:
        assert mesh.vertex_colours.tolist() == [[204, 51, 26, 255]] * 8
        assert mesh.materials[0].colour == (255, 255, 255, 255)
    elif face_colour:
        assert [material.colour for material in mesh.materials] == [(204, 51, 26, 255)]
        assert (mesh.material_of_face == 0).all()
    else:
        assert mesh.materials[0].colour == (178, 178, 178, 255)


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("extras", [True, False])
@pytest.mark.parametrize("faces", [QUADS, MIXED])
def test_no_cut_is_read(form: str, extras: bool, faces: list[tuple[int, ...]]) -> None:
    whole = ply(form, faces=faces, extras=extras)
    read_ply(whole)
    for size in range(len(whole) - 1):  # the last line end alone may be missing where nothing hangs on it
        with pytest.raises(Reject):
            read_ply(whole[:size])


def test_a_file_of_text_without_its_last_line_end_is_read_where_no_number_can_be_cut() -> None:
    assert len(read_ply(ply("ascii", faces=MIXED)[:-1]).faces) == 12  # 3: the next longer number is no vertex
    many = ply("ascii").replace(b"element vertex 8", b"element vertex 50")
    many = many.replace(b"\n4 0 1 3 2", b"\n0 0 0" * 42 + b"\n4 0 1 3 2")
    assert len(read_ply(many).faces) == 12
    with pytest.raises(Reject, match="truncated: the last line of the PLY file has no end"):
        read_ply(many[:-1])


def test_a_concave_face_and_texture_coordinates() -> None:
    text = (
        b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
        b"property float s\nproperty float t\nelement face 1\nproperty list uchar int vertex_index\nend_header\n"
        b"0 0 0 0 0\n2 1 0 1 .5\n0 2 0 0 1\n1 1 0 .5 .5\n4 0 1 2 3\n"
    )
    mesh = read_ply(text)
    assert area(mesh) == 1.0
    assert mesh.uv.tolist() == [[0, 0], [1, 0.5], [0, 1], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"format ascii", b"format utf16"), "malformed"),
        ((b"element vertex 8", b"element vertex -8"), "malformed"),
        ((b"element vertex 8", b"element vertex 99999999999"), "truncated"),
        ((b"property float x", b"property quad x"), "malformed"),
        ((b"property float x", b"property float w"), "malformed"),
        ((b"vertex_indices", b"edges"), "no_faces"),
        ((b"4 0 1 3 2", b"4 0 1 3 9"), "bad_index"),
        ((b"4 0 1 3 2", b"4 0 1 3"), "count_mismatch"),
        ((b"4 0 1 3 2", b"-4 0 1 3 2"), "bad_number"),
        ((b"4 0 1 3 2", b"4 0 1 3 x"), "bad_number"),
        ((b"4 0 1 3 2", b"4 0 1 3 1.5"), "bad_number"),
        ((b"4 1 5 7 3\n", b"4 1 5 7 3\nmore\n"), "count_mismatch"),
        ((b"end_header", b"end_headers"), "malformed"),
    ],
)
def test_damage_gets_its_reason(change: tuple[bytes, bytes], reason: str) -> None:
    with pytest.raises(Reject, match=reason) as caught:
        read_ply(ply("ascii").replace(*change))
    assert caught.value.reason == reason


@pytest.mark.parametrize("binary", [True, False])
def test_what_trimesh_writes_is_read_as_trimesh_reads_it(binary: bool) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.visual.vertex_colors = (ball.vertices * 100 + 128).clip(0, 255).astype(np.uint8)
    data = ball.export(file_type="ply", encoding="binary" if binary else "ascii")
    theirs = trimesh.load(io.BytesIO(data), file_type="ply", process=False)
    mesh = read_ply(data)
    assert np.array_equal(mesh.faces, theirs.faces)
    assert np.allclose(mesh.vertices, theirs.vertices, rtol=0, atol=1e-7)
    assert np.array_equal(mesh.vertex_colours, theirs.visual.vertex_colors)


@pytest.mark.parametrize("word", [b"1_0", b"0x1", b"one"])
def test_what_is_no_number_is_refused(word: bytes) -> None:
    whole = ply("ascii")
    at = whole.index(b"end_header\n") + len("end_header\n")
    with pytest.raises(Reject, match="bad_number"):
        read_ply(whole[:at] + word + whole[whole.index(b" ", at) :])


def test_blank_lines_between_rows_are_passed_over() -> None:
    whole = ply("ascii")
    head, body = whole.split(b"end_header\n")
    spread = head + b"end_header\n\n \n" + body.replace(b"\n", b" \t\r\n\r\n\n")
    np.testing.assert_array_equal(read_ply(spread).triangles, read_ply(whole).triangles)
