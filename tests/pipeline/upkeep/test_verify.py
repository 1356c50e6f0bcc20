"""A whole run passes, and no changed byte goes unnoticed."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.formats.pack import PackReader, write_pack
from pipeline.formats.shard_index import INDEX_FORMAT
from pipeline.manifest import Record
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.state.files import write_state
from pipeline.upkeep import repair
from pipeline.upkeep.verify import verify_run

OFF = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """archives, prepared and voxels of two shapes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mirror").mkdir()
    with zipfile.ZipFile(tmp_path / "mirror/ModelNet10.zip", "w") as archive:
        for number in (1, 2):
            archive.writestr(f"ModelNet10/chair/train/chair_000{number}.off", OFF)
    settings = ["--settings", '{"source": "modelnet10", "mirrors": ["mirror"], "shards": 1}']
    out = tmp_path / "results"
    assert main(["fetch", "--dataset", "d", *settings, "-o", f"{out}/archives/d.json"]) == 0
    assert (
        main(
            [
                "index",
                "--dataset",
                "d",
                "--seed",
                "1",
                *settings,
                "--archives",
                f"{out}/archives/d.json",
                "-o",
                f"{out}/index/d",
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "prepare",
                "--settings",
                '{"source": "modelnet10"}',
                "--archives",
                f"{out}/archives/d.json",
                "--shard",
                f"{out}/index/d/000.tsv",
                "-o",
                f"{out}/prepared/d/000.zip",
            ]
        )
        == 0
    )
    with write_pack(out / "voxels/d/000.zip", ".binvox") as pack:
        pack.add(Record("d/chair/chair_0001", "chair", "chair_0001", "train"), b"#binvox 1\n" * 20)
    return out


def check(results: Path) -> int:
    return verify_run(results, log=Log(None))


def test_a_whole_run_passes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(results)]) == 0
    assert "4 files, no problems" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["prepared/d/000.zip", "voxels/d/000.zip"])
def test_no_flipped_byte_goes_unnoticed(results: Path, name: str) -> None:
    path = results / name
    whole = path.read_bytes()
    for place in generator(1, "verify", name).integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(bytes(damaged))
        assert check(results) == 1, f"byte {place}"


def test_an_exchanged_archive_a_lost_mesh_and_a_stranger_are_named(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("mirror/ModelNet10.zip", "ab") as file:
        file.write(b"more")
    prepared = results / "prepared/d/000.zip"
    pack = PackReader(prepared)
    first, second = ((record, pack.payload(record)) for record in pack.records)
    with write_pack(prepared, ".glb") as out:
        out.add(first[0], second[1] + b"x")
        out.add(second[0], None)
    with zipfile.ZipFile(prepared, "a") as archive:
        archive.writestr("chair/stranger.glb", b"x")
    assert check(results) == 1
    told = capsys.readouterr().err
    for text in (
        "ModelNet10.zip is not what was fetched",
        "chair_0001 is not the mesh of its record",
        "chair_0002.glb is missing",
        "stranger.glb is without a record",
    ):
        assert text in told


def test_a_lost_archive_is_named(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree("mirror")
    assert check(results) == 1
    assert "is not there any more" in capsys.readouterr().err


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        check(tmp_path / "gone")
    with pytest.raises(UserError, match="nothing to verify"):
        check(tmp_path)


def test_without_snakemake_the_next_command_is_said(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "_snakemake", list)
    path = results / "prepared/d/000.zip"
    path.write_bytes(path.read_bytes()[:-50])
    assert main(["verify", str(results), "--repair", "--", "--cores", "3"]) == 1
    said = capsys.readouterr().err
    assert "snakemake results/prepared/d/000.zip --cores 3" in said
    assert not path.exists() and repair.aside(path).exists()


def test_missing_is_what_a_finished_data_set_had(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = results / "shards/d/index.json"
    index.parent.mkdir(parents=True)
    shards = [
        {"file": f"{n:03d}.h5", "count": 1, "counts": {}, "rejects": 0, "bytes": 1, "fingerprint": "", "sha256": "0"}
        for n in (0, 1)
    ]
    head = {"format": INDEX_FORMAT, "dataset": "d", "kind": "composite", "views": 1, "size_px": 8, "resolution": 16}
    more = {"categories": ["chair"], "counts": {}, "attributes": {}, "digest": "0"}
    write_state(index, {**head, **more, "shards": shards})
    shutil.rmtree(results / "voxels")
    assert check(results) == 1
    said = capsys.readouterr().err
    for name in ("prepared/d/001.zip", "shards/d/000.h5", "shards/d/001.h5"):
        assert f"missing: {results / name}" in said
    assert "voxels" not in said, "a stage that is gone altogether was removed to save space"
    assert "verify --repair" in said
