"""What is written is what is read, in equal bytes, and only whole files appear."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys
import time
from itertools import permutations
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.pictures.bank import open_bank
from pipeline.shards import KINDS, create, open_shard, verify, verify_shard
from pipeline.shards.bulk import load_composites, load_rows
from pipeline.shards.command import main
from pipeline.shards.index import make_index, open_indexed, read_index, require_audited, write_index
from pipeline.state.files import write_state
from tests.conftest import ROOT
from tests.pipeline.shards.helpers import arrays, record, write_shard, write_test_bank

ALL_KINDS = list(KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_reads_back_what_was_written(tmp_path: Path, kind: str) -> None:
    path = write_shard(tmp_path / "000.h5", kind)
    with open_shard(path) as shard:
        assert (shard.kind, shard.views, shard.size_px, len(shard)) == (kind, 3, 16, 8)
        assert shard.resolution == (None if kind == "renders" else 16)
        assert shard.attributes == {"compositing": "srgb"}
        assert shard.records == [record(number, ("chair", "table")[number % 2]) for number in range(8)]
        assert [rejection.shape_id for rejection in shard.rejects] == ["demo/chair/broken"]
        for number in range(8):
            for name, value in arrays(kind, number).items():
                stored = shard.array(name)[number]
                assert stored.dtype == np.dtype(KINDS[kind][name].dtype)
                np.testing.assert_array_equal(stored, np.asarray(value, stored.dtype))
        assert verify_shard(shard) == sum(shard.array(name)[:].nbytes for name in shard.fields)


def test_equal_input_gives_equal_bytes_at_another_time(tmp_path: Path) -> None:
    one = write_shard(tmp_path / "a" / "000.h5").read_bytes()
    time.sleep(1.1)  # HDF5 keeps times in whole seconds
    assert write_shard(tmp_path / "b" / "000.h5").read_bytes() == one


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_room_that_was_not_needed_leaves_no_trace(tmp_path: Path, kind: str) -> None:
    """Rejected shapes make a shard shorter than planned."""
    for name, count in (("a.h5", 2), ("b.h5", 9)):
        size = {} if kind == "renders" else {"resolution": 16}
        with create(tmp_path / name, kind, count=count, views=3, size_px=16, attributes={}, **size) as shard:
            for number in range(2):
                shard.append(record(number), **arrays(kind, number))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_an_empty_shard_is_a_shard(tmp_path: Path, kind: str) -> None:
    path = write_shard(tmp_path / "000.h5", kind, range(0))
    with open_shard(path) as shard:
        assert len(shard) == 0 and len(shard.rejects) == 1 and shard.array("K")[:].shape == (0, 3, 3, 3)
    assert verify(path) == 0


def test_rows_index_like_an_array(tmp_path: Path) -> None:
    with open_shard(write_shard(tmp_path / "000.h5")) as shard:
        rows = shard.array("images")
        everything = rows[:]
        assert rows.shape == everything.shape == (8, 3, 16, 16, 3) and len(rows) == 8
        np.testing.assert_array_equal(rows[-1], everything[7])
        np.testing.assert_array_equal(rows[[4, 1]], everything[[4, 1]])
        np.testing.assert_array_equal(rows[2:7:2], everything[2:7:2])
        np.testing.assert_array_equal(rows[np.arange(8) > 5], everything[6:])
        np.testing.assert_array_equal(np.stack(list(rows)), everything)
        np.testing.assert_array_equal(rows.view(3, 2), everything[3, 2])
        np.testing.assert_array_equal(rows.mapped(), everything)
        assert not np.asarray(rows.mapped()).flags.writeable
        assert shard.array("alpha").mapped() is None
        with pytest.raises(IndexError):
            rows[8]
        with pytest.raises(KeyError):
            shard.array("rgba")


def test_a_stranger_reads_it_with_plain_h5py(tmp_path: Path) -> None:
    with h5py.File(write_shard(tmp_path / "000.h5")) as file:
        grid = np.unpackbits(file["voxels"][5]).reshape(16, 16, 16)
        np.testing.assert_array_equal(file["images"][5, 1], arrays("composite", 5)["images"][1])
        np.testing.assert_array_equal(np.packbits(grid), arrays("composite", 5)["voxels"])
        assert file["object_id"][5].decode() == "demo/table/table_0005"
        assert file["placement"][5][0] == 5.5 and file["mesh_sha256"][5].decode().endswith("5")
        assert file.attrs["complete"] == 1 and b"+Y up" in file.attrs["axes"]
        assert "filter" not in str(file["images"].compression) and file["images"].chunks is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"voxels": None}, "wanted"),
        ({"colour": np.zeros(3)}, "has no array colour"),
        ({"images": np.zeros((3, 16, 16, 4), np.uint8)}, r"images is \(3, 16, 16, 4\)"),
        ({"images": np.zeros((3, 16, 16, 3))}, "images is .* float64"),
        ({"background_id": np.zeros(3)}, "background_id is .* float64"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    row = {name: value for name, value in {**arrays("composite", 1), **change}.items() if value is not None}
    with (
        pytest.raises(ValueError, match=message),
        create(tmp_path / "000.h5", "composite", count=2, views=3, size_px=16, resolution=16, attributes={}) as shard,
    ):
        shard.append(record(0), **arrays("composite", 0))
        shard.append(record(1), **row)
    assert list(tmp_path.iterdir()) == []


def test_a_shape_comes_once_and_the_planned_number_holds(tmp_path: Path) -> None:
    with create(tmp_path / "a.h5", "layers", count=2, views=3, size_px=16, resolution=16, attributes={}) as shard:
        shard.append(record(0), **arrays("layers", 0))
        with pytest.raises(ValueError, match="already in the shard"):
            shard.append(record(0), **arrays("layers", 0))
        shard.append(record(1), **arrays("layers", 1))
        with pytest.raises(ValueError, match="created for 2 shapes"):
            shard.append(record(2), **arrays("layers", 2))


def test_layers_composite_bit_for_bit(tmp_path: Path) -> None:
    """One by one or all at once in two threads: the pictures that a composite shard would hold."""
    bank = open_bank(write_test_bank(tmp_path / "bank.npz"))
    with open_shard(write_shard(tmp_path / "000.h5", "layers")) as shard:
        out = np.zeros((3, 3, 16, 16, 3), np.uint8)
        load_composites(shard, bank, np.array([6, 0, 3]), out, np.array([2, 1, 0]))
        np.testing.assert_array_equal(out, [shard.images(3, bank), shard.images(0, bank), shard.images(6, bank)])
        rgba = arrays("layers", 6)["rgba"][0].astype(int)
        behind = bank.crops[0, 1:17, 2:18].astype(int)
        share = rgba[..., 3:] / 255
        assert np.abs(out[2, 0] - (rgba[..., :3] * share + behind * (1 - share))).max() <= 0.5
        pictures = np.zeros((2, 3, 16, 16, 4), np.uint8)
        load_rows(shard.array("rgba"), np.array([5, 2]), pictures, np.array([0, 1]))
        np.testing.assert_array_equal(pictures, shard.array("rgba")[[5, 2]])


def test_index_lists_shards_and_recognises_them(tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f"{n:03d}.h5", numbers=range(n * 8, n * 8 + 8)) for n in range(2)]
    paths.append(write_shard(tmp_path / "002.h5", numbers=range(0), resolution=32))
    assert (
        main(
            [
                "index",
                *map(str, reversed(paths)),
                "-o",
                str(tmp_path / "index.json"),
                "--log",
                str(tmp_path / "log" / "x.jsonl"),
            ]
        )
        == 0
    )
    index = read_index(tmp_path / "index.json")
    assert index == make_index(paths, tmp_path)
    assert [entry["file"] for entry in index["shards"]] == ["000.h5", "001.h5", "002.h5"]
    assert index["counts"] == {"train": 8, "val": 4, "test": 4} and index["categories"] == ["chair", "table"]
    assert (index["kind"], index["views"], index["size_px"], index["resolution"]) == ("composite", 3, 16, 16)
    assert json.loads((tmp_path / "log" / "x.jsonl").read_text())["shapes"] == 16
    for entry in index["shards"]:
        open_indexed(tmp_path / "index.json", entry).close()
    os.replace(paths[0], tmp_path / "swap")
    os.replace(paths[1], paths[0])
    with pytest.raises(UserError, match=r"(?s)not the one that was indexed.*000\.h5"):
        open_indexed(tmp_path / "index.json", index["shards"][0])


def test_shards_of_other_settings_are_not_indexed(tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / "a.h5"), write_shard(tmp_path / "b.h5", numbers=range(8, 9), views=2)]
    with pytest.raises(UserError, match=r"(?s)do not fit together.*b\.h5.*views = 2.*views = 3"):
        write_index(paths, tmp_path / "index.json")
    with pytest.raises(UserError, match="does not lie beside its index"):
        make_index(paths[:1], tmp_path / "elsewhere")
    assert not (tmp_path / "index.json").exists()


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format": "other"}'])
def test_other_files_are_not_an_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(UserError, match=r"index of shards"):
        read_index(tmp_path / "index.json")
    with pytest.raises(UserError, match="no such index"):
        read_index(tmp_path / "absent.json")


_WRITE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from pipeline.errors import run_command
from tests.conftest import ROOT
from tests.pipeline.shards.helpers import write_shard

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.exit(run_command(lambda: write_shard(Path(sys.argv[1])) and 0))
"""


