"""The generated archives: real layouts, the same bytes again, and the planted faults that are documented."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pipeline.conventions import SHAPENET_V1_TO_WORLD, UP_AXIS_TO_WORLD
from pipeline.errors import Reject
from pipeline.furniture import CATEGORIES, archive, generate, make_shape
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.readers.off import read_off
from pipeline.settings.datasets import Procedural

COUNT = 14
DATASET, SEED = "demo", 5
PICTURES = (".jpg", ".png")


@pytest.fixture(scope="module")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both layouts, written once."""
    folders = {}
    for layout in ("modelnet", "shapenet"):
        folders[layout] = tmp_path_factory.mktemp(layout)
        generate(DATASET, Procedural(layout=layout, shapes_per_category=COUNT), folders[layout], seed=SEED)
    return folders


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return file.namelist()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_modelnet_members_are_named_as_the_real_ones(mirrors: dict[str, Path]) -> None:
    assert [path.name for path in mirrors["modelnet"].iterdir()] == ["ModelNetDemo.zip"]
    names = names_in(mirrors["modelnet"] / "ModelNetDemo.zip")
    meshes = [name for name in names if name.endswith(".off")]
    pattern = r"ModelNetDemo/(bed|bookshelf|chair|desk|sofa|table)/(train|test)/\1_\d{4}\.off"
    assert all(re.fullmatch(pattern, name) for name in meshes)
    assert len(meshes) == len(set(meshes)) == COUNT * len(CATEGORIES)
    tests = [name.split("/")[1] for name in meshes if "/test/" in name]
    assert all(2 <= tests.count(category) <= 3 for category in set(tests)) and len(set(tests)) == len(CATEGORIES)


def test_shapenet_members_are_named_as_the_real_ones(mirrors: dict[str, Path]) -> None:
    zips = {f"{synset}.zip" for synset in archive.SYNSETS.values()}
    assert {path.name for path in mirrors["shapenet"].iterdir()} == zips | {"taxonomy.json", "all.csv"}
    for category, synset in archive.SYNSETS.items():
        names = names_in(mirrors["shapenet"] / f"{synset}.zip")
        pattern = rf"{synset}/(([0-9a-f]{{32}})/(model\.obj|model\.mtl|images/texture\d+\.(jpg|png))?)?"
        assert all(re.fullmatch(pattern, name) for name in names)
        assert len({name.split("/")[1] for name in names if name.endswith(".mtl")}) == COUNT
        assert sum(name.endswith(".obj") for name in names) == COUNT - (category == "desk")
        assert any(name.endswith(PICTURES) for name in names)


def test_taxonomy_and_split_file_have_the_real_form(mirrors: dict[str, Path]) -> None:
    taxonomy = json.loads((mirrors["shapenet"] / "taxonomy.json").read_text())
    assert {tuple(sorted(entry)) for entry in taxonomy} == {("children", "name", "numInstances", "synsetId")}
    assert {entry["synsetId"] for entry in taxonomy} == set(archive.SYNSETS.values())
    rows = list(csv.DictReader(io.StringIO((mirrors["shapenet"] / "all.csv").read_text())))
    assert list(rows[0]) == ["id", "synsetId", "subSynsetId", "modelId", "split"]
    listed = {(row["synsetId"], row["modelId"]) for row in rows}
    stored = {
        tuple(name.split("/")[:2])
        for synset in archive.SYNSETS.values()
        for name in names_in(mirrors["shapenet"] / f"{synset}.zip")
        if name.endswith(".mtl")
    }
    assert listed == stored
    splits = [row["split"] for row in rows]
    assert 2 * 6 <= splits.count("test") <= 3 * 6 and 6 <= splits.count("val") <= 2 * 6
    assert splits.count("train") == len(rows) - splits.count("test") - splits.count("val")


@pytest.mark.parametrize("layout", ["modelnet", "shapenet"])
def test_the_same_bytes_again(layout: str, mirrors: dict[str, Path], tmp_path: Path) -> None:
    generate(DATASET, Procedural(layout=layout, shapes_per_category=COUNT), tmp_path, seed=SEED)  # type: ignore[arg-type]
    assert contents(tmp_path) == contents(mirrors[layout])


