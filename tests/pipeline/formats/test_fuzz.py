"""Seeded damage to files of voxels: read or refused, never a crash, a hang or a gigabyte."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.formats.binvox import read_binvox, write_binvox
from pipeline.formats.matlab import read_matlab_grid
from pipeline.seeds import generator
from tests.pipeline.formats.test_matlab import big_endian, grid_of, mat
from tests.pipeline.meshes.mutations import mutated, outcomes, rounds


@pytest.mark.parametrize("form", ["deflated", "plain", "big endian"])
def test_fuzz_of_matlab_files(form: str) -> None:
    grid = grid_of(1, 20)
    if form == "big endian":
        whole = big_endian(grid, "grid")
    else:
        arrays = {"note": np.arange(7.0), "grid": grid.astype("u1"), "last": "a text"}
        whole = mat(arrays, compressed=form == "deflated")
    files = (mutated(whole, generator(seed, "mat", form)) for seed in range(rounds(150)))
    counts, fatal = outcomes(lambda data: read_matlab_grid(data, "grid", 20), files)
    assert not fatal, counts
    assert counts["read"] and counts["malformed"]
    assert set(counts) <= {"read", "malformed", "bad_voxels", "empty"}


def test_fuzz_of_binvox_files() -> None:
    whole = write_binvox(grid_of(1, 20))
    files = (mutated(whole, generator(seed, "binvox")) for seed in range(rounds(150)))
    counts, fatal = outcomes(read_binvox, files)
    assert not fatal, counts
    assert counts["bad_binvox"] and set(counts) <= {"read", "bad_binvox"}