@pytest.mark.parametrize("share", [0.01, 0.6, 0.999])
def test_full_disk_is_one_clear_error(tmp_path: Path, share: float) -> None:
    """A limit on file size stops writing as a full disk does, and needs no rights; the process ends in order."""
    whole = write_shard(tmp_path / "whole" / "000.h5").stat().st_size
    command = [sys.executable, "-c", _WRITE_ON_A_FULL_DISK, str(tmp_path / "000.h5"), str(int(whole * share))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert f"error: cannot write {tmp_path}/000.h5: {os.strerror(errno.EFBIG)}" in done.stderr
    assert "Traceback" not in done.stderr and re.search(r"room for [\d,]+ bytes", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_facts_survive(tmp_path: Path) -> None:
    odd = dataclasses.replace(record(0), facts={"prepare": {"textures": ["Ä.png"]}, "x": {"y": [1.5, None]}})
    with create(tmp_path / "a.h5", "renders", count=1, views=3, size_px=16, attributes={"ß": 1}) as shard:
        shard.append(odd, **arrays("renders", 0))
    with open_shard(tmp_path / "a.h5") as stored:
        assert stored.records == [odd] and stored.attributes == {"ß": 1}
        assert np.isnan(stored.array("placement")[0]).all()


def test_text_is_declared_as_what_it_holds(tmp_path: Path) -> None:
    """Every text that a shard stores comes back through h5py's own decoding, and ASCII stays declared as ASCII."""
    for name, categories in (("a", ("chair", "table")), ("b", ("Stühle", "🪑"))):
        path = write_shard(tmp_path / f"{name}.h5", categories=categories)
        with open_shard(path) as shard:
            ids, kinds = shard.object_ids, [record.category for record in shard.records]
        with h5py.File(path) as file:
            assert list(file["object_id"].asstr()) == ids
            assert list(file["category"].asstr()) == kinds
            assert [json.loads(line)["shape_id"] for line in file["record"].asstr()] == ids
            for key, dataset in file.items():
                kind = h5py.check_string_dtype(getattr(dataset, "dtype", np.dtype("i1")))
                if kind is not None:
                    lines = dataset[()].tolist()
                    assert kind.encoding == ("ascii" if all(line.isascii() for line in lines) else "utf-8"), key


def test_a_shard_that_declares_ascii_and_holds_more_is_read(tmp_path: Path) -> None:
    """As all were written before."""
    path = write_shard(tmp_path / "old.h5", categories=("Stühle", "Tische"))
    with h5py.File(path, "r+") as file:
        for name in ("object_id", "category"):
            lines = file[name][()]
            del file[name]
            file.create_dataset(name, data=np.array(lines.tolist(), f"|S{lines.dtype.itemsize}"), track_times=False)
    with open_shard(path) as shard:
        assert shard.records[0].category == "Stühle" and shard.object_ids[0] == "demo/Stühle/Stühle_0000"


def test_every_index_needs_its_audit_in_any_order(tmp_path: Path) -> None:
    indices, audits = [], []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_shard(folder / "0.h5", numbers=range(8 * number, 8 * number + 8))
        digest = write_index([folder / "0.h5"], folder / "index.json")["digest"]
        write_state(folder / "audit.json", {"index_digest": digest})
        indices.append(folder / "index.json")
        audits.append(folder / "audit.json")
    for order in permutations(audits):
        require_audited(indices, order)
    for missing in range(3):
        given = [audit for number, audit in enumerate(audits) if number != missing]
        with pytest.raises(UserError, match="other shards, or is not among those given") as error:
            require_audited(indices, given)
        assert error.value.where == str(indices[missing])
