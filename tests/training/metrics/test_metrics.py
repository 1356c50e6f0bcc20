"""Measures on grids whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.seeds import generator
from training.metrics import voxels as metrics


def cube(side: int, start: int = 0, of: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    grid = np.zeros((of,) * 3, bool)
    grid[start : start + side, :side, :side] = True
    return grid.reshape(-1)


def test_iou_of_shifted_cubes() -> None:
    one, other, empty = cube(4), cube(4, 2), np.zeros(512, bool)
    grids = np.stack([one, one, one, empty]), np.stack([one, other, empty, empty])
    assert metrics.iou(*grids).tolist() == [1.0, pytest.approx(32 / 96), 0.0, 1.0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_curve_is_the_iou_at_every_threshold(seed: int) -> None:
    rng = generator(seed, "curve")
    levels = rng.integers(0, 256, (2, 64)).astype(np.uint8)
    truth = rng.random((2, 64)) < rng.random()
    curves = metrics.iou_curve(levels, truth)
    for threshold in (0, 1, 17, 128, 255):
        np.testing.assert_allclose(curves[:, threshold], metrics.iou(levels >= threshold, truth))


def test_best_threshold_separates() -> None:
    truth = cube(4)[None]
    levels = np.where(truth, 90, 20).astype(np.uint8)
    curves = metrics.iou_curve(levels, truth)
    assert 20 < metrics.best_threshold(curves) <= 90
    assert curves[0, metrics.best_threshold(curves)] == 1.0


def test_pairwise_iou_of_equal_and_of_disjoint_grids() -> None:
    assert metrics.pairwise_iou(np.stack([cube(3)] * 4)) == pytest.approx(1.0)
    assert metrics.pairwise_iou(np.stack([cube(2), cube(2, 4)])) == 0.0
    assert metrics.pairwise_iou(cube(2)[None]) == 0.0


def test_a_cube_fills_its_box_and_two_cubes_are_two_parts() -> None:
    assert metrics.box_fill(cube(5)[None]) == 1.0
    assert metrics.largest_component(cube(5)[None]).tolist() == [1.0]
    assert metrics.largest_component(np.stack([cube(2) | cube(2, 5), cube(1)])).tolist() == [0.5, 1.0]
    empty = np.zeros((1, 512), bool)
    assert metrics.box_fill(empty) == 0.0 and metrics.largest_component(empty).tolist() == [0.0]


def test_quantise_keeps_the_ends() -> None:
    assert metrics.quantise(np.array([0.0, 0.5, 1.0], np.float32)).tolist() == [0, 128, 255]


def test_the_occupancy_threshold_gives_the_wanted_occupancy() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(4).reshape(4, 256)
    for share in (0.0, 0.25, 0.5, 1.0):
        cut = metrics.occupancy_threshold(levels, share)
        assert (levels >= cut).mean() == pytest.approx(share, rel=metrics.SAME_OCCUPANCY, abs=1 / 256)


def test_the_occupancy_threshold_stays_near_one_half_where_occupancy_hardly_changes() -> None:
    levels = np.zeros((2, 1000), np.uint8)
    levels[:, :100] = 250
    levels[:, 100:102] = 60
    assert metrics.occupancy_threshold(levels, 0.1) == 128
    assert metrics.occupancy_threshold(levels, 0.102) == 128, "60 is nearer to the share, but frays shapes for nothing"
    levels[:, 102:300] = 200
    assert metrics.occupancy_threshold(levels, 0.1) == 201
    assert metrics.occupancy_threshold(np.zeros((2, 8), np.uint8), 0.1) == 128, "no threshold is any better"
