"""Distances of all pairs against independent oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from pipeline.seeds import generator
from training.metrics import distances
from training.metrics import voxels as metrics


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150))
def test_iou_of_packed_bits_is_the_iou_of_the_grids(seed: int, voxels: int) -> None:
    rng = generator(seed, "packed")
    one, other = (rng.random((count, voxels)) < rng.random((count, 1)) for count in (3, 4))
    one[0] = other[0] = False
    found = distances.iou_matrix(np.packbits(one, axis=1), np.packbits(other, axis=1), threads=2)
    for row in range(3):
        np.testing.assert_allclose(found[row], metrics.iou(np.broadcast_to(one[row], other.shape), other))
    assert found[0, 0] == 1.0


@pytest.mark.parametrize("count", [1, 5, 33, 257])
@pytest.mark.parametrize("squared", [True, False])
def test_chamfer_distance_is_that_of_a_kd_tree(count: int, squared: bool) -> None:
    rng = generator(count, "clouds")
    one, other = rng.normal(size=(3, count, 3)), rng.normal(size=(2, count, 3)) * 0.2
    other[:, : count // 2] = np.round(other[:, : count // 2], 1)  # ties and points in one place
    one, other = one.astype(np.float32), other.astype(np.float32)
    found = distances.chamfer_matrix(one, other, squared=squared, threads=2)
    for i, a in enumerate(one.astype(np.float64)):
        for j, b in enumerate(other.astype(np.float64)):
            there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
            power = 2 if squared else 1
            assert found[i, j] == pytest.approx((there**power).mean() + (back**power).mean(), rel=1e-5)


def test_threads_change_no_bit_and_a_set_with_itself_is_symmetric() -> None:
    points = generator(1, "threads").normal(size=(7, 100, 3)).astype(np.float32)
    one = distances.chamfer_matrix(points, points, squared=True, threads=1)
    assert np.array_equal(one, distances.chamfer_matrix(points, points, squared=True, threads=4))
    assert np.array_equal(one, distances.chamfer_matrix(points, points.copy(), squared=True))
    assert np.array_equal(one, one.T) and (np.diag(one) == 0).all()
