"""What goes into a GLB comes out of it, other programs open it, and damage is refused."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.meshes.glb import decode_picture, read_glb, write_glb
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.mesh import Material, Mesh
from pipeline.seeds import generator


def _picture(side: int = 8, *, opaque: bool = True) -> np.ndarray:
    picture = generator(1, "picture").integers(0, 256, (side, side, 4)).astype(np.uint8)
    if opaque:
        picture[..., 3] = 255
    return picture


def _mesh(seed: int = 1, faces: int = 40, materials: int = 3) -> Mesh:
    rng = generator(seed, "mesh")
    vertices = rng.normal(size=(30, 3))
    looks = [Material(tuple(int(v) for v in rng.integers(0, 256, 4)), None, f"look {i}") for i in range(materials)]
    looks[-1].texture = _picture()
    return Mesh(
        vertices,
        rng.integers(0, 30, (faces, 3)),
        rng.integers(0, materials, faces),
        looks,
        rng.normal(size=(30, 2)),
        rng.integers(0, 256, (30, 4)).astype(np.uint8),
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), materials=st.integers(1, 5), faces=st.integers(1, 60))
def test_round_trip(seed: int, materials: int, faces: int) -> None:
    mesh = _mesh(seed, faces, materials)
    back = read_glb(write_glb(mesh))
    order = np.argsort(mesh.material_of_face, kind="stable")
    assert np.array_equal(back.vertices, mesh.vertices.astype(np.float32))
    assert np.array_equal(back.faces, mesh.faces[order])
    assert np.array_equal(back.material_of_face, mesh.material_of_face[order])
    assert np.allclose(back.uv, mesh.uv, atol=1e-6)
    assert np.array_equal(back.vertex_colours, mesh.vertex_colours)
    assert [m.colour for m in back.materials] == [m.colour for m in mesh.materials]
    assert [m.name for m in back.materials] == [m.name for m in mesh.materials]
    assert np.array_equal(back.materials[-1].texture, mesh.materials[-1].texture)


def test_the_same_mesh_gives_the_same_bytes_and_writing_is_idempotent() -> None:
    data = write_glb(_mesh())
    assert data == write_glb(_mesh())
    assert write_glb(read_glb(data)) == data


@pytest.mark.parametrize("level", range(0, 256, 5))
def test_every_srgb_byte_survives_the_linear_factor(level: int) -> None:
    colour = (level, 255 - level, level, level)
    mesh = _mesh()
    mesh.materials[0] = Material(colour)
    assert read_glb(write_glb(mesh)).materials[0].colour == colour


def test_factors_are_linear_as_the_specification_asks() -> None:
    mesh = _mesh(materials=1)
    mesh.materials = [Material((188, 188, 188, 255))]
    factor = _head(write_glb(mesh))["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    assert factor == pytest.approx([0.5029, 0.5029, 0.5029, 1.0], abs=1e-3)


def test_big_opaque_pictures_are_jpeg_and_others_exact() -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    smooth = np.stack([rows, columns, 255 - rows, np.full_like(rows, 255)], axis=2).astype(np.uint8)
    clear = _picture(256, opaque=False)
    mesh = _mesh(materials=2)
    mesh.materials[0].texture, mesh.materials[1].texture = smooth, clear
    data = write_glb(mesh)
    assert [i["mimeType"] for i in _head(data)["images"]] == ["image/jpeg", "image/png"]
    back = read_glb(data)
    assert np.abs(back.materials[0].texture.astype(int) - smooth).max() <= 6
    assert np.array_equal(back.materials[1].texture, clear)


def test_equal_pictures_are_stored_once_and_can_be_skipped() -> None:
    mesh = _mesh(materials=2)
    mesh.materials[0].texture = _picture()
    data = write_glb(mesh)
    assert len(_head(data)["images"]) == 1
    assert all(m.texture is None for m in read_glb(data, textures=False).materials)


def test_another_reader_sees_the_same_corners_colours_and_uv() -> None:
    mesh = _mesh(materials=2)
    mesh.vertex_colours = None
    scene = trimesh.load(io.BytesIO(write_glb(mesh)), file_type="glb", process=False)
    parts = list(scene.geometry.values())
    theirs = np.concatenate([part.triangles for part in parts])
    assert np.allclose(theirs, read_glb(write_glb(mesh)).triangles, atol=1e-6)
    uv = np.concatenate([part.visual.uv[part.faces] for part in parts])  # trimesh flips v as OBJ does
    assert np.allclose(uv, mesh.uv[mesh.faces[np.argsort(mesh.material_of_face, kind="stable")]], atol=1e-5)
    assert all(part.visual.material.doubleSided for part in parts)
    assert np.array_equal(
        np.asarray(parts[1].visual.material.baseColorTexture.convert("RGBA")), mesh.materials[1].texture
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), materials=st.integers(1, 4))
def test_the_reader_of_foreign_files_reads_the_same(seed: int, materials: int) -> None:
    mesh = _mesh(seed, 30, materials)
    mesh.face_material[0] = materials - 1  # the one with a picture, whose faces are written last
    for material in mesh.materials:
        material.colour = (*material.colour[:3], 255)
    data = write_glb(mesh)
    ours = read_glb(data)
    theirs = read_gltf(data, lambda _: None, lambda _, payload: decode_picture(payload))
    assert np.array_equal(theirs.triangles, ours.triangles)
    assert np.array_equal(theirs.vertex_colours[theirs.faces], ours.vertex_colours[ours.faces])
    assert np.allclose(theirs.uv[theirs.faces][-1], ours.uv[ours.faces][-1], atol=1e-6)
    looks = [[mesh.materials[n].colour for n in mesh.material_of_face] for mesh in (ours, theirs)]
    assert looks[0] == looks[1]


def test_every_cut_and_many_flips_are_refused_or_read() -> None:
    data = write_glb(_mesh())
    for cut in range(0, len(data), 7):
        with pytest.raises(Reject, match="bad_glb"):
            read_glb(data[:cut])
    for place in generator(1, "flips").integers(0, len(data), 400):
        damaged = bytearray(data)
        damaged[place] ^= 0x41
        try:
            mesh = read_glb(bytes(damaged))
        except Reject as reject:
            assert reject.reason in ("bad_glb", "bad_texture")
        else:
            assert mesh.faces.max() < len(mesh.vertices)


def _head(data: bytes) -> dict:
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length])
