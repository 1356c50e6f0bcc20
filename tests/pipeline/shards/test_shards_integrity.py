"""Damage is never silent: flipped bits, cut files, zeroed blocks, swapped parts, killed writers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.seeds import generator
from pipeline.shards import open_shard, verify, verify_shard
from pipeline.shards.schema import KINDS
from tests.conftest import ROOT
from tests.pipeline.shards.helpers import record, write_shard

STORAGES = ("composite", "layers")


def everything(path: Path) -> dict[str, Any]:
    """All that a reader can get out of a shard."""
    with open_shard(path) as shard:
        verify_shard(shard)
        found: dict[str, Any] = {name: shard.array(name)[:].tobytes() for name in shard.fields}
        found["records"], found["rejects"], found["attributes"] = shard.records, shard.rejects, shard.attributes
        found["sizes"] = shard.sizes
        return found


def payload(path: Path) -> list[tuple[int, int, str, int]]:
    """(offset, bytes, dataset, row) of every stored row of the arrays that `KINDS` lists."""
    places = []
    with h5py.File(path) as file:
        for name in KINDS[file.attrs["kind"].decode()]:
            data = file[name]
            if data.chunks is None:
                size = data.nbytes // len(data)
                places += [(data.id.get_offset() + row * size, size, name, row) for row in range(len(data))]
            else:
                chunks = [data.id.get_chunk_info(number) for number in range(data.id.get_num_chunks())]
                places += [(c.byte_offset, c.size, name, c.chunk_offset[0]) for c in chunks]
    return places


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("region", ["anywhere", "metadata"])
def test_no_flipped_bit_is_silent(tmp_path: Path, storage: str, region: str) -> None:
    """Two storages, two regions, 125 flips each: an error, or the same content where the bit means nothing."""
    path = write_shard(tmp_path / "whole.h5", storage, range(4))
    whole, truth = path.read_bytes(), everything(path)
    outside = np.ones(len(whole), bool)
    for offset, size, _, _ in payload(path):
        outside[offset : offset + size] = False
    candidates = np.flatnonzero(outside) if region == "metadata" else np.arange(len(whole))
    rng = generator(11, storage, region)
    damaged, caught = tmp_path / "damaged.h5", 0
    for byte in rng.choice(candidates, 125):
        damaged.write_bytes(flip(whole, int(byte) * 8 + int(rng.integers(8))))
        try:
            assert everything(damaged) == truth, f"silent: bit of byte {byte}"
        except UserError as error:
            caught += 1
            assert str(damaged) in str(error)
    assert caught > 125 / 3, "many bits mean something"


@pytest.mark.parametrize("storage", STORAGES)
def test_damage_in_an_array_names_shard_dataset_and_object(tmp_path: Path, storage: str) -> None:
    path = write_shard(tmp_path / "000.h5", storage, range(4))
    whole, truth, places = path.read_bytes(), everything(path), payload(path)
    rng = random.Random(5)
    caught = 0
    for offset, size, name, row in places:
        path.write_bytes(flip(whole, (offset + rng.randrange(size)) * 8 + rng.randrange(8)))
        shape_id = record(row, ("chair", "table")[row % 2]).shape_id
        try:
            assert everything(path) == truth  # a few bits of a zlib stream mean nothing
        except UserError as error:
            caught += 1
            assert "a shard is damaged" in str(error) and f"{path}: {name}: {shape_id}" in str(error)
    assert caught > len(places) / 2, "a bit of a zlib stream may mean nothing; most do"


@pytest.mark.parametrize("storage", STORAGES)
def test_cut_files_do_not_open(tmp_path: Path, storage: str) -> None:
    path = write_shard(tmp_path / "000.h5", storage, range(4))
    whole = path.read_bytes()
    for length in (0, 1, 47, 512, 4096, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"(?s)shard.*{path}"):
            everything(path)


@pytest.mark.parametrize("storage", STORAGES)
def test_zeroed_blocks_are_caught(tmp_path: Path, storage: str) -> None:
    """A file system that lost a block gives zeros; every block here holds something."""
    path = write_shard(tmp_path / "000.h5", storage, range(4))
    whole, truth = path.read_bytes(), everything(path)
    caught = 0
    for start in range(0, len(whole), 512):
        path.write_bytes(whole[:start] + bytes(len(whole[start : start + 512])) + whole[start + 512 :])
        try:
            assert everything(path) == truth
        except UserError:
            caught += 1
    assert caught > len(whole) / 512 / 2


def edited(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def set_attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs[name] = value

    return change


def swap_rows(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        first, second = file[name][0], file[name][1]
        file[name][0], file[name][1] = second, first

    return change


def remove(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_attribute("format", np.bytes_(b"something else")), "not a shard of this pipeline"),
        (set_attribute("schema_major", 2), "(?s)another version.*got: 2.*wanted: schema major version 1"),
        (set_attribute("complete", 0), "not complete"),
        (remove("voxels"), "(?s)damaged.*voxels.*no such dataset"),
        (remove("crc32/images"), "(?s)damaged.*crc32/images"),
        (set_attribute("views", 4), "(?s)damaged.*attributes"),
        (swap_rows("voxels"), "(?s)damaged.*voxels: demo/chair/chair_0000"),
        (swap_rows("images"), "(?s)damaged.*images: demo/chair/chair_0000: view 0"),
        (swap_rows("record"), "(?s)damaged.*record: demo/chair/chair_0000"),
        (swap_rows("object_id"), "(?s)damaged.*object_id"),
        (swap_rows("crc32/camera_to_world"), "(?s)damaged.*camera_to_world: demo/chair/chair_0000"),
    ],
)
def test_edited_shards_are_refused(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    path = edited(write_shard(tmp_path / "000.h5", numbers=range(4)), change)
    with pytest.raises(UserError, match=message):
        verify(path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(2000)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "000.h5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"(?s)cannot open a shard.*{path}"):
        open_shard(path)
    with pytest.raises(UserError, match="no such shard"):
        open_shard(tmp_path / "absent.h5")


_KILL_WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from tests.pipeline.shards.helpers import write_shard

folder, storage, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng, write = random.Random(3), lambda place: write_shard(place / "000.h5", storage, range(6), size_px=64)
write(folder / "first")
start = time.perf_counter()
write(folder / "second")
seconds = time.perf_counter() - start  # of one shard on this machine now
for number in range(times):
    place = folder / f"killed{number}"
    place.mkdir()
    writer = os.fork()
    while writer == 0:
        write(place)
    time.sleep(rng.uniform(0, 2.5 * seconds))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
"""


