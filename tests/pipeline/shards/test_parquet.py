"""Parquet of shards, read by the library that it is made for."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from pipeline.conventions import unpack_grid
from pipeline.errors import UserError
from pipeline.pictures.bank import open_bank
from pipeline.shards import open_shard
from pipeline.shards.command import main
from tests.conftest import optional
from tests.pipeline.shards.helpers import SPLIT, arrays, write_shard, write_test_bank

pytest.importorskip("pyarrow", reason="pyarrow is a development package")
parquet = optional("pyarrow.parquet")


def exported(path: Path, out: Path, *arguments: object) -> Path:
    assert main(["export", str(path), "-o", str(out), "--format", "parquet", *map(str, arguments)]) == 0
    return out


def test_load_dataset_reads_every_picture_and_every_voxel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = optional("datasets")
    shards = [write_shard(tmp_path / f"{n}.h5", numbers=range(4 * n, 4 * n + 4)) for n in range(2)]
    for shard in shards:
        exported(shard, tmp_path / "out")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 4, "validation": 2, "test": 2}
    found = {row["shape_id"]: row for rows in data.values() for row in rows}
    for number, (name, row) in enumerate(sorted(found.items(), key=lambda item: item[0][-4:])):
        stored = arrays("composite", number)
        assert name.endswith(f"{number:04d}") and json.loads(row["record"])["split"] == SPLIT[number % 4]
        np.testing.assert_array_equal(np.stack([np.asarray(view) for view in row["images"]]), stored["images"])
        np.testing.assert_array_equal(np.stack([np.asarray(view) for view in row["alpha"]]), stored["alpha"])
        bits, side = np.unpackbits(np.frombuffer(row["voxels"], np.uint8)), row["resolution"]
        np.testing.assert_array_equal(bits.reshape(side, side, side), unpack_grid(stored["voxels"], 16))
        np.testing.assert_array_equal(row["camera_to_world"], stored["camera_to_world"])
        np.testing.assert_array_equal(row["K"], stored["K"])


@pytest.mark.parametrize("kind", ["layers", "renders"])
def test_other_kinds_of_shards_have_their_columns(kind: str, tmp_path: Path) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    path = write_shard(tmp_path / "000.h5", kind, numbers=range(1))
    table = parquet.read_table(exported(path, tmp_path / "out", "--bank", bank) / "train-000.parquet")
    (row,) = table.to_pylist()
    with open_shard(path) as shard:
        pictures = shard.array("rgba").row(0) if kind == "renders" else shard.images(0, open_bank(bank))
    first = np.asarray(Picture.open(io.BytesIO(row["images"][1]["bytes"])))
    np.testing.assert_array_equal(first, pictures[1])
    assert ("voxels" in row, "alpha" in row) == ((False, False) if kind == "renders" else (True, True))
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == {"feature": {"_type": "Image"}, "_type": "Sequence"} and list(features) == list(row)


def test_equal_shards_give_equal_files_and_pictures_may_be_jpeg(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "000.h5", numbers=range(2))
    one, other = (exported(path, tmp_path / name, "--jpeg", 90) / "train-000.parquet" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()
    assert parquet.read_table(one).to_pylist()[0]["images"][0]["bytes"][:2] == b"\xff\xd8"


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        exported(write_shard(tmp_path / "000.h5", numbers=range(1)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
