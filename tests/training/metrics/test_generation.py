"""Metrics of generation on sets whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.seeds import generator
from training.metrics import generation


def pairs(generated: list[float], reference: list[float]) -> generation.Pairs:
    """Shapes are numbers, distances their differences."""
    s, r = np.array(generated), np.array(reference)
    return generation.Pairs(*(1.0 * np.abs(a[:, None] - b) for a, b in ((s, s), (s, r), (r, r))))


def test_equal_sets_are_covered_and_not_told_apart() -> None:
    same = pairs([1, 2, 4, 8], [1, 2, 4, 8])
    assert generation.minimum_distances(same).mean() == 0
    assert generation.covered(same).mean() == 1
    # Every sample's nearest is its twin of the other set: fewer than half are right.
    assert generation.own_neighbours(same).mean() == 0


def test_distant_sets_are_told_apart_always() -> None:
    apart = pairs([1, 2, 3], [101, 102, 104])
    assert generation.own_neighbours(apart).mean() == 1
    assert generation.minimum_distances(apart).tolist() == [98, 99, 101]
    assert generation.covered(apart).tolist() == [1, 0, 0]


def test_a_collapsed_generator_covers_one_reference() -> None:
    collapsed = pairs([5, 5, 5, 5], [1, 5.5, 9, 20])
    assert generation.covered(collapsed).mean() == 0.25
    assert generation.minimum_distances(collapsed).mean() == pytest.approx((4 + 0.5 + 4 + 15) / 4)
    # References 1 and 5.5 are nearest to 5; 9 to 5.5 and 20 to 9.
    assert generation.own_neighbours(collapsed).tolist() == [1, 1, 1, 1, 0, 0, 1, 1]


def test_ties_count_one_half() -> None:
    assert generation.own_neighbours(pairs([0, 2], [1, 3])).tolist() == [0, 0, 0, 0]
    assert generation.own_neighbours(pairs([0, 1], [2, 3])).tolist() == [1, 0.5, 0.5, 1]


def test_samples_of_the_same_distribution_are_near_one_half() -> None:
    rng = generator(1, "two sets")
    both = pairs(rng.normal(size=400).tolist(), rng.normal(size=400).tolist())
    assert generation.own_neighbours(both).mean() == pytest.approx(0.5, abs=0.06)


def test_divergence_of_equal_and_of_disjoint_histograms() -> None:
    one, other = np.array([1, 3, 0, 0]), np.array([0, 0, 2, 2])
    assert generation.jensen_shannon(one, 5 * one) == 0
    assert generation.jensen_shannon(one, other) == pytest.approx(1)
    half = generation.jensen_shannon(np.array([1, 0]), np.array([1, 1]))
    assert half == pytest.approx(0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25 * np.log2(2))


def test_cells_of_points() -> None:
    points = np.array([[[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5], [-0.5, -0.5, -0.5 + 1.5 / 28]]], np.float32)
    counts = generation.cell_counts(points)[0]
    assert np.flatnonzero(counts).tolist() == [0, 1, 28**3 - 1] and counts.sum() == 3


def test_copies_of_the_data_beat_boxes() -> None:
    rng = generator(2, "shapes")
    data = np.zeros((12, 16, 16, 16), bool)
    for grid in data:
        a, b = rng.integers(0, 6, 3), rng.integers(8, 16, 3)
        grid[a[0] : b[0], a[1] : b[1], a[2] : b[2]] = True
    data = data.reshape(12, -1)
    blob = np.zeros((16, 16, 16), bool)
    blob[7:9, 7:9, 7:9] = True
    blobs = np.tile(blob.reshape(1, -1), (12, 1))

    def measure(samples: np.ndarray, held_out: np.ndarray, threads: int = 1) -> dict[str, Any]:
        reference = generation.Reference(held_out, points=128, chamfer_shapes=8, seed=1, threads=threads)
        return reference.measure(samples, "samples")

    good, bad = measure(data[:6], data[6:]), measure(blobs, data)
    assert (good["iou"]["shapes"], bad["chamfer"]["shapes"]) == (6, 8)
    for kind in ("iou", "chamfer"):
        assert good[kind]["mmd"]["mean"] < bad[kind]["mmd"]["mean"]
        assert good[kind]["cov"]["mean"] > bad[kind]["cov"]["mean"]
        assert good[kind]["one_nna"]["mean"] < bad[kind]["one_nna"]["mean"]
    assert good["jsd"]["value"] < bad["jsd"]["value"] <= 1
    assert bad["iou"]["cov"]["mean"] == pytest.approx(1 / 12, abs=1e-6)
    assert good == measure(data[:6], data[6:], threads=3)
