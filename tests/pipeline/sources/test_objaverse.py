"""Objaverse: only what categories and licences choose is fetched, and each object's licence stays with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox
from pipeline.formats.pack import PackReader
from pipeline.manifest import read_rejects, shapes_from_tsv
from pipeline.settings.config import check
from pipeline.settings.datasets import Dataset
from pipeline.shards import open_shard
from pipeline.sources.objects.licences import code_of
from pipeline.stages.fetch import fetch_dataset, located
from pipeline.stages.index import index_dataset
from tests.pipeline.sources.releases import CHAIR, NO_LOG, TABLE, glb, ledger, listed, packed, served, through, write

LICENCES = {"c0": "by", "c1": "cc0", "c2": "by-nc", "c3": "by", "t0": "by-sa", "both": "by"}
CATEGORIES = {"chair": ["c0", "c1", "c2", "c3", "both"], "armchair": ["both"], "table": ["t0"], "lamp": ["l0"]}


def uid(name: str) -> str:
    return f"{name:0<32}"


def release(folder: Path, lost: tuple[str, ...] = ()) -> Path:
    """Five chairs, one of which is an armchair too, a table, a lamp without a file; in two folders of objects."""
    paths, metadata, files = {}, {"000-000": {}, "000-001": {}}, {}
    for number, (name, licence) in enumerate(LICENCES.items()):
        place = f"000-{number % 2:03d}"
        paths[uid(name)] = f"glbs/{place}/{uid(name)}.glb"
        author: dict[str, Any] = {"username": f"u{number}", "displayName": f"Author {number}"}
        about = {"name": f"Piece {name}", "license": licence, "user": author, "viewerUrl": f"https://x.example/{name}"}
        metadata[place][uid(name)] = about
        if name not in lost:
            boxes = TABLE if name == "t0" else CHAIR
            files[paths[uid(name)]] = glb(boxes, (200, 60 + 30 * number, 40))
    files |= {f"metadata/{place}.json.gz": packed(objects) for place, objects in metadata.items()}
    files["object-paths.json.gz"] = packed(paths)
    files["lvis-annotations.json.gz"] = packed({key: [*map(uid, names)] for key, names in CATEGORIES.items()})
    return write(folder, files)


def test_only_the_chosen_are_fetched_and_an_interrupted_fetch_goes_on(tmp_path: Path) -> None:
    with served(release(tmp_path / "hub", lost=("c3",))) as (address, asked):
        dataset = Dataset(
            source="objaverse", mirrors=(address,), categories=("chair",), licences=("by", "cc0"), shards=1
        )
        listed(tmp_path, dataset)
        meshes = {Path(path).stem.rstrip("0") for path in asked if path.endswith(".glb")}
        assert meshes == {"c", "c1", "c3", "both"}  # c0 loses its zero here; no table, nothing non-commercial
        rejects = {r.shape_id.split("/")[2][:2]: r.reason for r in read_rejects(tmp_path / "index")}
        assert rejects == {"c2": "licence", "c3": "not_found"}

        before = len(asked)
        (tmp_path / "archives/d.json").unlink()
        (tmp_path / f"archives/d/objaverse/glbs/000-001/{uid('c1')}.glb").unlink()
        listed(tmp_path, dataset)
        assert {Path(path).stem[:2] for path in asked[before:]} == {"c1", "c3"}  # nothing twice but what is not there


def test_a_limit_fetches_as_many_and_goes_past_the_lost(tmp_path: Path) -> None:
    with served(release(tmp_path / "hub")) as (address, asked):
        dataset = Dataset(
            source="objaverse",
            mirrors=(address,),
            categories=("chair",),
            shapes_per_category=2,
            max_rejected_percent=50,
        )
        listed(tmp_path / "a", dataset)
        chosen = [path for path in asked if path.endswith(".glb")]
        assert len(chosen) == 2
        (tmp_path / "hub" / chosen[0]).unlink()
        listed(tmp_path / "b", dataset)
        for place, gone in (("a", 0), ("b", 1)):
            lists = [
                shape
                for path in (tmp_path / place / "index").glob("*.tsv")
                for shape in shapes_from_tsv(path.read_text())
            ]
            assert len(lists) == 2
            assert len(read_rejects(tmp_path / place / "index")) == gone


def test_a_choice_that_grows_has_to_be_fetched_and_one_that_stays_has_not(tmp_path: Path) -> None:
    record = tmp_path / "archives/d.json"
    with served(release(tmp_path / "hub")) as (address, _):
        dataset = Dataset(source="objaverse", mirrors=(address,), categories=("table",))
        fetch_dataset("d", dataset, record, log=NO_LOG)
        found = located("d", dataset, record, sums=ContentSums())
        assert found is not None and found[1]
        more = dataset.model_copy(update={"categories": ("table", "chair")})
        assert located("d", more, record, sums=ContentSums()) is None
        (tmp_path / f"archives/d/objaverse/glbs/000-000/{uid('t0')}.glb").unlink()
        assert located("d", dataset, record, sums=ContentSums()) is None


def test_a_web_page_in_place_of_an_object_ends_the_fetch(tmp_path: Path) -> None:
    with served(release(tmp_path / "hub")) as (address, _):
        (tmp_path / f"hub/glbs/000-000/{uid('c0')}.glb").write_bytes(b"<html>busy</html>")
        dataset = Dataset(source="objaverse", mirrors=(address,), categories=("chair",))
        with pytest.raises(UserError, match="(?s)cannot download glbs/.*web page"):
            fetch_dataset("d", dataset, tmp_path / "archives/d.json", log=NO_LOG)
    assert not (tmp_path / "archives/d.json").exists()


def test_a_short_file_is_not_published(tmp_path: Path) -> None:
    with served(release(tmp_path / "hub")) as (address, _):
        mesh = tmp_path / f"hub/glbs/000-000/{uid('t0')}.glb"
        mesh.write_bytes(mesh.read_bytes()[:-8])
        dataset = Dataset(source="objaverse", mirrors=(address,), categories=("table",))
        with pytest.raises(UserError, match="its header says"):
            fetch_dataset("d", dataset, tmp_path / "archives/d.json", log=NO_LOG)


def test_a_cache_of_the_package_is_used_in_place(tmp_path: Path) -> None:
    release(tmp_path / "hf-objaverse-v1", lost=("c0", "c1", "both"))
    dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "hf-objaverse-v1"),), categories=("Chair",))
    listed(tmp_path, dataset)
    assert not (tmp_path / "archives/d").exists()
    rows = ledger(tmp_path, dataset)  # what its owner has not fetched is no loss
    assert sorted(row.reason for row in rows.values()) == ["", "", "not_in_mirror", "not_in_mirror", "not_in_mirror"]


def test_an_address_is_asked_for_what_a_folder_lacks(tmp_path: Path) -> None:
    release(tmp_path / "cache", lost=("c1", "c3"))
    with served(release(tmp_path / "hub")) as (address, asked):
        dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "cache"), address), categories=("chair",))
        listed(tmp_path, dataset)
    assert sorted(Path(path).stem for path in asked) == [uid("c1"), uid("c3")]
    assert read_rejects(tmp_path / "index") == []


def test_a_folder_is_copied_for_jobs_that_cannot_see_it(tmp_path: Path) -> None:
    release(tmp_path / "cache", lost=("c1",))
    dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "cache"),), categories=("chair",))
    fetch_dataset("d", dataset, tmp_path / "archives/d.json", keep=True, log=NO_LOG)
    shutil.rmtree(tmp_path / "cache")
    index_dataset("d", dataset, tmp_path / "archives/d.json", tmp_path / "index", seed=1, log=NO_LOG)
    assert {(r.shape_id, r.reason) for r in read_rejects(tmp_path / "index")} == {
        (f"d/chair/{uid('c1')}", "not_in_mirror")
    }


def test_one_object_under_two_categories_is_in_one_split(tmp_path: Path) -> None:
    release(tmp_path / "m")
    splits = set()
    for seed in range(12):
        dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "m"),), val_percent=30, test_percent=30, shards=1)
        lists = shapes_from_tsv((listed(tmp_path, dataset, seed) / "000.tsv").read_text())
        pair = {shape.split for shape in lists if shape.name == uid("both")}
        assert len(pair) == 1
        splits |= pair
    assert splits == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object-paths.json.gz": b"no gzip"}, "(?s)cannot read a table of Objaverse.*object-paths"),
        ({"lvis-annotations.json.gz": packed({"chair": ["x"]})[:-9]}, "ends in the middle"),
        ({"lvis-annotations.json.gz": packed([1])}, "JSON of type list"),
        ({"lvis-annotations.json.gz": packed({"chair": 3})}, "is no list"),
        ({"lvis-annotations.json.gz": packed({"stool": []})}, "unknown category 'chair'"),
        ({"metadata/000-001.json.gz": packed("[" * 10_000)}, "metadata/000-001"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, change: dict[str, bytes], message: str) -> None:
    write(release(tmp_path / "m"), change)
    dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "m"),), categories=("chair",))
    with pytest.raises(UserError, match=message):
        listed(tmp_path, dataset)


def test_a_path_that_leads_out_is_refused_by_name(tmp_path: Path) -> None:
    paths = {uid("c0"): f"../../{uid('c0')}.glb", uid("c1"): 7}
    write(release(tmp_path / "m"), {"object-paths.json.gz": packed(paths)})
    dataset = Dataset(source="objaverse", mirrors=(str(tmp_path / "m"),), categories=("chair",))
    with pytest.raises(UserError, match="no usable shape"):
        listed(tmp_path, dataset)
    with served(tmp_path / "m") as (address, asked), pytest.raises(UserError, match="no usable shape"):
        listed(tmp_path, dataset.model_copy(update={"mirrors": (address,)}))
    assert not any("glb" in path for path in asked)


def test_licences_reach_the_ledger_and_the_shard(tmp_path: Path) -> None:
    dataset = Dataset(
        source="objaverse", mirrors=(str(release(tmp_path / "m")),), categories=("chair", "table"), shards=1
    )
    rows = through(tmp_path, dataset)
    assert {row.shape_id[2:].rstrip("0"): row.licence for row in rows.values()} == {
        "chair/c": "by",
        "chair/c1": "cc0",
        "chair/c2": "by-nc",
        "chair/c3": "by",
        "chair/both": "by",
        "table/t": "by-sa",
    }
    row = rows[f"d/chair/{uid('c1')}"]
    assert (row.stage, row.credit) == ("render", '"Piece c1" by Author 1, https://x.example/c1')
    with open_shard(tmp_path / "000.h5") as shard:
        assert {record.facts["prepare"]["licence"] for record in shard.records} == {"by", "cc0", "by-nc", "by-sa"}
    grid = read_binvox(PackReader(tmp_path / "v.zip").payload(PackReader(tmp_path / "v.zip").records[0])).grid
    high = np.argwhere(grid[:, 24:])
    assert high[:, 2].min() > 16  # the back stands at +Z of the world: its seat looks to -Z


def test_changed_terms_make_a_shape_again(tmp_path: Path) -> None:
    dataset = Dataset(source="objaverse", mirrors=(str(release(tmp_path / "m")),), categories=("table",), shards=1)
    before = (listed(tmp_path, dataset) / "000.tsv").read_text()
    about = {uid("t0"): {"name": "Piece t0", "license": "by-nc"}}
    write(tmp_path / "m", {"metadata/000-000.json.gz": packed(about)})
    assert (listed(tmp_path, dataset) / "000.tsv").read_text() != before


def test_keys_are_checked() -> None:
    base = {"source": "objaverse", "mirrors": ["m"]}
    with pytest.raises(UserError, match=r"(?s)licences.*'cc0', 'public-domain', 'by'"):
        check({"datasets": {"o": base | {"licences": ["free"]}}})
    with pytest.raises(UserError, match="allows nothing"):
        check({"datasets": {"o": base | {"licences": []}}})
    with pytest.raises(UserError, match="one licence for all its shapes; .*objaverse"):
        check({"datasets": {"o": {"source": "modelnet10", "licences": ["by"]}}})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("by-nc-sa", "by-nc-sa"),
        ("CC-BY", "by"),
        ("Creative Commons - Attribution", "by"),
        ("Creative Commons - Attribution - Share Alike", "by-sa"),
        ("Creative Commons - Attribution - Non-Commercial", "by-nc"),
        ("Attribution - Non-Commercial - Share Alike", "by-nc-sa"),
        ("Attribution - Non-Commercial - No Derivatives", "by-nc-nd"),
        ("Creative Commons - Attribution - No Derivatives", "by-nd"),
        ("Creative Commons - Public Domain Dedication", "cc0"),
        ("Public Domain", "public-domain"),
        ("GNU - GPL", "gpl"),
        ("GNU - LGPL", "lgpl"),
        ("BSD License", "bsd"),
        ("unknown_license", "unknown"),
        (None, "unknown"),
        ("Nokia Terms", "other"),
    ],
)
def test_licences_have_short_codes(words: object, code: str) -> None:
    assert code_of(words) == code


def test_the_record_of_a_tree_is_json(tmp_path: Path) -> None:
    with served(release(tmp_path / "hub")) as (address, _):
        fetch_dataset(
            "d",
            Dataset(source="objaverse", mirrors=(address,), categories=("lamp",)),
            tmp_path / "archives/d.json",
            log=NO_LOG,
        )
    (entry,) = json.loads((tmp_path / "archives/d.json").read_text())["files"]
    assert (entry["name"], entry["root"]) == ("objaverse", "objaverse")
