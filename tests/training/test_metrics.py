"""Measures on grids whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.seeds import generator
from training import metrics


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
    assert metrics.largest_component(cube(5)[None]) == 1.0
    assert metrics.largest_component((cube(2) | cube(2, 5))[None]) == 0.5
    assert metrics.box_fill(np.zeros((1, 512), bool)) == metrics.largest_component(np.zeros((1, 512), bool)) == 0.0


def test_bootstrap_holds_the_mean_and_shrinks_with_more_shapes() -> None:
    rng = generator(1, "bootstrap test")
    few, many = (metrics.bootstrap(rng.normal(0.4, 0.1, count), seed=1) for count in (20, 2000))
    for interval in (few, many):
        assert interval.low < interval.mean < interval.high
    assert many.high - many.low < (few.high - few.low) / 4
    assert metrics.bootstrap(np.full(5, 0.3), 1).as_json() == {"mean": 0.3, "low": 0.3, "high": 0.3}


def test_quantise_keeps_the_ends() -> None:
    assert metrics.quantise(np.array([0.0, 0.5, 1.0], np.float32)).tolist() == [0, 128, 255]
