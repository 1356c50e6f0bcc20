"""Shapes are found, split and sharded the same way every time, and none is lost silently."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.manifest import Shape, read_rejects, shapes_from_tsv
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset

OFF = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
NO_LOG = Log(None)


def modelnet_zip(folder: Path, count: int = 40, extra: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "ModelNet10.zip", "w") as archive:
        archive.writestr("__MACOSX/ModelNet10/chair/train/._chair_0000.off", b"litter")
        archive.writestr("ModelNet10/README.txt", b"words")
        for category in ("chair", "night_stand"):
            for number in range(count):
                split = "test" if number % 4 == 0 else "train"
                archive.writestr(f"ModelNet10/{category}/{split}/{category}_{number:04d}.off", OFF)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return folder


def run(tmp_path: Path, dataset: Dataset, seed: int = 1, name: str = "d") -> list[Shape]:
    record, output = tmp_path / "archives" / f"{name}.json", tmp_path / "index" / name
    fetch_dataset(name, dataset, record, log=NO_LOG)
    index_dataset(name, dataset, record, output, seed=seed, log=NO_LOG)
    return [shape for path in sorted(output.glob("*.tsv")) for shape in shapes_from_tsv(path.read_text(), str(path))]


def modelnet(folder: Path, **settings: object) -> Dataset:
    return Dataset.model_validate({"source": "modelnet10", "mirrors": [str(folder)], **settings})


def test_the_official_test_split_is_kept_and_validation_is_carved_out_of_train(tmp_path: Path) -> None:
    shapes = run(tmp_path, modelnet(modelnet_zip(tmp_path / "m"), val_percent=30))
    assert len(shapes) == 80
    by_split = {split: {s.key for s in shapes if s.split == split} for split in ("train", "val", "test")}
    assert by_split["test"] == {f"{c}/{c}_{n:04d}" for c in ("chair", "night_stand") for n in range(0, 40, 4)}
    assert by_split["val"]
    assert by_split["train"]


def test_a_split_by_hash_passes_over_the_official_one(tmp_path: Path) -> None:
    archive = modelnet_zip(tmp_path / "m")
    official = {s.key: s.split for s in run(tmp_path / "a", modelnet(archive))}
    hashed = {s.key: s.split for s in run(tmp_path / "b", modelnet(archive, split="hash", test_percent=40))}
    assert hashed.keys() == official.keys()
    moved = {key for key in hashed if (hashed[key] == "test") != (official[key] == "test")}
    assert len(moved) > 10
    assert 0.2 < sum(split == "test" for split in hashed.values()) / len(hashed) < 0.6


def test_more_shapes_move_none_of_the_old_ones(tmp_path: Path) -> None:
    few = run(tmp_path / "a", modelnet(modelnet_zip(tmp_path / "m", 20)))
    many = {s.key: s.split for s in run(tmp_path / "b", modelnet(modelnet_zip(tmp_path / "n", 40)))}
    assert all(many[shape.key] == shape.split for shape in few)


def test_a_larger_limit_only_adds(tmp_path: Path) -> None:
    folder = modelnet_zip(tmp_path / "m")
    few = {s.key for s in run(tmp_path / "a", modelnet(folder, shapes_per_category=5))}
    more = {s.key for s in run(tmp_path / "b", modelnet(folder, shapes_per_category=9))}
    assert (len(few), len(more)) == (10, 18)
    assert few < more


def test_a_small_sample_has_its_own_share_of_refused_shapes(tmp_path: Path) -> None:
    extra = {f"ModelNet10/chair/train/empty_{n}.off": b"" for n in range(20)}
    folder = modelnet_zip(tmp_path / "m", extra=extra)
    assert len(run(tmp_path, modelnet(folder, shapes_per_category=8))) == 16
    assert 0 < len(read_rejects(tmp_path / "index/d")) < 12
    run(tmp_path / "all", modelnet(folder))
    assert len(read_rejects(tmp_path / "all/index/d")) == 20


def test_every_shape_is_in_exactly_one_shard_and_a_second_run_changes_no_file(tmp_path: Path) -> None:
    settings = modelnet(modelnet_zip(tmp_path / "m"), shards=7)
    assert len({s.key for s in run(tmp_path, settings)}) == len(run(tmp_path, settings)) == 80
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*") if path.is_file()}
    run(tmp_path, settings)
    assert files == {path: path.stat().st_mtime_ns for path in files}


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    extra = {
        "ModelNet10/chair/train/empty.off": b"",
        "ModelNet10/chair/test/chair_0001.off": OFF,  # the same name as in train
        "ModelNet10/chair/train/../../evil.off": OFF,
        "ModelNet10/chair/train/a:b.off": OFF,
    }
    shapes = run(tmp_path, modelnet(modelnet_zip(tmp_path / "m", extra=extra)))
    rejects = {r.reason: r for r in read_rejects(tmp_path / "index/d")}
    assert len(shapes) == 80
    assert set(rejects) == {"empty", "duplicate_name", "unsafe_name"}
    assert rejects["empty"].shape_id == "d/chair/empty"
    assert "chair_0001.off beside" in rejects["duplicate_name"].detail


def test_an_unknown_category_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown category 'chiar'; did you mean 'chair'"):
        run(tmp_path, modelnet(modelnet_zip(tmp_path / "m"), categories=["chiar"]))
    assert {s.category for s in run(tmp_path, modelnet(tmp_path / "m", categories=["Night Stand"]))} == {"night_stand"}


def test_a_zip_of_another_layout_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with zipfile.ZipFile(tmp_path / "m/ModelNet10.zip", "w") as archive:
        archive.writestr("something/else.txt", b"x")
    with pytest.raises(UserError, match="no usable shape"):
        run(tmp_path, modelnet(tmp_path / "m"))


def shapenet_files(models: int = 30) -> dict[str, bytes]:
    files = {}
    for number in range(models):
        root = f"03001627/{number:032x}"
        files[f"{root}/models/model_normalized.obj"] = OBJ
        files[f"{root}/images/texture0.jpg"] = b"picture"
    files["03001627/lost/models/model_normalized.mtl"] = b"newmtl a\n"
    return files


@pytest.mark.parametrize("packed", [True, False])
def test_shapenet_zips_and_unpacked_folders_give_the_same_shapes(tmp_path: Path, packed: bool) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for name, data in shapenet_files().items():
        if packed:
            with zipfile.ZipFile(folder / "03001627.zip", "a") as archive:
                archive.writestr(name, data)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    rows = f"id,synsetId,subSynsetId,modelId,split\n000000,03001627,03001627,{3:032x},val\n"
    (folder / "all.csv").write_text(rows)
    shapes = run(tmp_path, Dataset(source="shapenet_v2", mirrors=(str(folder),), categories=("chair",)))
    assert {s.name: s.split for s in shapes}[f"{3:032x}"] == "val"
    assert {s.category for s in shapes} == {"chair"}
    assert len(shapes) == 30
    assert [r.reason for r in read_rejects(tmp_path / "index/d")] == ["missing_mesh"]


def test_an_edited_texture_changes_the_identity_of_its_model_only(tmp_path: Path) -> None:
    for name, data in shapenet_files(2).items():
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    settings = Dataset(source="shapenet_v2", mirrors=(str(tmp_path / "s"),))
    before = {s.name: s.checksum for s in run(tmp_path, settings)}
    (tmp_path / f"s/03001627/{1:032x}/images/texture0.jpg").write_bytes(b"another picture")
    after = {s.name: s.checksum for s in run(tmp_path, settings)}
    assert [name for name in before if before[name] != after[name]] == [f"{1:032x}"]


def test_the_taxonomy_names_what_the_table_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    with zipfile.ZipFile(folder / "03179701.zip", "w") as archive:
        archive.writestr("03179701/a/model.obj", OBJ)
    (folder / "taxonomy.json").write_text(json.dumps([{"synsetId": "03179701", "name": "desk,writing table"}]))
    assert run(tmp_path, Dataset(source="shapenet_v1", mirrors=(str(folder),)))[0].category == "desk"


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    for name, data in {
        "mine/chair/a.obj": OBJ,
        "mine/chair/old/b.OFF": OFF,
        "mine/chair/a.mtl": b"",
        "mine/stray.off": OFF,
        "mine/desk/c.off": OFF,
        "mine/lamp/only.mtl": b"newmtl a\n",
        "mine/splits.csv": b"shape,split\nchair/a,test\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    settings = Dataset(source="folder", path=str(tmp_path / "mine"), shards=1)
    shapes = {s.key: s for s in run(tmp_path, settings)}
    assert set(shapes) == {"chair/a", "chair/old-b", "desk/c"}
    assert shapes["chair/a"].split == "test"
    assert sorted(r.reason for r in read_rejects(tmp_path / "index/d")) == ["missing_mesh", "no_category"]


def test_a_bad_split_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine/chair").mkdir(parents=True)
    (tmp_path / "mine/chair/a.off").write_bytes(OFF)
    (tmp_path / "mine/splits.csv").write_text("shape,split\nchair/a,testing\n")
    with pytest.raises(UserError, match="cannot read the split file"):
        run(tmp_path, Dataset(source="folder", path=str(tmp_path / "mine")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "folder", "path": "/nowhere/at/all"}, "there is no such folder"),
        ({"source": "modelnet10", "mirrors": ["/nowhere/at/all"]}, "a mirror is not a folder"),
        ({"source": "shapenet_v1", "mirrors": ["."], "categories": ["chiar"]}, "unknown ShapeNet category 'chiar'"),
    ],
)
def test_wrong_places_are_named_before_anything_starts(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, Dataset.model_validate(settings))


def test_a_missing_folder_is_named_by_its_key(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(tmp_path, Dataset(source="folder", path="/nowhere/at/all"), name="mine")
    assert str(caught.value) == (
        "there is no such folder\n  where: datasets.mine.path\n  got: /nowhere/at/all\n"
        "  what to do: give the folder that has one sub-folder per category"
    )


def test_a_mirror_without_the_file_says_where_to_put_it(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(UserError, match="ModelNet10.zip is in none of the mirrors"):
        run(tmp_path, modelnet(tmp_path / "m"))


def test_the_real_samples(shared_data: Path, tmp_path: Path) -> None:
    shapes = run(tmp_path, modelnet(shared_data / "modelnet"))
    assert sorted({s.category for s in shapes}) == ["bathtub", "chair"]
    assert len(shapes) == 9
    v2 = Dataset(source="shapenet_v2", mirrors=(str(shared_data / "shapenet/ShapeNetCore.v2"),))
    assert {s.category for s in run(tmp_path, v2, name="v2")} == {"airplane", "car"}
    assert [r.reason for r in read_rejects(tmp_path / "index/v2")] == ["missing_mesh"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(["desk"], {"desk"}), (["table", "desk"], {"desk", "table"}), (["table"], {"table"}), (None, {"table"})],
)
def test_desks_are_found_inside_the_tables_by_the_split_file(
    tmp_path: Path, wanted: list[str] | None, expected: set[str]
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    with zipfile.ZipFile(folder / "04379243.zip", "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"04379243/{name}/model.obj", OBJ)
    header = "id,synsetId,subSynsetId,modelId,split\n"
    (folder / "all.csv").write_text(f"{header}0,04379243,03179701,a,train\n1,04379243,04379243,b,test\n")
    settings = {"source": "shapenet_v1", "mirrors": [str(folder)], "categories": wanted}
    shapes = run(tmp_path, Dataset.model_validate(settings))
    assert {s.category for s in shapes} == expected
    assert {(s.name, s.split) for s in shapes} <= {("a", "train"), ("b", "test")}
