"""What is written in a format's frame is read in it: an object keeps standing and facing as it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from pipeline.conventions import MARGIN
from pipeline.formats.pack import PackReader
from pipeline.meshes.export import SUFFIXES, mesh_bytes
from pipeline.meshes.frames import FRAMES, in_frame_of, to_world
from pipeline.meshes.glb import read_glb, write_glb
from pipeline.meshes.load import SUFFIXES as READ
from pipeline.meshes.load import load_mesh
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.surface import surface_of
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset, PrepareSettings
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset
from pipeline.stages.prepare import prepare_shard
from tests.pipeline.meshes.solid import fault


def chair() -> Mesh:
    """In the world's axes: the back at +Z, an arm at +X; equal to none of its turned or mirrored selves."""
    grid = np.zeros((10, 10, 10), dtype=bool)
    grid[2:8, 4, 2:8] = True
    grid[2:8, 4:9, 7] = True
    grid[7, 4:6, 2:8] = True
    for x in (2, 7):
        for z in (2, 7):
            grid[x, :4, z] = True
    return surface_of(grid)


def test_every_format_that_is_read_has_its_frame_and_no_frame_mirrors() -> None:
    assert sorted(FRAMES) == sorted(READ)
    for rotation in FRAMES.values():
        assert np.array_equal(rotation @ rotation.T, np.eye(3)) and np.linalg.det(rotation) == pytest.approx(1)


@pytest.mark.parametrize(
    ("suffix", "up", "front"),
    [
        (".glb", (0, 1, 0), (0, 0, 1)),  # glTF 2.0, section 3.4: +Y up, +Z forward, -X right
        (".gltf", (0, 1, 0), (0, 0, 1)),
        (".stl", (0, 0, 1), (0, -1, 0)),
        (".obj", (0, 1, 0), (0, 0, -1)),
        (".ply", (0, 1, 0), (0, 0, -1)),
        (".off", (0, 1, 0), (0, 0, -1)),
    ],
)
def test_up_and_front(suffix: str, up: tuple[int, ...], front: tuple[int, ...]) -> None:
    assert (to_world(suffix) @ up).tolist() == [0, 1, 0]
    assert (to_world(suffix.upper()) @ front).tolist() == [0, 0, -1]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_mesh_comes_back_as_it_stood(tmp_path: Path, suffix: str) -> None:
    mesh = chair()
    path = tmp_path / f"chair{suffix}"
    path.write_bytes(mesh_bytes(mesh, suffix))
    back = load_mesh(path)
    world = back.vertices @ to_world(suffix).T
    assert world[back.faces] == pytest.approx(mesh.triangles, abs=1e-6)
    high = {".glb": 1, ".obj": 1, ".stl": 2}[suffix]
    assert back.vertices[:, high].max() == pytest.approx(0.4), "the back's upper end is up in the file"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_program_sees_a_solid(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"chair{suffix}"
    path.write_bytes(mesh_bytes(chair(), suffix))
    theirs = trimesh.load(path, force="mesh")
    theirs.merge_vertices()
    assert theirs.is_watertight and theirs.is_winding_consistent and theirs.volume > 0
    assert fault(np.asarray(theirs.vertices), np.asarray(theirs.faces)) == ""


def test_a_viewer_that_looks_along_minus_z_sees_the_front_of_a_glb() -> None:
    """three.js, Blender and model-viewer show +Z first: there the seat is in front of the back."""
    vertices = in_frame_of(".glb", chair()).vertices
    back = vertices[vertices[:, 1] > 0.2]
    assert back[:, 2].max() < 0 < vertices[:, 2].max()
    assert vertices[np.isclose(vertices[:, 1], 0.1)][:, 0].min() < -0.2, "the arm at our +X is at their -X"


def test_the_pipelines_own_files_stay_in_the_world() -> None:
    mesh = chair()
    assert read_glb(write_glb(mesh)).vertices == pytest.approx(mesh.vertices, abs=1e-7)


def prepared(tmp_path: Path, **settings: object) -> dict[str, np.ndarray]:
    """Corners, sorted, of one chair written in every format and prepared as a folder of one's own."""
    folder = tmp_path / "mine" / "chair"
    folder.mkdir(parents=True)
    for suffix in SUFFIXES:
        (folder / f"as{suffix.replace('.', '_')}{suffix}").write_bytes(mesh_bytes(chair(), suffix))
    dataset = Dataset.model_validate({"source": "folder", "path": str(tmp_path / "mine"), "shards": 1, **settings})
    fetch_dataset("d", dataset, tmp_path / "d.json", log=Log(None))
    index_dataset("d", dataset, tmp_path / "d.json", tmp_path / "index", seed=1, log=Log(None))
    wanted = PrepareSettings.of(dataset, texture_px=64, max_faces=10**6, above_max_faces="reject")
    prepare_shard(wanted, tmp_path / "d.json", tmp_path / "index" / "000.tsv", tmp_path / "000.zip")
    pack = PackReader(tmp_path / "000.zip")
    return {record.name: corners(read_glb(pack.payload(record))) for record in pack.records}


def corners(mesh: Mesh) -> np.ndarray:
    points = np.round(mesh.triangles.reshape(-1, 3), 4) + 0.0
    return points[np.lexsort(points.T)]


def test_a_folder_of_every_format_stands_and_faces_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = prepared(tmp_path)
    assert sorted(found) == ["as_glb", "as_obj", "as_stl"]
    assert np.array_equal(found["as_glb"], found["as_obj"]) and np.array_equal(found["as_stl"], found["as_obj"])
    whole = chair()
    side = np.ptp(whole.vertices, axis=0).max()
    middle = (whole.vertices.min(axis=0) + whole.vertices.max(axis=0)) / 2
    whole.vertices = (whole.vertices - middle) * (1 - 2 * MARGIN) / side
    assert np.abs(found["as_obj"] - corners(whole)).max() < 1e-3
    assert ".glb and .stl files stand and face as docs/formats.md says" in capsys.readouterr().err


def test_what_the_configuration_says_goes_before_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = prepared(tmp_path, up_axis="y")
    half = np.round(found["as_obj"] * [-1, 1, -1], 4) + 0.0
    assert np.array_equal(found["as_glb"], half[np.lexsort(half.T)]), "a .glb is taken as it lies"
    assert not np.array_equal(found["as_glb"], found["as_obj"])
    assert "stand and face" not in capsys.readouterr().err
