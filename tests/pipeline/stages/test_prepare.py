"""A prepared mesh fills the unit box, stands upright, and every repair is counted."""

from __future__ import annotations

import json
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.conventions import MARGIN, SHAPENET_V1_TO_WORLD, UP_AXIS_TO_WORLD
from pipeline.errors import Reject
from pipeline.formats.pack import PackReader
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.meshes.glb import read_glb
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.normalise import normalise, turned
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.datasets import Dataset, PrepareSettings
from pipeline.sources.base import source_of
from pipeline.stages import prepare
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset
from pipeline.stages.prepare import prepare_shape

LIMIT = 1000
BOX = np.array([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 1.0) for z in (0.0, 0.5)])
TOP = np.array([[1, 3, 7], [1, 7, 5]])
ROTATIONS = [*UP_AXIS_TO_WORLD.values(), SHAPENET_V1_TO_WORLD, turned(np.eye(3), 30.0)]


def random_mesh(seed: int, count: int = 30) -> Mesh:
    rng = generator(seed, "prepare")
    return Mesh(rng.normal(size=(count, 3)) * rng.uniform(1e-3, 1e3), rng.integers(0, count, (3 * count, 3)))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), which=st.integers(0, len(ROTATIONS) - 1))
def test_the_result_fills_the_unit_box_and_the_placement_leads_there(seed: int, which: int) -> None:
    mesh = random_mesh(seed)
    placed, placement, repairs = normalise(mesh, ROTATIONS[which], max_faces=LIMIT)
    low, high = placed.vertices.min(axis=0), placed.vertices.max(axis=0)
    assert np.allclose(low + high, 0, atol=1e-6)
    assert (high - low).max() == pytest.approx(1 - 2 * MARGIN, abs=1e-6)
    forward = mesh.vertices @ placement.rotation.T * placement.scale + placement.translation
    back = (placed.vertices - placement.translation) / placement.scale @ placement.rotation
    nearest = np.abs(back[:, None] - mesh.vertices[None]).max(axis=2).min(axis=1)
    assert (nearest * placement.scale).max() < 1e-6
    assert np.abs(forward).max() < 0.5 * 1.01 or repairs["unused_vertices"] > 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_preparing_twice_changes_nothing(seed: int) -> None:
    once, _, _ = normalise(random_mesh(seed), np.eye(3), max_faces=LIMIT)
    twice, placement, repairs = normalise(once, np.eye(3), max_faces=LIMIT)
    assert placement.scale == pytest.approx(1.0, abs=1e-6)
    assert np.allclose(once.triangles, twice.triangles, atol=1e-6)
    assert repairs["duplicate_faces"] == repairs["merged_vertices"] == repairs["unused_vertices"] == 0


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_rotations_are_proper(rotation: np.ndarray) -> None:
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_yaw_turns_counter_clockwise_seen_from_above() -> None:
    # Seen from +Y with +X to the right, -Z is up on the page; a quarter turn brings +X there.
    assert np.allclose(turned(np.eye(3), 90.0) @ [1, 0, 0], [0, 0, -1])


def test_each_repair_is_counted() -> None:
    vertices = np.vstack([BOX, BOX[1], [[9.0, 9.0, 9.0]]])
    faces = np.vstack([TOP, TOP[:1, ::-1], [[8, 3, 7]], [[0, 0, 1]], [[1, 1, 1]]])
    mesh, _, repairs = normalise(Mesh(vertices, faces), np.eye(3), max_faces=LIMIT)
    assert repairs["degenerate_faces"] == 2
    assert repairs["duplicate_faces"] == 2  # one turned round, one by an equal vertex of another number
    assert repairs["unused_vertices"] == 5
    assert repairs["merged_vertices"] == 1
    assert len(mesh.faces) == 2


