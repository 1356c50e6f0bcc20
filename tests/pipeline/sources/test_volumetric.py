"""3DShapeNets' voxels go through as they are, and their surface shows the same shape."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import trimesh

from pipeline.errors import Reject
from pipeline.formats.binvox import read_binvox
from pipeline.formats.pack import PackReader
from pipeline.manifest import Shape, read_rejects, shapes_from_tsv
from pipeline.meshes.glb import read_glb
from pipeline.meshes.surface import surface_of
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset, ImportVoxelsSettings, PrepareSettings
from pipeline.settings.voxels import Voxels
from pipeline.sources.volumetric import VOLUMETRIC, read_instance
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.import_voxels import import_voxels
from pipeline.stages.index import index_dataset
from pipeline.stages.prepare import prepare_shard, prepare_voxels
from pipeline.workflow.plan import Plan
from voxelize.shard import run as voxelize

NO_LOG = Log(None)


def chair() -> np.ndarray:
    """(30, 30, 30) in the files' axes: Z up, the back at +X, an arm at +Y only."""
    grid = np.zeros((30, 30, 30), dtype=np.int8)
    grid[5:24, 6:24, 12:15] = 1
    grid[21:24, 6:24, 12:27] = 1
    grid[5:24, 21:24, 12:20] = 1
    for x in (5, 21):
        for y in (6, 21):
            grid[x : x + 3, y : y + 3, 3:12] = 1
    return grid


def mat(grid: np.ndarray) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, {"instance": grid}, do_compression=True)
    return out.getvalue()


def pack_of(folder: Path, members: dict[str, bytes]) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "volumes.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(f"3DShapeNets/volumetric_data/{name}", data)
    return Dataset(source="volumetric", mirrors=(str(folder),), shards=1)


def index(folder: Path, dataset: Dataset) -> list[Shape]:
    fetch_dataset("d", dataset, folder / "d.json", log=NO_LOG)
    index_dataset("d", dataset, folder / "d.json", folder / "index", seed=1, log=NO_LOG)
    return shapes_from_tsv((folder / "index/000.tsv").read_text())


def test_an_object_is_one_shape_and_strays_are_reported(tmp_path: Path) -> None:
    data = mat(chair())
    members = {f"chair/30/train/chair_{number:09d}_{pose}.mat": data for number in (1, 2) for pose in range(1, 13)}
    members |= {f"chair/30/test/chair_000000003_{pose}.mat": data for pose in range(1, 13)}
    members |= {f"chair/30/train/night_stand_000000112_{pose}.mat": data for pose in range(1, 13)}
    members["chair/30/train/chair_000000009_2.mat"] = data
    shapes = index(tmp_path, pack_of(tmp_path / "m", members))
    assert [shape.name for shape in shapes] == ["chair_000000001", "chair_000000002", "chair_000000003"]
    assert all(shape.member.endswith("_1.mat") for shape in shapes)
    assert shapes[2].split == "test"
    assert [r.reason for r in read_rejects(tmp_path / "index")] == ["missing_pose", "stray"]


def test_poses_are_shapes_where_that_is_asked_for_and_share_the_split_of_their_object(tmp_path: Path) -> None:
    """And move none of the shapes that are there without them, whatever the split."""
    data = mat(chair())
    names = [f"chair/30/{'train' if number % 3 else 'test'}/chair_{number:09d}" for number in range(12)]
    dataset = pack_of(tmp_path / "m", {f"{name}_{pose}.mat": data for name in names for pose in (1, 2, 12)})
    for split in ("official", "hash"):
        changes = {"split": split, "val_percent": 30.0}
        one = index(tmp_path / split / "one", dataset.model_copy(update=changes))
        all_poses = index(tmp_path / split / "all", dataset.model_copy(update={**changes, "poses": 12}))
        assert (len(one), len(all_poses)) == (12, 36)
        assert {shape.name: shape.split for shape in one}.items() <= {s.name: s.split for s in all_poses}.items()
        splits = {(shape.name[: len("chair_000000000")], shape.split) for shape in all_poses}
        assert len(splits) == 12 and len({split for _, split in splits}) >= 2
        assert {shape.member[-6:] for shape in all_poses if shape.name.endswith("_12")} == {"12.mat"}
    two = index(tmp_path / "two", dataset.model_copy(update={"poses": 2}))
    assert len(two) == 24
    with pytest.raises(ValueError, match="`poses` is for 'volumetric'"):
        Dataset(source="modelnet10", poses=12)


