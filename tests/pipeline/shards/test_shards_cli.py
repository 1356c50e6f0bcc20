"""The command line looks into shards, checks them and takes them apart."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from pipeline.conventions import pack_grid, unpack_grid
from pipeline.errors import UserError, run_command
from pipeline.formats.binvox import read_binvox
from pipeline.pictures.bank import open_bank
from pipeline.shards import create, open_shard, verify_shard
from pipeline.shards.command import main
from pipeline.shards.index import write_index
from pipeline.shards.sheet import voxel_pictures
from tests.pipeline.shards.helpers import aligned_arrays, arrays, l_shape, record, write_shard, write_test_bank


def run(*arguments: object) -> int:
    return run_command(lambda: main([str(argument) for argument in arguments]))


def test_info_shows_what_is_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", write_shard(tmp_path / "000.h5")) == 0
    shown = capsys.readouterr().out
    assert "8 (train 4, val 2, test 2), 1 rejected" in shown
    assert all(part in shown for part in ("composite", "3 of 16 px", "chair, table", "8 x 3 x 16 x 16"))
    assert run("info", "--json", tmp_path / "000.h5") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shapes"] == {"train": 4, "val": 2, "test": 2} and facts["categories"] == ["chair", "table"]
    assert facts["fields"]["images"]["shape"] == [8, 3, 16, 16, 3]


def test_verify_goes_on_after_a_damaged_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [write_shard(tmp_path / f"{n}.h5", numbers=range(n * 4, n * 4 + 4)) for n in range(3)]
    write_index(paths, tmp_path / "index.json")
    for level in ("quick", "full"):
        assert run("verify", tmp_path / "index.json", "--level", level) == 0
        assert f"verify {level}: 3 of 3 shards are whole" in capsys.readouterr().err
    content = paths[1].read_bytes()
    at = content.index(arrays("composite", 6)["voxels"].tobytes())
    paths[1].write_bytes(content[:at] + bytes([content[at] ^ 8]) + content[at + 1 :])
    assert run("verify", tmp_path / "index.json", "--log", tmp_path / "log.jsonl") == 1
    shown = capsys.readouterr().err
    assert f"{paths[1]}: voxels: demo/chair/chair_0006" in shown and "2 of 3 shards are whole" in shown
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["event"] == "damaged"
    assert run("verify", *paths) == 1


def test_verify_sees_a_file_that_is_whole_but_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that no dataset owns: only the hash of the whole file sees them."""
    path = write_shard(tmp_path / "0.h5")
    write_index([path], tmp_path / "index.json")
    path.write_bytes(path.read_bytes() + b"more")
    assert run("verify", tmp_path / "index.json") == 1
    assert "not the file that was indexed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (None, ""),
        ("turn", "(?s)makes no sense.*voxels: demo/chair/chair_0001: the voxels do not fit the silhouettes"),
        ("mirror", "the voxels do not fit the silhouettes"),
        ("empty", "chair_0001: the grid is empty"),
        ("solid", "chair_0001: the grid is solid"),
        ("blank", "alpha: demo/chair/chair_0001: view 2: the view shows nothing"),
        ("pose", "camera_to_world: demo/chair/chair_0001: view 1: the camera is not a rigid one"),
    ],
)
def test_deep_verification_finds_nonsense(tmp_path: Path, spoil: str | None, message: str) -> None:
    grid = l_shape()
    stored = {"turn": np.rot90(grid, 1, (0, 2)), "mirror": grid[::-1], "empty": grid & False, "solid": grid | True}
    good, bad = aligned_arrays(0, grid), {**aligned_arrays(1, grid), "voxels": pack_grid(stored.get(spoil or "", grid))}
    if spoil == "blank":
        bad["alpha"][2] = 0
    if spoil == "pose":
        bad["camera_to_world"][1, 0, 0] *= -1
    with create(tmp_path / "0.h5", "composite", count=2, views=3, size_px=48, resolution=16, attributes={}) as shard:
        shard.append(record(0), **good)
        shard.append(record(1), **bad)
    with open_shard(tmp_path / "0.h5") as written:
        if spoil is None:
            assert verify_shard(written, "deep") > 0
            return
        with pytest.raises(UserError, match=message):
            verify_shard(written, "deep")


@pytest.mark.parametrize("kind", ["renders", "composite", "layers"])
@pytest.mark.parametrize("form", ["folders", "webdataset"])
def test_export_gives_back_every_bit(tmp_path: Path, kind: str, form: str) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    path, out = write_shard(tmp_path / "000.h5", kind), tmp_path / "out"
    assert run("export", path, "-o", out, "--format", form, "--bank", bank) == 0
    if form == "folders":
        files = {
            p.relative_to(out / "table/table_0003").as_posix(): p.read_bytes()
            for p in (out / "table/table_0003").iterdir()
        }
        binvox, facts = "model.binvox", "shape.json"
    else:
        with tarfile.open(out / "000.tar") as tar:
            members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
        files = {n.split(".", 1)[1]: data for n, data in members.items() if n.startswith("table/table_0003.")}
        binvox, facts = "binvox", "json"
    stored = arrays(kind, 3)
    with open_shard(path) as shard:
        pictures = stored["rgba"] if kind == "renders" else shard.images(3, open_bank(bank))
    for view in range(3):
        np.testing.assert_array_equal(np.asarray(Picture.open(io.BytesIO(files[f"{view:02d}.png"]))), pictures[view])
        if kind == "composite":
            alpha = np.asarray(Picture.open(io.BytesIO(files[f"{view:02d}.alpha.png"])))
            np.testing.assert_array_equal(alpha, stored["alpha"][view])
    if kind != "renders":
        np.testing.assert_array_equal(read_binvox(files[binvox]).grid, unpack_grid(stored["voxels"], 16))
    found = json.loads(files[facts])
    assert found["shape_id"] == "demo/table/table_0003"
    np.testing.assert_array_equal(found["views"]["camera_to_world"], stored["camera_to_world"])


