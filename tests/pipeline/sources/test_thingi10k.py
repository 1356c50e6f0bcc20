"""Thingi10K: files of things, a licence each; what is broken in them is a line of the ledger."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.manifest import read_rejects, shapes_from_tsv
from pipeline.settings.datasets import Dataset
from tests.pipeline.sources.releases import CHAIR, TABLE, listed, mesh_of, prepared, table, write

FILES = [
    [101, 9, "Creative Commons - Attribution - Share Alike", "https://x.example/a.STL"],
    [102, 9, "Creative Commons - Attribution - Share Alike", "https://x.example/b.obj"],
    [103, 8, "Attribution - Non-Commercial - Share Alike", "https://x.example/c.stl"],
    [104, 7, "Public Domain", "https://x.example/d.stl"],
]
THINGS = [
    [9, "2011", "None", "None", "Holly&#039;s chair ", "anna", "Creative Commons - Attribution - Share Alike"],
    [8, "2012", "household", "", "Table", "bert", "Attribution - Non-Commercial - Share Alike"],
    [7, "2013", "toys-and-games", "", "Nothing", "cora", "Public Domain"],
]
SUMMARY, CONTEXT = "metadata/input_summary.csv", "metadata/contextual_data.csv"


def release(folder: Path) -> Path:
    """Four files of three things, one of them empty, and one that no table names."""
    files = {
        "Thingi10K/raw_meshes/101.stl": bytes(mesh_of(CHAIR).export(file_type="stl")),
        "Thingi10K/raw_meshes/102.obj": mesh_of(TABLE).export(file_type="obj").encode(),
        "Thingi10K/raw_meshes/103.stl": bytes(mesh_of(TABLE).export(file_type="stl"))[:-60],
        "Thingi10K/raw_meshes/104.stl": b"",
        "Thingi10K/raw_meshes/105.stl": bytes(mesh_of(TABLE).export(file_type="stl")),
        "Thingi10K/readme.txt": b"",
        SUMMARY: table(["ID", "Thing ID", "License", "Link"], FILES).encode(),
        CONTEXT: table(["Thing ID", "Date", "Category", "Sub-category", "Name", "Author", "License"], THINGS).encode(),
    }
    return write(folder, files)


def test_every_file_has_its_licence_and_its_fate(tmp_path: Path) -> None:
    dataset = Dataset(source="thingi10k", mirrors=(str(release(tmp_path / "m")),), shards=1, max_rejected_percent=50)
    rows = prepared(tmp_path, dataset)
    assert {key[2:]: (row.stage, row.reason, row.licence) for key, row in rows.items()} == {
        "uncategorised/101": ("prepare", "", "by-sa"),
        "uncategorised/102": ("prepare", "", "by-sa"),
        "household/103": ("prepare", "truncated", ""),
        "toys_and_games/104": ("index", "empty", ""),
        "uncategorised/105": ("prepare", "", "unknown"),
    }
    assert rows["d/uncategorised/101"].credit == '"Holly\'s chair" by anna, https://www.thingiverse.com/thing:9'


def test_files_of_one_thing_are_in_one_split_and_a_licence_is_chosen(tmp_path: Path) -> None:
    release(tmp_path / "m")
    found = set()
    for seed in range(10):
        dataset = Dataset(
            source="thingi10k",
            mirrors=(str(tmp_path / "m"),),
            licences=("by-sa",),
            val_percent=30,
            test_percent=30,
            shards=1,
        )
        lists = shapes_from_tsv((listed(tmp_path, dataset, seed) / "000.tsv").read_text())
        assert {shape.name for shape in lists} == {"101", "102"}
        (split,) = {shape.split for shape in lists}
        found.add(split)
    assert found == {"train", "val", "test"}
    assert {reject.reason for reject in read_rejects(tmp_path / "index")} == {"licence"}


def test_the_tar_gives_the_same_lists(tmp_path: Path) -> None:
    plain = release(tmp_path / "m")
    write(tmp_path / "t", {name: (plain / name).read_bytes() for name in (SUMMARY, CONTEXT)})
    with tarfile.open(tmp_path / "t/Thingi10K.tar.gz", "w:gz") as archive:
        archive.add(plain / "Thingi10K", "Thingi10K")
    lists = []
    for place in ("m", "t"):
        dataset = Dataset(source="thingi10k", mirrors=(str(tmp_path / place),), shards=1)
        lists.append((listed(tmp_path / f"of-{place}", dataset) / "000.tsv").read_text())
    assert lists[0] == lists[1]


@pytest.mark.parametrize(("name", "text"), [(SUMMARY, "ID,Thing ID\n"), (CONTEXT, "Thing ID\n")])
def test_a_table_without_a_column_is_named(tmp_path: Path, name: str, text: str) -> None:
    write(release(tmp_path / "m"), {name: text.encode()})
    with pytest.raises(UserError, match="(?s)cannot read a table of Thingi10K.*no column"):
        listed(tmp_path, Dataset(source="thingi10k", mirrors=(str(tmp_path / "m"),)))
