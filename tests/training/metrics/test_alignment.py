"""Average precision and the search for the best alignment, on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from pipeline.seeds import generator
from training.metrics import alignment


def blob(seed: int, side: int = 10) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """An irregular shape that keeps two voxels away from the border."""
    grid = np.zeros((side,) * 3, bool)
    grid[2:-2, 2:-2, 2:-2] = generator(seed, "blob").random((side - 4,) * 3) < 0.4
    return grid


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 1000]))
def test_average_precision_is_scikit_learns(seed: int, distinct: int) -> None:
    rng = generator(seed, "scores")
    scores = rng.integers(0, distinct, 300).astype(np.float32)
    truth = rng.random(300) < 0.2
    truth[0] = True
    assert alignment.average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))


def test_known_precisions() -> None:
    truth = np.array([True, False, True, False])
    assert alignment.average_precision(np.array([4, 1, 3, 2], np.float32), truth) == 1.0
    assert alignment.average_precision(np.zeros(4, np.float32), truth) == 0.5, "chance is the share of occupied voxels"
    assert alignment.average_precision(np.array([3, 4, 2, 1], np.float32), truth) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert alignment.average_precision(np.zeros(4, np.float32), truth & False) == 1.0


def test_there_are_48_orientations_and_125_shifts_at_20() -> None:
    marked = np.arange(27).reshape(3, 3, 3)
    assert len({alignment.oriented(marked, n).tobytes() for n in range(48)}) == 48
    assert np.array_equal(alignment.oriented(marked, 0), marked)
    assert (alignment.reach(20), alignment.reach(32)) == (2, 3)
    shifts = alignment._shifts(2)
    assert len(set(shifts)) == 125 and shifts[0] == (0, 0, 0)


@pytest.mark.parametrize("number", [0, 7, 23, 41])
def test_a_turned_and_shifted_copy_is_found(number: int) -> None:
    truth = blob(number)
    moved = np.roll(truth, (1, -1, 0), (0, 1, 2))
    prediction = np.ascontiguousarray(alignment.oriented(moved, number)).astype(np.float32)
    found = alignment.align(prediction, truth)
    assert found.best == 1.0 and found.plain < 1.0
    assert np.array_equal(alignment.apply(prediction, found) > 0, truth)


def test_every_alignment_is_tried_as_a_slow_search_tries_it() -> None:
    truth = blob(3, 10)
    prediction = generator(9, "field").random((10, 10, 10)).astype(np.float32)
    slow = max(
        alignment.average_precision(alignment.oriented(alignment._shifted(prediction, shift), number), truth)
        for shift in alignment._shifts(1)
        for number in range(48)
    )
    found = alignment.align(prediction, truth)
    assert found.best == pytest.approx(slow)
    assert alignment.average_precision(alignment.apply(prediction, found), truth) == pytest.approx(slow)
    assert found.plain == pytest.approx(alignment.average_precision(prediction, truth))


def test_what_is_right_already_stays_as_it_is() -> None:
    truth = blob(5)
    found = alignment.align(truth.astype(np.float32), truth)
    assert (found.orientation, found.shift, found.plain, found.best) == (0, (0, 0, 0), 1.0, 1.0)


def test_voxels_that_leave_the_grid_are_lost() -> None:
    field = np.zeros((4, 4, 4), np.float32)
    field[0, 0, 0], field[3, 3, 3] = 1, 2
    moved = alignment._shifted(field, (1, 0, -1))
    assert moved.sum() == 0 and alignment._shifted(field, (1, 1, 1))[1, 1, 1] == 1


def test_threads_change_nothing() -> None:
    truths = [blob(n) for n in range(4)]
    fields = [generator(n, "f").random((10, 10, 10)).astype(np.float32) for n in range(4)]
    assert alignment.align_all(fields, truths, "test") == alignment.align_all(fields, truths, "test", threads=3)