def members(folder: Path) -> dict[str, bytes]:
    """Every mesh, material and picture of all archives by its name."""
    found: dict[str, bytes] = {}
    for path in folder.glob("*.zip"):
        with zipfile.ZipFile(path) as file:
            found |= {
                name: file.read(name)
                for name in file.namelist()
                if name.endswith((".off", ".obj", ".mtl", ".jpg", ".png"))
            }
    return found


@pytest.mark.parametrize("layout", ["modelnet", "shapenet"])
def test_more_shapes_move_none_of_the_old_ones(layout: str, mirrors: dict[str, Path], tmp_path: Path) -> None:
    generate(DATASET, Procedural(layout=layout, shapes_per_category=5), tmp_path, seed=SEED)  # type: ignore[arg-type]
    few, many = members(tmp_path), members(mirrors[layout])
    assert few and few.items() <= many.items()


def test_data_sets_do_not_repeat_each_other(tmp_path: Path) -> None:
    """Other names, seeds and layouts give other shapes."""
    sizes: set[tuple[float, ...]] = set()
    plans = [("a", 1, "modelnet"), ("b", 1, "modelnet"), ("a", 2, "modelnet"), ("a", 1, "shapenet")]
    for name, seed, layout in plans:
        folder = tmp_path / f"{name}{seed}{layout}"
        generate(name, Procedural(layout=layout, shapes_per_category=1, nasty=False), folder, seed=seed)  # type: ignore[arg-type]
        sizes |= {proportions(member, folder) for member in members(folder) if member.endswith((".off", ".obj"))}
    assert len(sizes) == len(plans) * len(CATEGORIES)


def proportions(member: str, folder: Path) -> tuple[float, ...]:
    """Sides of the bounding box, sorted (so that the up axis does not matter), the longest being 1."""
    sides = np.sort(np.ptp(mesh_of(folder, member).vertices, axis=0))
    return tuple((sides / sides[-1]).round(4))


def mesh_of(folder: Path, member: str) -> Mesh:
    """One mesh, read as the pipeline reads it."""
    for path in folder.glob("*.zip"):
        with zipfile.ZipFile(path) as file:
            if member in file.namelist():
                prefix, _, name = member.rpartition("/")
                return load_member(name, Files.of_zip(file, prefix + "/")).mesh
    raise AssertionError(member)


def test_off_files_are_z_up_and_turn_into_the_shape(mirrors: dict[str, Path]) -> None:
    stream = archive.stream_of(DATASET, SEED, "modelnet")
    for category, index in (("chair", 0), ("sofa", 2), ("desk", 1)):
        expected = make_shape(stream, category, index)
        split = "test" if archive.is_test(stream, category, index) else "train"
        mesh = mesh_of(mirrors["modelnet"], f"ModelNetDemo/{category}/{split}/{category}_{index + 1:04d}.off")
        placed = mesh.vertices @ UP_AXIS_TO_WORLD["z"].T / archive.INCHES
        assert np.allclose(placed.min(axis=0), expected.vertices.min(axis=0), atol=1e-4)
        assert np.allclose(placed.max(axis=0), expected.vertices.max(axis=0), atol=1e-4)
        assert len(mesh.faces) == len(expected.faces)


def test_obj_files_keep_shape_materials_and_pictures(mirrors: dict[str, Path]) -> None:
    stream = archive.stream_of(DATASET, SEED, "shapenet")
    seen = 0
    for index in range(2, 8):
        expected = make_shape(stream, "sofa", index)
        name = archive.model_id(stream, "sofa", index)
        mesh = mesh_of(mirrors["shapenet"], f"04256520/{name}/model.obj")
        placed, wanted = mesh.triangles.mean(axis=1) @ SHAPENET_V1_TO_WORLD.T, expected.triangles.mean(axis=1)
        assert np.allclose(np.sort(placed, axis=0), np.sort(wanted, axis=0), atol=2e-5)
        assert (mesh.uv is not None) == any(m.texture is not None for m in expected.materials)
        for texture in (m.texture for m in expected.materials if m.texture is not None):
            # JPEG changes pixels a little, never the mean.
            means = [m.texture[..., :3].mean() for m in mesh.materials if m.texture is not None]
            assert min(abs(mean - texture[..., :3].mean()) for mean in means) < 3
            seen += 1
    assert seen