def test_of_equal_faces_one_with_a_picture_stays() -> None:
    picture = np.full((2, 2, 4), 255, np.uint8)
    faces = np.concatenate([TOP, TOP[:, ::-1]])
    mesh = Mesh(BOX, faces, np.array([0, 0, 1, 0]), [Material(), Material(texture=picture)], uv=np.zeros((8, 2)))
    placed, _, repairs = normalise(mesh, np.eye(3), max_faces=LIMIT)
    assert repairs["duplicate_faces"] == 2
    assert [placed.materials[number].texture is not None for number in placed.material_of_face] == [False, True]


def test_of_equal_faces_the_first_keeps_its_material() -> None:
    looks = [Material((255, 0, 0, 255)), Material((0, 0, 255, 255))]
    mesh = Mesh(BOX, np.vstack([TOP, TOP]), np.array([0, 0, 1, 1]), looks)
    placed, _, _ = normalise(mesh, np.eye(3), max_faces=LIMIT)
    assert placed.material_of_face.tolist() == [0, 0]


def test_seams_survive_where_there_are_textures() -> None:
    looks = [Material(texture=np.zeros((2, 2, 4), dtype=np.uint8))]
    vertices, uv = np.vstack([BOX, BOX]), np.vstack([np.zeros((8, 2)), np.ones((8, 2))])
    mesh = Mesh(vertices, np.vstack([TOP[:1], TOP[1:] + 8]), None, looks, uv)
    placed, _, repairs = normalise(mesh, np.eye(3), max_faces=LIMIT)
    assert repairs["merged_vertices"] == 0
    assert placed.uv[placed.faces].tolist() == [[[0, 0]] * 3, [[1, 1]] * 3]


def test_unusable_uvs_and_invisible_materials_are_repaired() -> None:
    looks = [Material((1, 2, 3, 0), np.zeros((2, 2, 4), dtype=np.uint8))]
    uv = np.full((8, 2), np.nan)
    placed, _, repairs = normalise(Mesh(BOX, TOP, None, looks, uv), np.eye(3), max_faces=LIMIT)
    assert repairs["bad_uv"] == 4
    assert repairs["invisible_materials"] == 1
    assert placed.materials[0].colour == (1, 2, 3, 255)
    assert looks[0].colour[3] == 0  # the input is left alone


