"""OBJ and MTL as the real sets write them, and as damage leaves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.readers import mtl as mtl_files
from pipeline.meshes.readers.mtl import ReadPicture
from pipeline.meshes.readers.obj import read_obj
from pipeline.seeds import generator
from tests.pipeline.meshes.readers.plain_obj import plain_obj

GREY = (178, 178, 178, 255)
SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
PICTURE = np.full((2, 2, 4), 200, dtype=np.uint8)


def read(text: bytes, siblings: dict[str, bytes] | None = None, pictures: tuple[str, ...] = ()) -> Mesh:
    return read_obj(text, (siblings or {}).get, lambda name: PICTURE if name in pictures else None)


def read_mtl(data: bytes, read_picture: ReadPicture) -> dict[str, Material]:
    return {name: found.material for name, found in mtl_files.read_mtl(data, read_picture).items()}


@pytest.mark.parametrize(
    "face",
    [
        b"f 1 2 3",
        b"f 1/1 2/1 3/1",
        b"f 1//1 2//1 3//1",
        b"f 1/1/1 2/1/1 3/1/1",
        b"f 1/ 2/1 3//4",
        b"f -4 -3 -2",
        b"f  1\t2  3 # a comment",
        b"f 1 \\\n2 3",
        b"f 1 2 3\r",
    ],
)
def test_every_way_to_write_the_same_triangle(face: bytes) -> None:
    mesh = read(SQUARE + b"vt 0 0\n" + face + b"\n")
    assert mesh.triangles.tolist() == [[[0, 0, 0], [1, 0, 0], [1, 1, 0]]]


def test_polygons_become_fans_and_negative_indices_count_from_where_they_stand() -> None:
    mesh = read(SQUARE + b"f -4 -3 -2 -1\n" + b"v 2 2 2\nf -5 -4 -1\n")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), sides=st.integers(3, 9), count=st.integers(1, 12))
def test_fans_cover_convex_polygons_exactly(seed: int, sides: int, count: int) -> None:
    rng = generator(seed, "polygons")
    angles = np.sort(rng.uniform(0, 2 * np.pi, (count, sides)), axis=1)
    corners = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=2)
    text = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in corners.reshape(-1, 3).tolist())
    text += "".join("f " + " ".join(str(k * sides + i + 1) for i in range(sides)) + "\n" for k in range(count))
    t = read(text.encode()).triangles
    area = np.linalg.norm(np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]), axis=1).reshape(count, -1).sum(axis=1) / 2
    x, y = corners[..., 0], corners[..., 1]
    shoelace = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1) / 2
    assert np.allclose(area, shoelace)


def test_materials_stay_with_their_faces_and_unused_ones_go() -> None:
    mtl = b"newmtl red wood\nKd 1 0 0\n\nnewmtl glass\nKd 0 0 1\nd 0.5\n\nnewmtl unused\nKd 0 1 0\n"
    mesh = read(
        b"mtllib my file.mtl\n" + SQUARE + b"usemtl glass\nf 1 2 3\nusemtl red wood\nf 1 3 4\n", {"my file.mtl": mtl}
    )
    assert [mesh.materials[i].colour for i in mesh.material_of_face] == [(0, 0, 255, 128), (255, 0, 0, 255)]
    assert len(mesh.materials) == 2


@pytest.mark.parametrize("obj", [b"", b"mtllib gone.mtl\n", b"mtllib gone.mtl\nusemtl unknown\n"])
def test_a_missing_material_is_neutral_grey_never_black(obj: bytes) -> None:
    assert read(obj + SQUARE + b"f 1 2 3\n").materials[0].colour == GREY


def test_a_picture_alone_gives_the_colour_and_a_missing_one_leaves_grey_for_black() -> None:
    mtl = b"newmtl a\nKd 0 0 0\nmap_Kd -s 2 2 2 -o 0.5 images\\my wood.jpg\nnewmtl b\nKd 0.5 0 0\nmap_Kd b.jpg\n"
    found = read_mtl(mtl, lambda name: PICTURE if name == "images\\my wood.jpg" else None)
    assert found["a"].colour == (255, 255, 255, 255)
    assert found["a"].texture is PICTURE
    lost = read_mtl(mtl, lambda _: None)
    assert (lost["a"].colour, lost["b"].colour) == (GREY, (128, 0, 0, 255))


@pytest.mark.parametrize(("line", "alpha"), [("d 0.2", 51), ("Tr 0.2", 204), ("d -halo 0.2", 51), ("d nonsense", 255)])
def test_opacity_by_either_name(line: str, alpha: int) -> None:
    assert read_mtl(f"newmtl a\nKd 1 1 1\n{line}\n".encode(), lambda _: None)["a"].colour[3] == alpha


def test_an_opacity_picture_cuts_the_texture_or_the_plain_colour() -> None:
    grey, alpha = np.full((2, 4, 4), 255, np.uint8), np.full((1, 1, 4), 255, np.uint8)
    grey[:, 2:, :3], alpha[..., 3] = 30, 77
    wood = np.full((4, 4, 4), 90, np.uint8)
    wood[..., 3] = 255
    files = {"grey": grey, "alpha": alpha, "wood": wood}
    mtl = (
        b"newmtl a\nmap_Kd wood\nmap_d grey\nnewmtl b\nmap_Kd wood\nmap_d alpha\nnewmtl c\nKd 1 0 0\nmap_d grey\n"
        b"newmtl d\nmap_Kd wood\nmap_d gone\n"
    )
    found = read_mtl(mtl, files.get)
    assert found["a"].texture[..., 3].tolist() == [[255, 255, 30, 30]] * 4
    assert (found["a"].texture[..., :3] == 90).all() and (wood[..., 3] == 255).all(), "shared pictures stay whole"
    assert (found["b"].texture[..., 3] == 77).all()
    assert found["c"].colour == (255, 0, 0, 255)
    assert found["c"].texture[..., 3].tolist() == [[255, 255, 30, 30]] * 2
    assert (found["c"].texture[..., :3] == 255).all()
    assert found["d"].texture is wood


def test_vertices_are_split_only_where_texture_coordinates_differ() -> None:
    text = b"mtllib m\n" + SQUARE + b"vt 0 0\nvt 1 1\nusemtl a\nf 1/1 2/1 3/1\nf 1/2 3/1 4/1\n"
    mesh = read(text, {"m": b"newmtl a\nmap_Kd p\n"}, ("p",))
    assert len(mesh.vertices) == 5
    assert mesh.uv[mesh.faces].tolist() == [[[0, 0]] * 3, [[1, 1], [0, 0], [0, 0]]]
    assert mesh.triangles.tolist() == read(text).triangles.tolist()
    assert read(text).uv is None


def test_vertex_colours_are_read() -> None:
    mesh = read(b"v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1 2 3\n")
    assert mesh.vertex_colours.tolist() == [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"f 1 2 3\n", "empty"),
        (SQUARE, "no_faces"),
        (SQUARE + b"f 1 2\n", "no_faces"),
        (SQUARE + b"f 0 1 2\n", "bad_index"),
        (SQUARE + b"f 1 2 5\n", "bad_index"),
        (SQUARE + b"f 1 2 -5\n", "bad_index"),
        (SQUARE + b"f 1 2 x\n", "bad_index"),
        (SQUARE + b"f 1.5 2 3\n", "bad_index"),
        (SQUARE + b"f 1 2 99999999999999999999999\n", "bad_index"),
        (b"v 0 0 zero\nv 1 1 1\nv 0 1 0\nf 1 2 3\n", "bad_number"),
        (b"v 0 0 0\nv 1 1\nv 0 1 0\nf 1 2 3\n", "truncated"),
        (SQUARE + b"f 1 2 3\n\0\0\0", "not_text"),
    ],
)
def test_damage_gets_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Reject, match=reason) as caught:
        read(text)
    assert caught.value.reason == reason


def test_any_cut_is_a_mesh_or_a_typed_reason() -> None:
    whole = b"mtllib m\n" + SQUARE + b"vt 0.25 0.5\nusemtl a\nf 1/1 2/1 3/1 4/1\nf 1/1/1 2/1/1 3/1/1\nf 1 2 3\n"
    for cut in range(len(whole)):
        try:
            mesh = read(whole[:cut])
        except Reject as reject:
            assert reject.reason in {"empty", "no_faces", "bad_index", "bad_number", "truncated"}
        else:
            assert mesh.faces.max() < len(mesh.vertices)


@st.composite
def legal_files(draw: st.DrawFn) -> str:
    """Legal files in which every line has a form of its own: corners, widths, blanks, comments, counting back."""
    lines: list[str] = []
    positions = coordinates = 0
    for _ in range(draw(st.integers(3, 8))):
        lines.append(_vertex(draw))
        positions += 1
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(["v", "vt", "f", "f", "f", "other"]))
        if kind == "v":
            lines.append(_vertex(draw))
            positions += 1
        elif kind == "vt":
            lines.append("vt " + " ".join(str(draw(st.integers(-4, 4)) / 4) for _ in range(draw(st.integers(1, 3)))))
            coordinates += 1
        elif kind == "f":
            corners = draw(st.lists(st.integers(0, positions - 1), min_size=1, max_size=3))
            form = draw(st.sampled_from(["a", "a/b", "a//c", "a/b/c", "a/", "a//", "mixed"]))
            words = [_corner(draw, form, at, positions, coordinates) for at in corners]
            glue = draw(st.sampled_from([" ", "  ", "\t", " \\\n "]))
            lines.append("f " + glue.join(words) + draw(st.sampled_from(["", " ", " # 7 8 9", "\r"])))
        else:
            lines.append(draw(st.sampled_from(["", "# f 1 2 3", "vn 0 0 1", "g part", "s off", "l 1 2", "  "])))
    lines.append("f 1 2 3")
    return "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))


def _vertex(draw: st.DrawFn) -> str:
    numbers = [str(draw(st.integers(-9, 9)) / 8) for _ in range(3)]
    more = draw(st.sampled_from([[], [], ["1"], ["0.5", "0.25", "1"], ["1.0", "0.5", "0.25", "0"]]))
    return " ".join(["v", *numbers, *more]) + draw(st.sampled_from(["", " ", " # note"]))


def _corner(draw: st.DrawFn, form: str, at: int, positions: int, coordinates: int) -> str:
    if form == "mixed":
        form = draw(st.sampled_from(["a", "a/b", "a//c", "a/b/c", "a/", "a//"]))
    a = str(at + 1 if draw(st.booleans()) else at - positions)
    if coordinates and "b" in form:
        b = draw(st.integers(0, coordinates - 1))
        return (
            form.replace("a", a).replace("b", str(b + 1 if draw(st.booleans()) else b - coordinates)).replace("c", "1")
        )
    return form.replace("a", a).replace("b", "").replace("c", "1")


@settings(max_examples=150, deadline=None)
@given(text=legal_files(), bom=st.booleans())
def test_every_line_is_read_by_itself(text: str, bom: bool) -> None:
    positions, coordinates, faces = plain_obj(text.replace("\r", ""))
    wanted = [face for face in faces if len(face) == 3]
    data = (b"\xef\xbb\xbf" if bom else b"") + b"mtllib m\nusemtl a\n" + text.encode()
    mesh = read(data, {"m": b"newmtl a\nmap_Kd p\n"}, ("p",))
    assert mesh.triangles.tolist() == [[list(positions[at][:3]) for at, _ in face] for face in wanted]
    if coordinates:
        pairs = [[(*coordinates[t], 0.0)[:2] if t >= 0 else (0.0, 0.0) for _, t in face] for face in wanted]
        assert mesh.uv[mesh.faces].tolist() == [[list(pair) for pair in face] for face in pairs]
    coloured = any(len(position) >= 6 for position in positions)
    assert (mesh.vertex_colours is not None) == coloured
    if coloured:
        colours = [[round(255 * c) for c in p[-3:]] if len(p) >= 6 else [255] * 3 for p in positions]
        assert mesh.vertex_colours[mesh.faces][..., :3].tolist() == [[colours[at] for at, _ in f] for f in wanted]


def test_colours_of_0_to_255_are_scaled() -> None:
    mesh = read(b"v 0 0 0 255 0 51\nv 1 0 0 0 255 0\nv 1 1 0 0 0 1\nf 1 2 3\n")
    assert mesh.vertex_colours[0].tolist() == [255, 0, 51, 255]
    assert mesh.vertex_colours[2].tolist() == [0, 0, 1, 255]


def test_colours_a_little_above_1_are_not_taken_for_0_to_255() -> None:
    mesh = read(b"v 0 0 0 1.004 0 0.2\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nf 1 2 3\n")
    assert mesh.vertex_colours[:2].tolist() == [[255, 0, 51, 255], [0, 255, 0, 255]]


def test_statements_of_other_names_are_no_materials_and_old_faces_are_faces() -> None:
    mtl = b"newmtl red # the seat\nKd 1 0 0\nnewmtl a #2\nKd 0 1 0\n"
    text = b"mtllib m\n" + SQUARE + b"usemtl red\nusemap off\nmaplib x\nfo 1 2 3\nusemtl a #2\nf 1 3 4\n"
    mesh = read(text, {"m": mtl})
    assert [mesh.materials[k].colour[:3] for k in mesh.material_of_face] == [(255, 0, 0), (0, 255, 0)]


def test_vertex_colours_are_not_darkened_by_the_neutral_grey_but_by_a_material_that_is_there() -> None:
    corner = b"v 0 0 0 .8 .1 .1\nv 1 0 0 .8 .1 .1\nv 1 1 0 .8 .1 .1\n"
    assert read(corner + b"f 1 2 3\n").materials[0].colour == (255, 255, 255, 255)
    assert read(b"usemtl gone\n" + corner + b"f 1 2 3\n").materials[0].colour == (255, 255, 255, 255)
    named = read(b"mtllib m\nusemtl a\n" + corner + b"f 1 2 3\n", {"m": b"newmtl a\nKd .5 1 1\n"})
    assert named.materials[0].colour == (128, 255, 255, 255)


@pytest.mark.parametrize(
    "line",
    [
        b"red.mtl blue.mtl",
        b"red.mtl  my blue.mtl",
        b"red.mtl\nmtllib blue.mtl",
        b"BLUE.MTL red.mtl",
        b"red blue",
        b"a b",
    ],
)
def test_several_libraries_on_one_line(line: bytes) -> None:
    red, blue = b"newmtl red\nKd 1 0 0\n", b"newmtl blue\nKd 0 0 1\n"
    files = dict.fromkeys(("red.mtl", "red"), red) | dict.fromkeys(
        ("blue.mtl", "my blue.mtl", "BLUE.MTL", "blue"), blue
    )
    files["a b"] = red + blue
    mesh = read(b"mtllib " + line + b"\n" + SQUARE + b"usemtl red\nf 1 2 3\nusemtl blue\nf 1 3 4\n", files)
    assert [material.colour for material in mesh.materials] == [(255, 0, 0, 255), (0, 0, 255, 255)]


@pytest.mark.parametrize(
    ("options", "uv", "wrap"),
    [
        (b"-o 0.5 0 0", (0.6, 0.2), "repeat"),
        (b"-o 0.5", (0.6, 0.2), "repeat"),
        (b"-s 2 3 1 -o 0 0.25", (0.2, 0.85), "repeat"),
        (b"-clamp on -s 2", (0.2, 0.2), "clamp"),
        (b"-bm 0.3 -blendu on -imfchan r -mm 0 1", (0.1, 0.2), "repeat"),
    ],
)
def test_options_of_a_picture_move_its_coordinates(options: bytes, uv: tuple[float, float], wrap: str) -> None:
    text = b"mtllib m\n" + SQUARE + b"vt 0.1 0.2\nusemtl a\nf 1/1 2/1 3/1\nusemtl b\nf 1/1 3/1 4/1\n"
    mtl = b"newmtl a\nmap_Kd " + options + b" my p.png\nnewmtl b\nmap_Kd my p.png\n"
    mesh = read(text, {"m": mtl}, ("my p.png",))
    assert np.allclose(mesh.uv[mesh.faces[0]], uv) and np.allclose(mesh.uv[mesh.faces[1]], (0.1, 0.2))
    assert mesh.materials[mesh.material_of_face[0]].wrap == (wrap, wrap)


def test_old_files_in_latin_1_name_the_same_material() -> None:
    mtl = "newmtl Stühle\nKd 1 0 0\n"
    for encoding in ("utf-8", "latin-1"):
        mesh = read(b"mtllib m\n" + SQUARE + "usemtl Stühle # old\nf 1 2 3\n".encode(), {"m": mtl.encode(encoding)})
        assert mesh.materials[0].colour == (255, 0, 0, 255), encoding
