"""OBJ and MTL as the real sets write them, and as damage leaves them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.obj import read_mtl, read_obj
from pipeline.seeds import generator

GREY = (178, 178, 178, 255)
SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
PICTURE = np.full((2, 2, 4), 200, dtype=np.uint8)


def read(text: bytes, siblings: dict[str, bytes] | None = None, pictures: tuple[str, ...] = ()) -> Mesh:
    return read_obj(text, (siblings or {}).get, lambda name: PICTURE if name in pictures else None)


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
    found = read_mtl(mtl, lambda name: PICTURE if name == "images/my wood.jpg" else None)
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