def test_export_as_jpeg_and_in_equal_bytes(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "000.h5")
    for name in ("a", "b"):
        assert run("export", path, "-o", tmp_path / name, "--format", "webdataset", "--jpeg", "95") == 0
    assert (tmp_path / "a/000.tar").read_bytes() == (tmp_path / "b/000.tar").read_bytes()
    with tarfile.open(tmp_path / "a/000.tar") as tar:
        assert "chair/chair_0000.00.jpg" in tar.getnames()


def test_two_shapes_never_get_one_key(tmp_path: Path) -> None:
    """WebDataset ends a key at the first dot, so dots become underscores."""
    names = ["a.b", "a_b", "a.b.c"]
    with create(tmp_path / "0.h5", "renders", count=3, views=3, size_px=16, attributes={}) as shard:
        for row, name in enumerate(names):
            one = record(row)
            one.category, one.name, one.shape_id = "chair", name, f"demo/chair/{name}"
            shard.append(one, **arrays("renders", row))
    assert run("export", tmp_path / "0.h5", "-o", tmp_path / "out", "--format", "webdataset") == 0
    with tarfile.open(tmp_path / "out/0.tar") as tar:
        keys = {member.partition(".")[0] for member in tar.getnames()}
        assert len(keys) == len(names) and len(set(tar.getnames())) == len(tar.getnames())


@pytest.mark.parametrize("form", ["folders", "webdataset"])
def test_names_in_every_script_are_exported(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_shard(tmp_path / "000.h5", categories=("Stühle", "椅子"))
    assert run("export", path, "-o", tmp_path / "out", "--format", form) == 0
    if form == "folders":
        assert (tmp_path / "out/椅子/椅子_0001/model.binvox").is_file()
    else:
        with tarfile.open(tmp_path / "out/000.tar") as tar:
            assert "Stühle/Stühle_0000.binvox" in tar.getnames()
    assert run("info", path) == 0
    assert "Stühle, 椅子" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["folders", "webdataset"])
@pytest.mark.parametrize("name", ["..", "a/../../b", "a\0b", "a\x1b[2J", "a\u202eb"])
def test_export_stays_in_its_folder(name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = record(0)
    evil.category = name
    with create(tmp_path / "0.h5", "renders", count=1, views=3, size_px=16, attributes={}) as shard:
        shard.append(evil, **arrays("renders", 0))
    assert run("export", tmp_path / "0.h5", "-o", tmp_path / "a" / "out", "--format", form) == 1
    assert list(tmp_path.rglob("*.png")) == list(tmp_path.rglob("*.tar")) == []
    assert "a name cannot become a folder" in capsys.readouterr().err
    assert run("export", tmp_path / "0.h5", "-o", tmp_path, "--jpeg", 0) == 1
    assert "not a JPEG quality" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["renders", "composite", "layers"])
def test_sheet(tmp_path: Path, kind: str) -> None:
    path = write_shard(tmp_path / "000.h5", kind)
    assert run("sheet", path, "-o", tmp_path / "sheet.png", "--shapes", 5, "--views", 2) == 0
    sheet = np.asarray(Picture.open(tmp_path / "sheet.png"))
    assert sheet.shape == (5 * 20, (2 if kind == "renders" else 5) * 20, 3)
    if kind == "composite":
        np.testing.assert_array_equal(sheet[20:36, 20:36], arrays(kind, 1)["images"][1])


def test_sheet_of_nothing_or_of_unlike_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = write_shard(tmp_path / "0.h5", numbers=range(0))
    assert run("sheet", empty, "-o", tmp_path / "sheet.png") == 1
    assert "no shapes to draw" in capsys.readouterr().err
    one, two = write_shard(tmp_path / "1.h5"), write_shard(tmp_path / "2.h5", size_px=32)
    assert run("sheet", one, two, "-o", tmp_path / "sheet.png", "--shapes", 12) == 1
    assert "different sizes" in capsys.readouterr().err


def test_voxels_show_the_front_the_right_way_round() -> None:
    """A viewer at -Z, looking along +Z, has the object's +X on the left; seen from above, the front lies below."""
    grid = np.zeros((8, 8, 8), bool)
    grid[7, 0, 0] = True  # +X, bottom, front
    places = [np.argwhere(picture.sum(axis=2) < 600).mean(axis=0) for picture in voxel_pictures(grid, 32)]
    sides = [(bool(row > 16), bool(column > 16)) for row, column in places]
    assert sides == [(True, False), (True, True), (True, False)]
