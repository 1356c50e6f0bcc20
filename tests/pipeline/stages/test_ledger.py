"""Every shape has one line, whatever became of it, and too many refused ones stop the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.errors import UserError, run_command
from pipeline.formats.ledger import Row, funnel, read_ledger, reasons, to_tsv
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record, Rejection
from pipeline.stages.ledger import collect_files, enforce_limit

BAD = b"OFF\n3 1 0\n0 0 0\n1 0 0\n"
GOOD = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four shapes of a folder: one without content, one cut off, one that the voxelizer refuses, one good."""
    monkeypatch.chdir(tmp_path)
    for name, data in {"empty": b"", "cut": BAD, "thin": GOOD, "good": GOOD}.items():
        path = tmp_path / f"mine/chair/{name}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    dataset = '{"source": "folder", "path": "mine", "shards": 1, "max_rejected_percent": 80}'
    settings = ["--settings", dataset]
    run("fetch", "--dataset", "d", *settings, "-o", "archives/d.json")
    run("index", "--dataset", "d", "--seed", "1", *settings, "--archives", "archives/d.json", "-o", "index/d")
    run(
        "prepare",
        "--settings",
        '{"source": "folder"}',
        "--archives",
        "archives/d.json",
        "--shard",
        "index/d/000.tsv",
        "-o",
        "prepared/d/000.zip",
    )
    with write_pack("voxels/d/000.zip", ".binvox") as pack:
        pack.add(Record("d/chair/good", "chair", "good", "train", {"voxelize": {}}), b"")
        pack.reject(Rejection("d/chair/thin", "voxelize", "no_voxels", "nothing inside"))
    return tmp_path


def collected(world: Path) -> list[Row]:
    return collect_files(world / "index/d", [world / "prepared/d/000.zip", world / "voxels/d/000.zip"])


def run(*arguments: str) -> None:
    assert main(arguments) == 0


def test_each_shape_has_one_line_with_its_fate(world: Path) -> None:
    rows = {row.shape_id.split("/")[-1]: row for row in collected(world)}
    assert {name: (row.stage, row.status, row.reason) for name, row in rows.items()} == {
        "empty": ("index", "rejected", "empty"),
        "cut": ("prepare", "rejected", "truncated"),
        "thin": ("voxelize", "rejected", "no_voxels"),
        "good": ("voxelize", "accepted", ""),
    }


def test_the_order_of_the_packs_does_not_matter(world: Path) -> None:
    packs = [world / "prepared/d/000.zip", world / "voxels/d/000.zip"]
    index = world / "index/d"
    assert collect_files(index, packs) == collect_files(index, packs[::-1])


def test_the_funnel_adds_up(world: Path) -> None:
    rows = collected(world)
    table = funnel(rows)
    assert table["index"] == {"entered": 4, "passed": 3, "rejected": 1}
    assert table["prepare"] == {"entered": 3, "passed": 2, "rejected": 1}
    assert table["voxelize"] == {"entered": 2, "passed": 1, "rejected": 1}
    assert table["render"] == {"entered": 0, "passed": 0, "rejected": 0}
    assert sum(reasons(rows).values()) == 3


def test_a_table_comes_back_as_it_was(world: Path) -> None:
    rows = collected(world)
    (world / "again.tsv").write_text(to_tsv(rows), encoding="utf-8")
    assert read_ledger(world / "again.tsv") == rows


def test_too_many_refused_shapes_are_an_error_that_names_them(world: Path) -> None:
    rows = collected(world)
    enforce_limit(rows, 75.0, "d")
    with pytest.raises(UserError, match=r"3 of 4 \(75.0 %\)") as caught:
        enforce_limit(rows, 74.9, "d")
    assert "d/chair/cut" in str(caught.value)
    assert "max_rejected_percent" in str(caught.value)


def test_the_command_writes_the_table_before_it_fails(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "ledger",
        "--dataset",
        "d",
        "--index",
        "index/d",
        "--packs",
        "prepared/d/000.zip",
        "-o",
        "d.tsv",
        "--settings",
    ]
    assert run_command(lambda: main([*arguments, '{"source": "folder", "path": "mine"}'])) == 1
    assert "too many shapes of data set 'd' were refused" in capsys.readouterr().err
    assert len((world / "d.tsv").read_text().splitlines()) == 5
