"""The sampler is arithmetic: every shape once an epoch, the same for any number of processes, resumable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from training.data.sampler import Sampler, permuted


@given(count=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
@settings(max_examples=40, deadline=None)
def test_an_epoch_is_a_permutation(count: int, key: int) -> None:
    out = permuted(np.arange(count, dtype=np.uint64), count, np.array([key], np.uint64))
    np.testing.assert_array_equal(np.sort(out), np.arange(count))


@given(count=st.integers(1, 300), batch=st.integers(1, 64), start=st.integers(0, 50), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_every_shape_comes_once_an_epoch(count: int, batch: int, start: int, seed: int) -> None:
    sampler = Sampler(count, batch, seed)
    steps = -(-2 * count // batch) + 1
    line = sampler.objects(start, steps)
    first = -(start * batch) % count  # where the next epoch begins
    epoch = line[first : first + count]
    np.testing.assert_array_equal(np.sort(epoch), np.arange(count))


@given(world=st.sampled_from([1, 2, 3, 4, 6, 12]), step=st.integers(0, 10**9), wanted=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_global_batch_does_not_depend_on_the_number_of_processes(world: int, step: int, wanted: int) -> None:
    alone = Sampler(100, 24, 5)
    ranks = [Sampler(100, 24, 5, rank, world) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate([r.objects(step) for r in ranks]), alone.objects(step))
    np.testing.assert_array_equal(
        np.concatenate([r.views(step, 5, wanted) for r in ranks]), alone.views(step, 5, wanted)
    )
    np.testing.assert_array_equal(np.concatenate([r.uniform(step, "x", 3) for r in ranks]), alone.uniform(step, "x", 3))


def test_several_steps_at_once_are_the_steps() -> None:
    sampler = Sampler(100, 24, 5, 1, 3)
    for wanted in (1, 4, 7):
        together = sampler.views(10, 7, wanted, steps=5)
        np.testing.assert_array_equal(together, np.concatenate([sampler.views(10 + n, 7, wanted) for n in range(5)]))
    np.testing.assert_array_equal(sampler.objects(10, 5), np.concatenate([sampler.objects(10 + n) for n in range(5)]))
    np.testing.assert_array_equal(
        sampler.uniform(10, "x", 2, 5), np.concatenate([sampler.uniform(10 + n, "x", 2) for n in range(5)])
    )


def test_views_differ_within_a_shape_and_are_even() -> None:
    sampler = Sampler(1000, 500, 1)
    for wanted in (1, 3, 6):
        views = np.concatenate([sampler.views(step, 6, wanted) for step in range(20)])
        assert all(len(set(row)) == wanted for row in views.tolist())
        counts = np.bincount(views.reshape(-1), minlength=6)
        assert counts.sum() == 10_000 * wanted
        assert np.abs(counts - 10_000 * wanted / 6).max() < 5 * np.sqrt(10_000 * wanted / 6)


def test_orders_are_even_and_differ_between_epochs_and_seeds() -> None:
    """Each shape's place in an epoch is uniform: mean 49.5 and standard deviation 28.9 over many epochs."""
    sampler = Sampler(100, 100, 1)
    orders = sampler.objects(0, 400).reshape(400, 100)
    places = np.argsort(orders, axis=1)
    assert np.abs(places.mean(0) - 49.5).max() < 5 * 28.87 / 20
    assert np.abs(places.std(0) - 28.87).max() < 5
    assert len({order.tobytes() for order in orders}) == 400
    assert not np.array_equal(sampler.objects(0), Sampler(100, 100, 2).objects(0))
    neighbours = np.diff(orders, axis=1)
    assert (neighbours == 1).mean() < 0.02  # 1 in 100 by chance


def test_uniform_numbers_are_uniform() -> None:
    numbers = Sampler(100, 1000, 1).uniform(3, "augment", 50)
    assert numbers.dtype == np.float32 and numbers.min() >= 0 and numbers.max() < 1
    assert np.abs(np.histogram(numbers, 10, (0, 1))[0] - 5000).max() < 5 * np.sqrt(5000)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(50)).max() < 0.16
    assert not np.array_equal(numbers, Sampler(100, 1000, 1).uniform(3, "other", 50))


def test_the_same_for_ever() -> None:
    """Changing these numbers breaks the resuming of runs that began with an older version."""
    sampler = Sampler(10, 6, 1)
    assert sampler.objects(7).tolist() == [9, 1, 8, 5, 4, 3]
    assert sampler.views(7, 12, 2).tolist() == [[11, 5], [9, 10], [4, 2], [1, 9], [10, 6], [5, 6]]
    assert [round(float(x), 6) for x in sampler.uniform(7, "augment", 1)[:3, 0]] == [0.285882, 0.471419, 0.613731]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 4, 1), "holds no shapes"), ((9, 4, 1, 0, 3), "cannot be shared"), ((9, 4, 1, 2, 2), "cannot be shared")],
)
def test_what_cannot_be_sampled(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampler(*arguments)


def test_more_views_than_there_are() -> None:
    with pytest.raises(UserError, match="(?s)more views are wanted.*got: 5.*1 to 4"):
        Sampler(9, 4, 1).views(0, 4, 5)