@pytest.mark.parametrize("storage", STORAGES)
def test_thirty_killed_writers_leave_no_broken_file(tmp_path: Path, storage: str) -> None:
    """Killed at random moments of their first three shards: a whole file, or none, and leftovers that are hidden."""
    command = [sys.executable, "-c", _KILL_WRITERS, str(tmp_path), storage, "30"]
    subprocess.run(command, cwd=ROOT, check=True)
    found = [path for place in tmp_path.glob("killed*") for path in place.iterdir()]
    whole = [path for path in found if path.name == "000.h5"]
    for path in whole:
        everything(path)
    assert all(path.name.startswith(".") for path in found if path not in whole)
    assert len(whole) > 3 and len(found) > len(whole), "some were killed after a shard, and some within one"


def test_readers_survive_a_replaced_file(tmp_path: Path) -> None:
    """A shard is replaced by rename, so what is mapped stays what it was."""
    path = write_shard(tmp_path / "000.h5")
    with open_shard(path) as shard:
        mapped = shard.array("images").mapped()
        assert mapped is not None
        before = mapped.copy()
        write_shard(tmp_path / "new.h5", numbers=range(20, 28))
        os.replace(tmp_path / "new.h5", path)
        np.testing.assert_array_equal(mapped, before)
    with open_shard(path) as shard:
        assert not np.array_equal(shard.array("images")[:], before)