def test_the_published_voxels_reach_the_binvox_upright_and_unchanged(tmp_path: Path) -> None:
    index(tmp_path, pack_of(tmp_path / "m", {"chair/30/train/chair_000000001_1.mat": mat(chair())}))
    voxels, settings = tmp_path / "v.zip", ImportVoxelsSettings(source="volumetric")
    import_voxels(settings, tmp_path / "d.json", tmp_path / "index/000.tsv", voxels, log=NO_LOG)
    pack = PackReader(voxels)
    grid = read_binvox(pack.payload(pack.records[0])).grid
    assert grid.sum() == chair().sum()
    # World axes: +Y up, the back at +Z, and what is at the files' +Y is at +X: no mirror.
    assert np.array_equal(grid[1:-1, 1:-1, 1:-1], chair().transpose(1, 2, 0).astype(bool))
    centre = (np.argwhere(grid) + 0.5) / 32 - 0.5
    top = centre[centre[:, 1] > 0.1]
    assert top[:, 2].mean() > 0.1
    facts = pack.records[0].facts["voxelize"]
    assert (facts["mode"], facts["resolution"], facts["occupied"]) == ("given", 32, chair().sum())


def test_voxels_are_imported_at_their_own_size_and_made_from_the_surface_at_others() -> None:
    def plan(resolution: int) -> Plan:
        return Plan({"datasets": {"d": {"source": "volumetric"}}, "voxels": {"resolution": resolution}})

    assert plan(32).graph.imported("voxels") == ["d"] and plan(64).graph.imported("voxels") == []
    assert plan(32).graph.prepared == ["d"] and plan(32).graph.imported("views") == []


def test_another_resolution_is_made_from_the_surface(tmp_path: Path) -> None:
    index(tmp_path, pack_of(tmp_path / "m", {"chair/30/train/chair_000000001_1.mat": mat(chair())}))
    prepared, voxels = tmp_path / "p.zip", tmp_path / "v.zip"
    prepare_shard(PrepareSettings(source="volumetric"), tmp_path / "d.json", tmp_path / "index/000.tsv", prepared)
    voxelize(Voxels(resolution=64), prepared, voxels, None)
    pack = PackReader(voxels)
    fine = read_binvox(pack.payload(pack.records[0])).grid
    coarse = np.pad(chair(), 1).transpose(1, 2, 0).astype(bool)
    agree = fine.reshape(32, 2, 32, 2, 32, 2).mean(axis=(1, 3, 5)) >= 0.5
    assert (agree & coarse).sum() / (agree | coarse).sum() > 0.9


def test_the_placement_leads_from_a_voxel_to_its_place_in_the_world() -> None:
    shape = Shape("d", "c", "n", "train", "a.zip!b")
    grid = np.pad(chair(), 1).transpose(1, 2, 0).astype(bool)
    record, payload = prepare_voxels(shape, grid, VOLUMETRIC.to_world)
    placement = record.facts["prepare"]["placement"]
    rotation = np.array(placement["rotation"]).reshape(3, 3)
    voxels = np.argwhere(np.pad(chair(), 1))
    world = voxels @ rotation.T * placement["scale"] + placement["translation"]
    low, high = read_glb(payload).vertices.min(axis=0), read_glb(payload).vertices.max(axis=0)
    assert np.allclose(world.min(axis=0) - 0.5 / 32, low, atol=1e-6)
    assert np.allclose(world.max(axis=0) + 0.5 / 32, high, atol=1e-6)


def test_a_solid_box_has_its_own_volume_but_for_the_rounded_edges() -> None:
    grid = np.zeros((32, 32, 32), dtype=bool)
    grid[4:28, 8:24, 10:22] = True
    mesh = surface_of(grid)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(24 * 16 * 12 / 32**3, rel=0.03)
    assert np.allclose(
        solid.bounds, [[4 / 32 - 0.5, 8 / 32 - 0.5, 10 / 32 - 0.5], [28 / 32 - 0.5, 0.25, 22 / 32 - 0.5]]
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (mat(chair())[:100], "malformed"),
        (mat(chair()[:20]), "bad_voxels"),
        (mat(chair() * 2), "bad_voxels"),
        (mat(chair() * 0.5), "bad_voxels"),
        (mat(chair() * np.nan), "bad_voxels"),
        (mat(chair() * 0), "empty"),
    ],
    ids=["nothing", "cut", "smaller", "of two", "of a half", "no numbers", "nowhere occupied"],  # a .mat holds its time
)
def test_damaged_files_have_their_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        read_instance(data)
    assert caught.value.reason == reason


def test_the_real_chairs(shared_data: Path, tmp_path: Path) -> None:
    dataset = Dataset(source="volumetric", mirrors=(str(shared_data / "volumetric"),), shards=1)
    shapes = index(tmp_path, dataset)
    assert len(shapes) == 711
    rejects = read_rejects(tmp_path / "index")
    assert [(r.shape_id, r.reason) for r in rejects] == [("d/chair/night_stand_000000112", "stray")]
    from pipeline.sources.base import Archives

    with Archives.load(tmp_path / "d.json") as archives:
        tops = []
        for shape in shapes[:40]:
            grid = VOLUMETRIC.voxels(archives, shape)
            centre = (np.argwhere(grid) + 0.5) / 32 - 0.5
            tops.append(centre[centre[:, 1] > np.quantile(centre[:, 1], 0.85)].mean(axis=0) - centre.mean(axis=0))
    assert np.mean(tops, axis=0)[2] > 0.1  # upright, and the backs at +Z: the fronts look to -Z
    assert abs(np.mean(tops, axis=0)[0]) < 0.02
