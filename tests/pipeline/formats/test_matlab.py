"""Voxels out of MATLAB files: as scipy reads them, and damage of any kind has its words."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.formats.matlab import read_matlab_grid
from pipeline.seeds import generator


def grid_of(seed: int, side: int = 6) -> np.ndarray:
    grid = generator(seed, "mat").uniform(size=(side,) * 3) < 0.4
    grid[0, 1, 2] = True
    return grid


def mat(arrays: dict[str, Any], *, compressed: bool) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, arrays, do_compression=compressed)
    return out.getvalue()


def big_endian(grid: np.ndarray, name: str) -> bytes:
    """A file as a workstation of the nineties wrote it, by hand."""

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">3i", *grid.shape))
    body += element(1, name.encode()) + element(9, grid.astype(">f8").tobytes(order="F"))
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + element(14, body)


DTYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 99), st.sampled_from(DTYPES), st.booleans(), st.integers(1, 70), st.booleans())
def test_every_type_of_numbers_is_read_as_scipy_reads_it(
    seed: int, dtype: str, compressed: bool, letters: int, others: bool
) -> None:
    grid, name = grid_of(seed), ("v" * letters)[:31]
    arrays: dict[str, Any] = {name: grid.astype(dtype)}
    if others:
        arrays = {"note": "a text", "cell": np.array([1, "b"], object), "big": np.zeros((50, 50)), **arrays, "z": 1}
    data = mat(arrays, compressed=compressed)
    assert (read_matlab_grid(data, name, 6) == (scipy.io.loadmat(io.BytesIO(data))[name] == 1)).all()


def test_big_endian_files_are_read() -> None:
    assert (read_matlab_grid(big_endian(grid_of(3), "grid"), "grid", 6) == grid_of(3)).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_is_refused(compressed: bool) -> None:
    data = mat({"grid": grid_of(1).astype("u1"), "note": np.arange(9)}, compressed=compressed)
    assert read_matlab_grid(data, "grid", 6).any()
    whole_elements = {128 + len(mat({"grid": grid_of(1).astype("u1")}, compressed=compressed)) - 128}
    for length in range(len(data)):
        if length in whole_elements:
            continue  # a file without the note is a whole file
        with pytest.raises(Reject, match="malformed|bad_voxels"):
            read_matlab_grid(data[:length], "grid", 6)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_flipped_bit_is_refused_or_read(compressed: bool) -> None:
    data = mat({"grid": grid_of(1).astype("u1")}, compressed=compressed)
    for place in range(128, len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            try:
                assert read_matlab_grid(bytes(broken), "grid", 6).shape == (6, 6, 6)
            except Reject as reject:
                assert reject.reason in ("malformed", "bad_voxels", "empty")


def bomb(megabytes: int) -> bytes:
    """Zeros under the wanted name, with dimensions that do not tell how many."""
    matrix = struct.pack("<IIII", 6, 8, 9, 0) + struct.pack("<II3iI", 5, 12, 6, 6, 6, 0)
    matrix += struct.pack("<II", 1, 4) + b"grid" + bytes(4)
    zeros = bytes(megabytes << 20)
    matrix += struct.pack("<II", 2, len(zeros)) + zeros
    packed = zlib.compress(struct.pack("<II", 14, len(matrix)) + matrix, 9)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return head + struct.pack("<II", 15, len(packed)) + packed


def test_a_bomb_takes_no_memory() -> None:
    large = mat({"other": np.zeros((200, 200, 200)), "grid": np.zeros((300, 300, 300), "u1")}, compressed=True)
    data = [bomb(64), large]
    tracemalloc.start()
    for one in data:
        with pytest.raises(Reject, match="does not have the size|300 x 300 x 300"):
            read_matlab_grid(one, "grid", 6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "malformed: .* does not begin as a MATLAB file"),
        (b"x" * 300, "malformed: .* does not begin as a MATLAB file"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM", "malformed: .* a MATLAB 7.3 file: save it with -v7"),
        (mat({"volume": grid_of(1).astype("u1")}, compressed=True), "bad_voxels: it holds volume, and grid is wanted"),
        (mat({"grid": np.zeros((6, 6, 7))}, compressed=True), "bad_voxels: grid is f8, 6 x 6 x 7; 6.3 of 0 and 1"),
        (mat({"grid": np.zeros((6, 6, 6), complex)}, compressed=False), "bad_voxels: grid is complex numbers"),
        (mat({"grid": "text"}, compressed=False), "bad_voxels: grid is an array of class 4"),
        (mat({"grid": grid_of(1) * 2.0}, compressed=True), "bad_voxels: grid has values other than 0 and 1"),
        (mat({"grid": grid_of(1) * np.nan}, compressed=True), "bad_voxels: grid has values other than 0 and 1"),
        (mat({"grid": grid_of(1) * 0}, compressed=True), "empty: no voxel is occupied"),
    ],
    ids=[str(number) for number in range(10)],  # files hold the time at which they were made
)
def test_what_is_no_grid_is_named(data: bytes, words: str) -> None:
    with pytest.raises(Reject, match=words):
        read_matlab_grid(data, "grid", 6)


def test_the_real_files_are_read_as_scipy_reads_them(shared_data: Path) -> None:
    files = [(path.read_bytes(), "grid", 20) for path in sorted((shared_data / "ikea").rglob("*.mat"))]
    with zipfile.ZipFile(shared_data / "volumetric/3DShapeNets_chair.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith("_1.mat")]
        files += [(archive.read(name), "instance", 30) for name in names[::8]]
    assert len(files) > 100
    for data, name, side in files:
        assert (read_matlab_grid(data, name, side) == (scipy.io.loadmat(io.BytesIO(data))[name] == 1)).all()
