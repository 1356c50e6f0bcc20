"""The .binvox file: what is written comes back, and nothing malformed comes through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.formats.binvox import encode_runs, read_binvox, read_header, write_binvox

HEAD = b"#binvox 1\ndim 2 2 2\ntranslate -1 0 0.5\nscale 2\ndata\n"


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_what_is_written_comes_back(shape: tuple[int, int, int], seed: int, share: float) -> None:
    grid = np.random.default_rng(seed).random(shape) < share
    data = write_binvox(grid, (-1.5, 0.25, 3), 2.5)
    back = read_binvox(data, cubic=False)
    assert np.array_equal(back.grid, grid)
    assert (back.translate, back.scale) == ((-1.5, 0.25, 3.0), 2.5)
    assert write_binvox(back.grid, back.translate, back.scale) == data


def test_order_is_x_then_z_then_y() -> None:
    grid = np.zeros((2, 2, 2), dtype=bool)
    grid[0, 1, 0] = grid[1, 0, 1] = True
    # x=0: (z0: y0 y1)(z1: y0 y1), then x=1: on are positions 1 and 6.
    assert write_binvox(grid).endswith(b"data\n" + bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1]))


@pytest.mark.parametrize(
    ("length", "pairs"),
    [(1, [1, 1]), (255, [1, 255]), (256, [1, 255, 1, 1]), (510, [1, 255, 1, 255]), (511, [1, 255, 1, 255, 1, 1])],
)
def test_runs_are_cut_at_255_and_never_otherwise(length: int, pairs: list[int]) -> None:
    assert list(encode_runs(np.ones(length, dtype=bool))) == pairs


def test_default_frame_is_the_unit_box() -> None:
    header = read_header(write_binvox(np.zeros((4, 4, 4), dtype=bool)))
    assert header.translate == (-0.5, -0.5, -0.5)
    assert header.scale == 1.0


def test_comments_blank_lines_tabs_and_missing_placement_are_accepted() -> None:
    text = b"#binvox 1\n\n# made by hand\n  dim 2 2\t2\t# cube\n   data\n\x01\x08"
    content = read_binvox(text)
    assert content.grid.all()
    assert (content.translate, content.scale, content.pitch) == ((0.0, 0.0, 0.0), 1.0, 0.5)


MALFORMED = {
    "empty": (b"", "does not start with #binvox"),
    "other magic": (b"#vox 1\ndim 2 2 2\ndata\n\x00\x08", "does not start with #binvox"),
    "other version": (b"#binvox 2\ndim 2 2 2\ndata\n\x00\x08", "unknown version"),
    "no data line": (b"#binvox 1\ndim 2 2 2\n", "no line `data`"),
    "header without end": (b"#binvox 1\n" + b"# x\n" * 40_000, "no line `data`"),
    "no dim": (b"#binvox 1\ndata\n\x00\x08", "needs `dim`"),
    "two sizes": (b"#binvox 1\ndim 2 2\ndata\n\x00\x08", "needs `dim`"),
    "negative size": (b"#binvox 1\ndim -2 2 2\ndata\n\x00\x08", "needs `dim`"),
    "fraction": (b"#binvox 1\ndim 2.5 2 2\ndata\n\x00\x08", "needs `dim`"),
    "zero": (b"#binvox 1\ndim 0 0 0\ndata\n", "outside 1..1024"),
    "absurd size": (b"#binvox 1\ndim 99999 99999 99999\ndata\n\x00\x08", "outside 1..1024"),
    "huge digits": (b"#binvox 1\ndim " + b"9" * 4000 + b" 2 2\ndata\n", "needs `dim`"),
    "not a cube": (b"#binvox 1\ndim 2 2 4\ndata\n\x00\x10", "not a cube"),
    "twice": (b"#binvox 1\ndim 2 2 2\ndim 2 2 2\ndata\n\x00\x08", "unexpected header line"),
    "unknown key": (b"#binvox 1\nsize 2\ndata\n\x00\x08", "unexpected header line"),
    "scale 0": (b"#binvox 1\ndim 2 2 2\nscale 0\ndata\n\x00\x08", "scale above 0"),
    "scale nan": (b"#binvox 1\ndim 2 2 2\nscale nan\ndata\n\x00\x08", "scale above 0"),
    "translate inf": (b"#binvox 1\ndim 2 2 2\ntranslate inf 0 0\ndata\n\x00\x08", "finite numbers"),
    "translate short": (b"#binvox 1\ndim 2 2 2\ntranslate 1 2\ndata\n\x00\x08", "three numbers"),
    "scale word": (b"#binvox 1\ndim 2 2 2\nscale big\ndata\n\x00\x08", "three numbers and scale one"),
    "value 7": (HEAD + b"\x07\x08", "voxel value 7"),
    "a run of 0 instead of one": (HEAD + b"\x01\x04\x00\x00", "hold 4 voxels, dim says 8"),
    "a value of 2 in a run of 0": (HEAD + b"\x02\x00\x01\x08", "voxel value 2"),
    "too few": (HEAD + b"\x01\x07", "hold 7 voxels, dim says 8"),
    "too many": (HEAD + b"\x01\x09", "hold 9 voxels, dim says 8"),
    "no runs": (HEAD, "hold 0 voxels"),
    "half a pair": (HEAD + b"\x01\x07\x00", "no count"),
    "more runs than voxels": (HEAD + b"\x01\x01" * 9, "hold 9 voxels, dim says 8"),
    "nothing but runs of 0": (HEAD + b"\x00\x00" * 17, "17 runs for 8 voxels"),
}


def by_binvox_rw_py(grid: np.ndarray) -> bytes:
    """The runs as the commonest Python writer makes them: it counts to 255, writes, and goes on from 0."""
    flat, out = grid.transpose(0, 2, 1).reshape(-1).tolist(), bytearray()
    state, count = flat[0], 0
    for value in flat:
        if value == state:
            count += 1
            if count == 255:
                out += bytes([state, count])
                count = 0
        else:
            out += bytes([state, count])
            state, count = value, 1
    return bytes(out + bytes([state, count])) if count else bytes(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 254, 255, 256, 510, 765])), min_size=1, max_size=12))
def test_runs_of_length_0_of_other_writers_are_read(runs: list[tuple[bool, int]]) -> None:
    flat = np.zeros(16**3, bool)
    wanted = np.concatenate([np.full(length, value) for value, length in runs])[: len(flat)]
    flat[: len(wanted)] = wanted
    grid = np.ascontiguousarray(flat.reshape(16, 16, 16).transpose(0, 2, 1))
    head = b"#binvox 1\ndim 16 16 16\ntranslate 0 0 0\nscale 1\ndata\n"
    assert (read_binvox(head + by_binvox_rw_py(grid)).grid == grid).all()
    ours = write_binvox(grid)
    assert 0 not in ours[read_header(ours).data_at + 1 :: 2]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_with_the_reason(name: str) -> None:
    data, message = MALFORMED[name]
    with pytest.raises(Reject, match=message) as caught:
        read_binvox(data)
    assert caught.value.reason == "bad_binvox"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_after_a_header_give_a_grid_or_a_reason(tail: bytes) -> None:
    try:
        assert read_binvox(HEAD + tail).grid.shape == (2, 2, 2)
    except Reject as reject:
        assert reject.reason == "bad_binvox"


def test_every_real_file_is_written_again_byte_for_byte(shared_data: Path) -> None:
    files = sorted((shared_data / "binvox").rglob("*.b*v*"))
    files = [path for path in files if path.suffix in (".bv", ".binvox") and "chair_model" not in path.name]
    assert len(files) > 95
    for path in files:
        data = path.read_bytes()
        content = read_binvox(data)
        assert write_binvox(content.grid, content.translate, content.scale) == data, path.name


def test_a_real_header_with_comments_keeps_its_voxels(shared_data: Path) -> None:
    data = (shared_data / "binvox/chair_trimesh/chair_model.binvox").read_bytes()
    content = read_binvox(data)
    again = write_binvox(content.grid, content.translate, content.scale)
    assert again[read_header(again).data_at :] == data[read_header(data).data_at :]
