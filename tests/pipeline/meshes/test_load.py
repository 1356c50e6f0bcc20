"""Every format gives the same triangles, and a model sees nothing outside its root."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member, load_mesh
from pipeline.meshes.normalise import normalise
from pipeline.seeds import generator

OFF = b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"
OBJ = b"mtllib model.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nusemtl a\nf 1/1 2/1 3/1\n"


def picture_bytes(side: int = 4, colour: tuple[int, int, int] = (10, 200, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, "PNG")
    return out.getvalue()


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(files: dict[str, bytes]) -> zipfile.ZipFile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return zipfile.ZipFile(out)


def corners(mesh) -> np.ndarray:
    """Triangles in an order that does not depend on the file format."""
    t = np.asarray(mesh.triangles).reshape(-1, 9)
    return np.sort(np.round(t, 5), axis=0)


@pytest.mark.parametrize("suffix", ["off", "obj", "ply", "stl", "glb"])
def test_every_format_gives_the_same_triangles(tmp_path: Path, suffix: str) -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    path = tmp_path / f"ball.{suffix}"
    data = ball.export(file_type=suffix)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    assert np.allclose(corners(load_mesh(path)), corners(ball), atol=1e-4)


def test_scene_transforms_are_applied_and_materials_kept_apart(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    for shift, colour in ((0.0, (255, 0, 0, 255)), (5.0, (0, 0, 255, 255))):
        box = trimesh.creation.box()
        box.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(baseColorFactor=np.array(colour, dtype=np.uint8))
        )
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([shift, 0, 0]))
    path = tmp_path / "two.glb"
    path.write_bytes(scene.export(file_type="glb"))
    mesh = load_mesh(path)
    left = mesh.triangles[..., 0].max(axis=1) < 1
    looks = [mesh.materials[i].colour for i in mesh.material_of_face]
    assert {look for look, here in zip(looks, left) if here} == {(255, 0, 0, 255)}
    assert {look for look, here in zip(looks, left) if not here} == {(0, 0, 255, 255)}
    assert mesh.vertices[:, 0].max() == pytest.approx(5.5)


def test_stl_and_ply_without_colours_are_neutral_grey(tmp_path: Path) -> None:
    for suffix in ("stl", "ply"):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(trimesh.creation.box().export(file_type=suffix))
        assert load_mesh(path).materials[0].colour == (178, 178, 178, 255)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pictures_beside_the_models_folder_are_found_inside_the_root(tmp_path: Path, kind: str) -> None:
    files = {
        "id/models/model.obj": OBJ,
        "id/models/model.mtl": b"newmtl a\nmap_Kd ../images/t.png\n",
        "id/images/t.png": picture_bytes(),
    }
    of = Files.of_folder(tree(tmp_path, files) / "id") if kind == "folder" else Files.of_zip(zipped(files), "id/")
    loaded = load_member("models/model.obj", of)
    assert loaded.mesh.materials[0].texture[0, 0].tolist() == [10, 200, 30, 255]
    assert (loaded.missing_textures, loaded.refused) == ([], [])


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/secret.png", "C:/secret.png", "link.png"])
def test_nothing_outside_the_root_is_read(tmp_path: Path, name: str) -> None:
    tree(
        tmp_path,
        {"secret.png": picture_bytes(), "id/m/model.obj": OBJ, "id/m/model.mtl": f"newmtl a\nmap_Kd {name}\n".encode()},
    )
    (tmp_path / "id/m/link.png").symlink_to(tmp_path / "secret.png")
    loaded = load_member("m/model.obj", Files.of_folder(tmp_path / "id"))
    assert loaded.mesh.materials[0].texture is None
    assert loaded.missing_textures or loaded.refused


def test_missing_and_damaged_pictures_are_noted_by_name(tmp_path: Path) -> None:
    mtl = b"newmtl a\nmap_Kd gone.png\nnewmtl b\nmap_Kd broken.png\n"
    tree(tmp_path, {"model.obj": OBJ, "model.mtl": mtl, "broken.png": picture_bytes()[:40]})
    loaded = load_member("model.obj", Files.of_folder(tmp_path))
    assert loaded.missing_textures == ["broken.png", "gone.png"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.off", b"", "empty"),
        ("a.obj", b" \n\n", "empty"),
        ("a.off", OFF[:30], "truncated"),
        ("a.stl", b"not a solid at all", "malformed|no_faces"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n", "malformed|no_faces"),
        ("a.glb", b"glTF\x02\0\0\0\xff\xff\0\0junk", "truncated"),
        ("a.gltf", b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "../x.bin", "byteLength": 4}]}', "no_faces"),
        ("a.xyz", b"1 2 3", "unknown_format"),
    ],
)
def test_a_bad_file_has_a_typed_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Reject, match=reason):
        load_mesh(tree(tmp_path, {name: data}) / name)


def test_a_missing_file_has_a_reason_too(tmp_path: Path) -> None:
    with pytest.raises(Reject, match="missing_mesh"):
        load_mesh(tmp_path / "gone.obj")


def test_a_damaged_zip_member_is_a_rejected_shape() -> None:
    data = bytearray(zipped({"a.off": OFF}).fp.getvalue())
    data[data.index(b"OFF\n4") + 10] ^= 0xFF
    with pytest.raises(Reject, match="bad_member"):
        load_member("a.off", Files.of_zip(zipfile.ZipFile(io.BytesIO(bytes(data)))))


def test_real_shapenet_models_of_both_layouts(shared_data: Path) -> None:
    v1 = zipfile.ZipFile(shared_data / "shapenet/ShapeNetCore.v1/03001627.zip")
    chair = load_member("model.obj", Files.of_zip(v1, "03001627/21bfb150cfc23accb01c58badc8bbc39/"), texture_px=128)
    assert chair.missing_textures == []
    assert sum(material.texture is not None for material in chair.mesh.materials) == 2
    theirs = trimesh.load(
        io.BytesIO(v1.read("03001627/21bfb150cfc23accb01c58badc8bbc39/model.obj")),
        file_type="obj",
        process=False,
        force="mesh",
        skip_materials=True,
    )
    assert np.allclose(corners(chair.mesh), corners(theirs), atol=1e-4)

    lost = load_member(
        "models/model_normalized.obj", Files.of_folder(shared_data / "nasty/shapenet_v2_missing_textures")
    )
    assert len(lost.missing_textures) == 5
    assert min(max(m.colour[:3]) for m in lost.mesh.materials if m.name.startswith("material_1_")) > 0


def test_a_model_without_its_obj_is_refused(shared_data: Path) -> None:
    with pytest.raises(Reject, match="missing_mesh"):
        load_member("model.obj", Files.of_folder(shared_data / "nasty/mtl_without_obj"))


def test_glued_headers_are_read(shared_data: Path) -> None:
    plain = zipfile.ZipFile(shared_data / "modelnet/ModelNet10.zip")
    mesh = load_mesh(shared_data / "nasty/modelnet_glued_header/chair_0002.off")
    same = load_member("chair_0002.off", Files.of_zip(plain, "ModelNet10/chair/train/")).mesh
    assert np.array_equal(mesh.triangles, same.triangles)


@pytest.mark.parametrize("suffix", ["off", "obj", "ply", "stl", "glb"])
def test_any_cut_flip_or_splice_is_a_typed_reason_or_a_valid_mesh(tmp_path: Path, suffix: str) -> None:
    whole = trimesh.creation.icosphere(subdivisions=1).export(file_type=suffix)
    whole = whole.encode() if isinstance(whole, str) else whole
    rng = generator(1, "fuzz", suffix)
    for round_ in range(90):
        data = bytearray(whole)
        if round_ % 3 == 0:
            data = data[: rng.integers(len(data))]
        elif round_ % 3 == 1:
            for place in rng.integers(0, min(400, len(data)), 2):
                data[place] = rng.integers(256)
        else:
            cut, source = rng.integers(0, len(data), 2)
            data[cut:cut] = data[source : source + 100]
        path = tree(tmp_path, {f"{round_}.{suffix}": bytes(data)}) / f"{round_}.{suffix}"
        try:
            mesh, _, _ = normalise(load_mesh(path), np.eye(3), max_faces=10_000)
        except Reject as reject:
            assert reject.reason
        else:
            assert np.abs(mesh.vertices).max() <= 0.5
            assert mesh.faces.max() < len(mesh.vertices)