# ---------------------------------------------------------------- planted faults


def off_member(category: str, index: int) -> str:
    name = archive.ARCHIVE_NAMES.get(category, category)
    split = "test" if archive.is_test(archive.stream_of(DATASET, SEED, "modelnet"), category, index) else "train"
    return f"ModelNetDemo/{name}/{split}/{name}_{index + 1:04d}.off"


def obj_member(category: str, index: int) -> str:
    name = archive.model_id(archive.stream_of(DATASET, SEED, "shapenet"), category, index)
    return f"{archive.SYNSETS[category]}/{name}/model.obj"


def test_modelnet_plants_are_where_the_docstring_says(mirrors: dict[str, Path]) -> None:
    files = members(mirrors["modelnet"])
    glued = {name for name, payload in files.items() if not payload.startswith(b"OFF\n")}
    assert glued == {off_member(category, index) for category in CATEGORIES for index in (3, 10)}
    refused = {}
    for name, payload in files.items():
        try:
            read_off(payload, name)
        except Reject as reject:
            refused[name] = reject.reason
    assert refused == {off_member(*archive.EMPTY): "no_faces", off_member(*archive.TRUNCATED): "truncated"}


def test_shapenet_plants_are_where_the_docstring_says(mirrors: dict[str, Path]) -> None:
    files = members(mirrors["shapenet"])
    assert obj_member(*archive.NO_OBJ) not in files
    refused: dict[str, str] = {}
    for name in (name for name in files if name.endswith(".obj")):
        try:
            mesh_of(mirrors["shapenet"], name)
        except Reject as reject:
            refused[name] = reject.reason
    assert refused == {obj_member(*archive.EMPTY): "no_faces", obj_member(*archive.TRUNCATED): "truncated"}
    untextured = obj_member(*archive.NO_TEXTURE).removesuffix("model.obj")
    assert b"map_Kd images/texture0.jpg" in files[untextured + "model.mtl"]
    assert not any(name.startswith(untextured + "images") for name in files)


@pytest.mark.parametrize(("layout", "member"), [("modelnet", off_member), ("shapenet", obj_member)])
def test_doubled_and_flipped_faces(layout: str, member: Callable[[str, int], str], mirrors: dict[str, Path]) -> None:
    stream = archive.stream_of(DATASET, SEED, layout)
    clean = make_shape(stream, *archive.DOUBLED)
    assert len(mesh_of(mirrors[layout], member(*archive.DOUBLED)).faces) == 2 * len(clean.faces)
    flipped, sound = mesh_of(mirrors[layout], member(*archive.FLIPPED)), mesh_of(mirrors[layout], member("sofa", 3))
    assert not trimesh.Trimesh(flipped.vertices, flipped.faces).is_winding_consistent
    assert trimesh.Trimesh(sound.vertices, sound.faces).is_winding_consistent


def test_without_plants_everything_is_readable(tmp_path: Path) -> None:
    generate(DATASET, Procedural(layout="modelnet", shapes_per_category=10, nasty=False), tmp_path, seed=SEED)
    files = members(tmp_path)
    assert all(payload.startswith(b"OFF\n") for payload in files.values())
    assert all(len(read_off(payload, name)[1]) for name, payload in files.items())


def test_pictures_in_archives_open(mirrors: dict[str, Path]) -> None:
    pictures = {
        name: payload for name, payload in members(mirrors["shapenet"]).items() if name.endswith((".jpg", ".png"))
    }
    assert {name.rpartition(".")[2] for name in pictures} == {"jpg", "png"}
    for payload in pictures.values():
        with Image.open(io.BytesIO(payload)) as picture:
            assert picture.size == (128, 128) and picture.mode == "RGB"
