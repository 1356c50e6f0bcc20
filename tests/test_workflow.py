"""The real Snakefile on a tiny world: everything is built once, then only what a change asks for."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.world import World

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The user's command, once, on two generated data sets and one folder of meshes."""
    world = World(tmp_path_factory.mktemp("world"))
    make_folder(world.folder / "meshes")
    world.edit(datasets={"mine": {"source": "folder", "path": "meshes", "shards": 2, "up_axis": "z"}})
    world.run()
    return world


@pytest.fixture
def world(built: World, tmp_path: Path) -> Iterator[World]:
    """The built world with its configuration put back afterwards."""
    config = (built.folder / "config.yaml").read_text(encoding="utf-8")
    yield built
    (built.folder / "config.yaml").write_text(config, encoding="utf-8")


def make_folder(folder: Path, shapes: int = 6) -> None:
    """Boxes of different sizes, one file each, in two categories."""
    for number in range(shapes):
        path = folder / ("box" if number % 2 else "slab") / f"shape{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(box_off(1 + number, 2, 3 if number % 2 else 0.5), encoding="utf-8")


def box_off(x: float, y: float, z: float) -> str:
    corners = [(i * x, j * y, k * z) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    lines = ["OFF", "8 6 0", *(" ".join(map(str, c)) for c in corners), *(f"4 {' '.join(map(str, q))}" for q in quads)]
    return "\n".join(lines) + "\n"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


DATA = {"prepare": 1, "voxelize": 1, "render": 1, "pack": 1}


def test_everything_is_there(built: World) -> None:
    results = built.results
    for name in ("mn", "sn", "mine"):
        index = json.loads((results / "shards" / name / "index.json").read_text(encoding="utf-8"))
        assert sum(index["counts"].values()) == sum(entry["count"] for entry in index["shards"]) > 0
        assert (results / "samples" / name / "sheet.png").stat().st_size > 10_000
    scores = json.loads((results / "runs" / "tiny" / "results.json").read_text(encoding="utf-8"))
    assert scores
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "tiny" in page and "http://" not in page and "https://" not in page, "the page must be one file"


def test_nothing_half_written_is_left(built: World) -> None:
    assert list(built.results.rglob(".*tmp*")) == []


def test_planted_damage_is_in_the_ledger(built: World) -> None:
    text = "".join((built.results / "ledger" / f"{name}.tsv").read_text(encoding="utf-8") for name in ("mn", "sn"))
    assert "truncated" in text and "no_faces" in text and "missing_mesh" in text


def test_shards_read_with_plain_h5py(built: World) -> None:
    with h5py.File(next((built.results / "shards" / "sn").glob("*.h5"))) as file:
        shapes, views, side = file["images"].shape[:3]
        assert (views, side) == (3, 64) and file["voxels"].shape == (shapes, 32**3 // 8)


def test_second_run_does_nothing_and_says_so(built: World) -> None:
    done = built.run()
    assert "Nothing to be done" in done.stdout + done.stderr
    assert built.planned() == {}


def test_touching_files_rebuilds_nothing(world: World) -> None:
    for path in [world.folder / "config.yaml", *(world.folder / "meshes").rglob("*.off")]:
        path.touch()
    assert world.planned() == {}


def test_a_comment_in_the_config_rebuilds_nothing(world: World) -> None:
    with open(world.folder / "config.yaml", "a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert world.planned() == {}


def test_render_setting_re_renders_and_re_voxelizes_nothing(world: World) -> None:
    world.edit(render={"cameras": "ring"})
    planned = world.planned("shards_all", "train_all")
    assert planned["render"] == planned["pack"] == 5 and planned["train"] == 1
    assert not {"voxelize", "prepare", "generate", "fetch"} & set(planned)


def test_plain_backgrounds_pack_again_and_neither_draw_nor_want_a_bank(world: World) -> None:
    world.edit(backgrounds={"source": "none", "colour": "#20c0ff"})
    (world.results / "backgrounds" / "bank.npz").rename(world.folder / "bank.npz")
    try:
        planned = world.planned("shards_all", "samples")
    finally:
        (world.folder / "bank.npz").rename(world.results / "backgrounds" / "bank.npz")
    assert planned["pack"] == 5
    assert not {"render", "prepare", "voxelize", "rooms", "backgrounds"} & set(planned)


def test_highlights_draw_again_and_prepare_nothing(world: World) -> None:
    world.edit(render={"specular": {"strength": 0.4}})
    planned = world.planned("shards_all")
    assert planned["render"] == planned["pack"] == 5
    assert not {"prepare", "voxelize", "backgrounds"} & set(planned)


def test_voxel_setting_re_voxelizes_and_renders_nothing(world: World) -> None:
    world.edit(voxels={"mode": "binvox"})
    planned = world.planned("shards_all", "train_all")
    assert planned["voxelize"] == planned["pack"] == 5 and planned["train"] == 1
    assert not {"render", "prepare", "generate", "fetch"} & set(planned)


def test_setting_of_one_data_set_leaves_the_others_alone(world: World) -> None:
    world.edit(datasets={"sn": {"up_axis": "z"}})
    planned = world.planned("train_all")
    assert {rule: planned[rule] for rule in DATA} == DATA and planned["train"] == 1
    assert "generate" not in planned and "fetch" not in planned


def test_data_set_that_no_experiment_names_retrains_nothing(world: World) -> None:
    world.edit(datasets={"mine": {"yaw_deg": 90.0}})
    planned = world.planned("shards_all", "train_all")
    assert {rule: planned[rule] for rule in DATA} == dict.fromkeys(DATA, 2)
    assert "train" not in planned


def test_training_waits_for_the_audit(world: World) -> None:
    audit = world.results / "audits" / "mn.json"
    before = audit.read_bytes()
    audit.unlink()
    world.edit(experiments={"second": {"datasets": ["mn"], "samples": 32}})
    planned = world.planned("train_all")
    audit.write_bytes(before)
    # The finished run's job is planned too; the trainer recognises its run, as the deleted shard's test shows.
    assert planned == {"audit": 1, "train": 2}


def test_training_setting_retrains_only(world: World) -> None:
    world.edit(experiments={"tiny": {"kl_weight": 0.7}})
    assert world.planned("train_all") == {"train": 1}


def test_added_experiment_trains_alone(world: World) -> None:
    world.edit(experiments={"second": {"datasets": ["sn"], "samples": 32}})
    assert world.planned("train_all") == {"train": 1}


def test_added_data_set_builds_alone(world: World) -> None:
    shutil.copytree(world.folder / "meshes", world.folder / "more", dirs_exist_ok=True)
    world.edit(datasets={"more": {"source": "folder", "path": "more", "shards": 1}})
    planned = world.planned("shards_all", "train_all")
    assert {rule: planned[rule] for rule in DATA} == DATA and "train" not in planned


def test_edited_mesh_rebuilds_its_shard(world: World) -> None:
    path = world.folder / "meshes" / "box" / "shape1.off"
    before = path.read_text(encoding="utf-8")
    path.write_text(box_off(9, 2, 3), encoding="utf-8")
    planned = world.planned("shards_all", "train_all")
    path.write_text(before, encoding="utf-8")
    assert {rule: planned[rule] for rule in DATA} == DATA and "train" not in planned


def test_removed_mesh_rebuilds_its_shard(world: World) -> None:
    path = world.folder / "meshes" / "slab" / "shape2.off"
    before = path.read_text(encoding="utf-8")
    path.unlink()
    planned = world.planned("shards_all")
    path.write_text(before, encoding="utf-8")
    assert {rule: planned[rule] for rule in DATA} == DATA


def test_deleted_shard_comes_back_the_same_and_trains_nothing_anew(world: World) -> None:
    shard, run = world.results / "shards" / "mn" / "001.h5", world.results / "runs" / "tiny"
    before = {path: digest(path) for path in [shard, *run.rglob("*.safetensors")]}
    shard.unlink()
    assert {rule: n for rule, n in world.planned("train_all").items() if rule in DATA} == {"pack": 1}
    world.run("train_all")
    assert {path: digest(path) for path in before} == before
    assert not list(run.glob("previous-*")), "the finished run was recognised, not trained again"


def test_one_core_gives_the_same_bytes(built: World, tmp_path: Path) -> None:
    other = World(tmp_path, built.folder / "config.yaml")
    shutil.copytree(built.folder / "meshes", tmp_path / "meshes")
    other.run("shards_all", cores=1)
    paths = sorted(p.relative_to(built.results) for p in (built.results / "shards").rglob("*.h5"))
    assert {p: digest(other.results / p) for p in paths} == {p: digest(built.results / p) for p in paths}


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_runs_end_with_the_same_bytes(built: World, tmp_path: Path, kills: int) -> None:
    """kill -9 of everything at seeded moments, training included; the same command again is the only remedy."""
    other = World(tmp_path, built.folder / "config.yaml")
    shutil.copytree(built.folder / "meshes", tmp_path / "meshes")
    moments = np.random.default_rng(kills).uniform(2.0, 25.0, kills)
    survived = [seconds for seconds in moments if other.run_and_kill(seconds)]
    other.run()
    assert len(survived) < kills, "no run lived long enough to be killed"
    wanted = {path.relative_to(built.results): digest(path) for path in lasting(built.results)}
    assert {path: digest(other.results / path) for path in wanted} == wanted


def lasting(results: Path) -> list[Path]:
    """Every file that must not depend on how often a run was interrupted."""
    patterns = ("shards/*/*", "runs/*/metrics.jsonl", "runs/*/train.json", "runs/*/results.json")
    found = [path for pattern in patterns for path in results.glob(pattern)]
    return sorted([*found, *results.glob("runs/*/checkpoints/**/*.safetensors")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"render": {"size": 64}}, "unknown key `render.size`; did you mean 'size_px'?"),
        ({"voxels": {"resolution": 33}}, "`voxels.resolution`"),
        ({"experiments": {"tiny": {"datasets": ["m"]}}}, "unknown data set 'm'; did you mean 'mn'?"),
        ({"datasets": {"mine": {"source": "folder", "path": "nowhere"}}}, "there is no such folder"),
    ],
)
def test_wrong_configuration_stops_before_any_job(world: World, change: dict[str, object], message: str) -> None:
    world.edit(**change)
    done = world.run(check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and message in text and "Traceback" not in text


def test_a_second_run_names_the_first(built: World) -> None:
    import fcntl

    with open(built.results / ".run.lock", "r+", encoding="utf-8") as lock:
        lock.write(json.dumps({"pid": 4242, "host": "node7", "since": "2016-10-24 12:00:00"}))
        lock.truncate()
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = built.run(check=False)
    assert done.returncode != 0 and "process 4242 on node7, since 2016-10-24 12:00:00" in done.stdout + done.stderr
