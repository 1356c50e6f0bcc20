"""Meshes of too many faces are simplified where the settings say so, and keep their shape and colours."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.conventions import MARGIN, UP_AXIS_TO_WORLD
from pipeline.errors import Reject, UserError
from pipeline.formats.pack import PackReader
from pipeline.meshes.glb import read_glb, write_glb
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.normalise import normalise
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset, PrepareSettings
from pipeline.stages import prepare
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset
from pipeline.stages.ledger import collect_files
from tests.conftest import optional


@pytest.fixture(autouse=True)
def _open3d() -> None:
    optional("open3d")


def sheet(squares: int) -> Mesh:
    """A gently waved sheet of 2 * squares^2 triangles, green on its left half and red on its right by a picture."""
    side = np.linspace(0, 4, squares + 1)
    x, y = np.meshgrid(side, side, indexing="ij")
    vertices = np.stack([x, y, 0.3 * np.sin(x) * np.cos(y)], axis=-1).reshape(-1, 3)
    n = np.arange(len(vertices)).reshape(squares + 1, squares + 1)
    a, b, c, d = n[:-1, :-1], n[:-1, 1:], n[1:, :-1], n[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    picture = np.full((2, 64, 4), 255, np.uint8)
    picture[:, :32, :3], picture[:, 32:, :3] = (0, 200, 0), (200, 0, 0)
    uv = np.stack([x, y], axis=-1).reshape(-1, 2) / 4
    return Mesh(vertices, faces.astype(np.int64), None, [Material((255,) * 4, picture)], uv)


def test_shape_and_colours_stay_and_the_placement_leads_there() -> None:
    mesh = sheet(60)
    rotation = UP_AXIS_TO_WORLD["z"]
    whole, _, _ = normalise(mesh, rotation, max_faces=10**6, above="decimate")
    placed, placement, repairs = normalise(mesh, rotation, max_faces=900, above="decimate")
    assert len(whole.faces) == 7200 and 450 < len(placed.faces) <= 900
    assert repairs["decimated_faces"] == 7200 - len(placed.faces)
    assert repairs["textures_to_vertex_colours"] == 1
    low, high = placed.vertices.min(axis=0), placed.vertices.max(axis=0)
    assert (high - low).max() == pytest.approx(1 - 2 * MARGIN, abs=1e-6)
    # Back in the file's units every vertex lies on the wave it was sampled from.
    back = (placed.vertices - placement.translation) / placement.scale @ placement.rotation
    assert np.abs(back[:, 2] - 0.3 * np.sin(back[:, 0]) * np.cos(back[:, 1])).max() < 0.01
    assert placed.uv is None and placed.materials[0].texture is None
    away = np.abs(back[:, 0] - 2) > 0.2  # a face's width from the seam
    colours = np.where(back[:, :1] < 2, (0, 200, 0), (200, 0, 0))
    assert (placed.vertex_colours[away, :3] == colours[away]).all()
    assert np.array_equal(read_glb(write_glb(placed)).vertex_colours, placed.vertex_colours)


def test_materials_go_with_their_faces() -> None:
    mesh = sheet(40)
    left = mesh.vertices[mesh.faces].mean(axis=1)[:, 0] < 2
    mesh.uv, mesh.face_material = None, left.astype(np.int64)
    mesh.materials = [Material((1, 2, 3, 255)), Material((9, 8, 7, 128))]
    placed, placement, _ = normalise(mesh, np.eye(3), max_faces=500, above="decimate")
    x = ((placed.triangles.mean(axis=1) - placement.translation) / placement.scale)[:, 0]
    away = np.abs(x - 2) > 0.2
    assert (placed.material_of_face[away] == (x < 2)[away]).all()
    assert placed.vertex_colours is None
    assert [material.colour for material in placed.materials] == [(1, 2, 3, 255), (9, 8, 7, 128)]


def test_doubled_faces_are_counted_once_before_anything_is_simplified() -> None:
    mesh = sheet(20)
    mesh.faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
    placed, _, repairs = normalise(mesh, np.eye(3), max_faces=800, above="decimate")
    assert len(placed.faces) == 800
    assert repairs["duplicate_faces"] == 800 and "decimated_faces" not in repairs


def test_without_the_wish_they_are_rejected_and_without_open3d_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Reject, match="7200 faces, at most 900"):
        normalise(sheet(60), np.eye(3), max_faces=900)
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(UserError, match="the Python package open3d"):
        normalise(sheet(60), np.eye(3), max_faces=900, above="decimate")


def prepared(tmp_path: Path, squares: int, *, max_faces: int) -> PackReader:
    """The stage's own function on a folder with one large mesh and one small one."""
    mesh, folder = sheet(squares), tmp_path / "mine" / "wave"
    folder.mkdir(parents=True)
    with open(folder / "large.off", "w", encoding="ascii") as file:
        file.write(f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0\n")
        np.savetxt(file, mesh.vertices, "%.9g")
        np.savetxt(file, np.insert(mesh.faces, 0, 3, axis=1), "%d")
    (folder / "small.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    settings, log = Dataset(source="folder", path=str(tmp_path / "mine"), shards=1), Log(None)
    fetch_dataset("d", settings, tmp_path / "d.json", log=log)
    index_dataset("d", settings, tmp_path / "d.json", tmp_path / "index", seed=1, log=log)
    prepare.prepare_shard(
        PrepareSettings.of(settings, texture_px=64, max_faces=max_faces, above_max_faces="decimate"),
        tmp_path / "d.json",
        tmp_path / "index" / "000.tsv",
        tmp_path / "000.zip",
    )
    return PackReader(tmp_path / "000.zip")


def test_the_stage_records_it(tmp_path: Path) -> None:
    pack = prepared(tmp_path, 50, max_faces=1000)
    large, small = sorted(pack.records, key=lambda record: record.name)
    facts = large.facts["prepare"]
    assert facts["faces"] <= 1000
    assert facts["repairs"]["decimated_faces"] >= 4000
    assert "decimated_faces" not in small.facts["prepare"]["repairs"]
    rows = {row.shape_id: row for row in collect_files(tmp_path / "index", [tmp_path / "000.zip"])}
    assert f"decimated_faces={facts['repairs']['decimated_faces']}" in rows[large.shape_id].repairs.split()


def test_a_simplification_that_takes_too_long_costs_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "SECONDS_TO_DECIMATE", 1.0)
    monkeypatch.setattr("pipeline.meshes.decimate.decimate", lambda *_: time.sleep(60))
    pack = prepared(tmp_path, 50, max_faces=1000)
    assert [record.name for record in pack.records] == ["small"]
    assert [(reject.stage, reject.reason) for reject in pack.rejects] == [("prepare", "timeout")]


@pytest.mark.slow
def test_two_million_faces(tmp_path: Path) -> None:
    pack = prepared(tmp_path, 1010, max_faces=200_000)
    facts = next(record for record in pack.records if record.name == "large").facts["prepare"]
    assert 100_000 < facts["faces"] <= 200_000
    assert facts["repairs"]["decimated_faces"] > 1_800_000