@pytest.mark.parametrize(
    ("vertices", "faces", "reason"),
    [
        (BOX, np.zeros((0, 3), dtype=np.int64), "no_faces"),
        (BOX, TOP + 5, "bad_index"),
        (BOX, TOP - 2, "bad_index"),
        (BOX * np.nan, TOP, "not_finite"),
        (np.where(BOX == 2, np.inf, BOX), TOP, "not_finite"),
        (BOX * 0, TOP, "bad_extent"),
        (BOX * 1e200, TOP, "bad_extent"),
        (BOX * [1, 0, 0], TOP, "no_area"),
        (BOX, np.tile(TOP, (LIMIT, 1)), "too_many_faces"),
    ],
)
def test_what_cannot_be_used_has_a_reason(vertices: np.ndarray, faces: np.ndarray, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        normalise(Mesh(vertices, faces), np.eye(3), max_faces=LIMIT)
    assert caught.value.reason == reason


def test_a_bad_vertex_that_no_face_uses_does_no_harm() -> None:
    vertices = BOX.copy()
    vertices[0] = np.nan
    placed, _, _ = normalise(Mesh(vertices, TOP), np.eye(3), max_faces=LIMIT)
    assert np.isfinite(placed.vertices).all()


def _prepared(data: Path, archive: str, prefix: str, member: str, source: str) -> Mesh:
    files = Files.of_zip(zipfile.ZipFile(data / archive), prefix)
    shape = Shape("d", "c", "n", "train", f"{archive}!{prefix}{member}")
    record, payload = prepare_shape(shape, member, files, PrepareSettings(source=source), source_of(source).to_world)
    assert record.facts["prepare"]["faces"] > 0
    return read_glb(payload)


@pytest.mark.parametrize(
    ("archive", "prefix", "member", "source"),
    [
        ("modelnet/ModelNet10.zip", "ModelNet10/chair/test/", "chair_0890.off", "modelnet10"),
        ("modelnet/ModelNet10.zip", "ModelNet10/chair/train/", "chair_0001.off", "modelnet10"),
        (
            "shapenet/ShapeNetCore.v1/03001627.zip",
            "03001627/21bfb150cfc23accb01c58badc8bbc39/",
            "model.obj",
            "shapenet_v1",
        ),
    ],
)
def test_real_chairs_of_every_source_stand_upright_and_face_minus_z(
    shared_data: Path, archive: str, prefix: str, member: str, source: str
) -> None:
    mesh = _prepared(shared_data, archive, prefix, member, source)
    triangles = mesh.triangles
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    centre, height = triangles.mean(axis=1), mesh.vertices[:, 1]
    top = centre[:, 1] > height.max() - 0.25 * np.ptp(height)
    # A chair's uppermost quarter is its back, behind the middle of the whole.
    assert np.average(centre[top, 2], weights=area[top]) > 0.1
    assert abs(np.average(centre[top, 0], weights=area[top])) < 0.05


def test_a_real_car_and_airplane_have_their_length_along_z(shared_data: Path) -> None:
    car = _prepared(
        shared_data,
        "shapenet/ShapeNetCore.v2/02958343.zip",
        "02958343/2cbe6850de4fa5a34a6a7ab072f22d7d/",
        "models/model_normalized.obj",
        "shapenet_v2",
    )
    assert np.ptp(car.vertices, axis=0).argmax() == 2
    plane = _prepared(
        shared_data,
        "shapenet/ShapeNetCore.v1/02691156.zip",
        "02691156/1caa02b831cccff090baeef8ba5b93e5/",
        "model.obj",
        "shapenet_v1",
    )
    tail = plane.vertices[plane.vertices[:, 1] > plane.vertices[:, 1].max() - 0.03]
    assert tail[:, 2].min() > 0.3


def hungry_glb() -> bytes:
    """Three vertices by their header, two thousand million by their accessor: zeros that need no bytes in the file."""
    head = json.dumps(
        {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "buffers": [{"byteLength": 36}],
            "bufferViews": [{"buffer": 0, "byteLength": 36}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "accessors": [{"componentType": 5126, "count": 2_000_000_000, "type": "VEC3"}],
        }
    ).encode()
    head += b" " * (-len(head) % 4)
    return b"".join(
        [
            b"glTF",
            struct.pack("<II", 2, 64 + len(head)),
            struct.pack("<II", len(head), 0x4E4F534A),
            head,
            struct.pack("<II", 36, 0x004E4942),
            bytes(36),
        ]
    )


def test_one_hostile_file_costs_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    (tmp_path / "mine/chair").mkdir(parents=True)
    for name, data in {"a.off": good, "b.glb": hungry_glb(), "c.off": good, "slow.off": good}.items():
        (tmp_path / "mine/chair" / name).write_bytes(data)
    settings, log = Dataset(source="folder", path=str(tmp_path / "mine"), shards=1), Log(None)
    fetch_dataset("d", settings, tmp_path / "d.json", log=log)
    index_dataset("d", settings, tmp_path / "d.json", tmp_path / "index", seed=1, log=log)
    ours = prepare.prepare_shape
    monkeypatch.setattr(prepare, "SECONDS_PER_SHAPE", 1.0)
    monkeypatch.setattr(
        prepare, "prepare_shape", lambda shape, *rest: time.sleep(60) if shape.name == "slow" else ours(shape, *rest)
    )
    prepare.prepare_shard(
        PrepareSettings(source="folder"), tmp_path / "d.json", tmp_path / "index/000.tsv", tmp_path / "p.zip"
    )
    pack = PackReader(tmp_path / "p.zip")
    assert [record.name for record in pack.records] == ["a", "c"]
    assert [(r.shape_id, r.reason) for r in pack.rejects] == [("d/chair/b", "too_large"), ("d/chair/slow", "timeout")]
