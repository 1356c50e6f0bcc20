"""Bootstrap intervals beside their definition in plain loops, and beside means that are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.seeds import generator
from training.metrics import generation, intervals
from training.metrics.voxels import Floats

DRAWS = 200  # of a set of shapes from a known distribution


def percentiles(statistic: Callable[[np.random.Generator], float], rounds: int = 2000) -> tuple[float, float]:
    """The bootstrap as it is defined: one resample after another, with draws of its own."""
    rng = generator(77, "plain loops")
    values = sorted(statistic(rng) for _ in range(rounds))
    return values[round(0.025 * rounds)], values[round(0.975 * rounds)]


def resample(rng: np.random.Generator, count: int) -> list[int]:
    return [int(rng.integers(count)) for _ in range(count)]


def agrees(interval: intervals.Interval, plain: tuple[float, float]) -> bool:
    """Ends of two bootstraps with other draws differ by a few hundredths of the width."""
    room = 0.08 * (plain[1] - plain[0])
    return abs(interval.low - plain[0]) < room and abs(interval.high - plain[1]) < room


def coverage(known: float, interval_of: Callable[[int], intervals.Interval]) -> float:
    """Share of seeded draws whose interval holds what is known."""
    found = [interval_of(seed) for seed in range(DRAWS)]
    return float(np.mean([one.low <= known <= one.high for one in found]))


# ---- means and other statistics of one value a shape ---------------------------------------


def test_of_a_constant_is_a_point() -> None:
    same, ones = np.full(5, 0.3), np.ones((5, 5))
    point = {"mean": 0.3, "low": 0.3, "high": 0.3}
    assert intervals.bootstrap(same, 1).as_json() == point
    assert intervals.bootstrap(same, 1, np.median).as_json("value") == {"value": 0.3, "low": 0.3, "high": 0.3}
    assert intervals.bootstrap(np.array([0.3]), 1).as_json() == point, "one shape says nothing of others"
    assert intervals.object_mean(same, list("aabbc"), 1).as_json() == point
    assert intervals.bootstrap_difference(same, np.zeros(9), 1).as_json() == point
    assert intervals.bootstrap_pairs(0.3 * ones, 1).as_json() == point
    assert intervals.bootstrap_pairs(0.3 * ones, 1).complement().as_json() == {"mean": 0.7, "low": 0.7, "high": 0.7}


def test_holds_the_mean_and_shrinks_with_more_shapes() -> None:
    rng = generator(1, "bootstrap test")
    few, many = (intervals.bootstrap(rng.normal(0.4, 0.1, count), seed=1) for count in (20, 2000))
    for interval in (few, many):
        assert interval.low < interval.value < interval.high
    assert many.high - many.low < (few.high - few.low) / 4


def test_agrees_with_plain_loops() -> None:
    values = generator(2, "values").gamma(2.0, size=40)
    for statistic in (np.mean, np.median):
        plain = percentiles(lambda rng, of=statistic: float(of([values[i] for i in resample(rng, 40)])))  # type: ignore[misc]
        assert agrees(intervals.bootstrap(values, 5, statistic), plain)


def test_known_means_are_covered_in_about_95_of_100_draws() -> None:
    def shapes(seed: int, purpose: str, count: int) -> Floats:
        return generator(seed, "coverage", purpose).normal(0.4, 0.1, count)

    assert 0.90 <= coverage(0.4, lambda seed: intervals.bootstrap(shapes(seed, "a", 60), seed)) <= 0.98
    gap = coverage(0.0, lambda seed: intervals.bootstrap_difference(shapes(seed, "a", 60), shapes(seed, "b", 40), seed))
    assert 0.90 <= gap <= 0.98


def test_of_few_shapes_it_is_too_narrow() -> None:
    """As docs/metrics.md warns: five shapes do not show how far shapes can be apart."""
    five = coverage(0.0, lambda seed: intervals.bootstrap(generator(seed, "few").normal(size=5), seed))
    assert 0.78 <= five <= 0.91


def test_both_sets_of_a_difference_are_resampled_by_themselves() -> None:
    """Var(a - b) = Var(a) + Var(b): one draw for both would leave nothing of the difference of equal sets."""
    values = generator(3, "values").random(50)
    gap, one = intervals.bootstrap_difference(values, values, 1), intervals.bootstrap(values, 1)
    assert gap.value == 0 and (gap.high - gap.low) / (one.high - one.low) == pytest.approx(2**0.5, rel=0.1)
    others = generator(4, "others").random(30)
    plain = percentiles(
        lambda rng: float(
            np.mean([values[i] for i in resample(rng, 50)]) - np.mean([others[i] for i in resample(rng, 30)])
        )
    )
    assert agrees(intervals.bootstrap_difference(values, others, 1), plain)


# ---- pairs of shapes -----------------------------------------------------------------------


def between(numbers: Floats) -> Floats:
    """A matrix over pairs with a diagonal that must not count."""
    return np.where(np.eye(len(numbers), dtype=bool), 99.0, np.abs(numbers[:, None] - numbers))


def test_pairs_agree_with_plain_loops() -> None:
    matrix = between(generator(6, "pairs").random(20))

    def statistic(rng: np.random.Generator) -> float:
        drawn = resample(rng, 20)
        return float(np.mean([matrix[i, j] for i, j in itertools.combinations(drawn, 2) if i != j]))

    found = intervals.bootstrap_pairs(matrix, 3)
    assert found.value == pytest.approx(matrix[np.triu_indices(20, 1)].mean())
    assert agrees(found, percentiles(statistic))


def test_a_known_mean_over_pairs_is_covered() -> None:
    """Two numbers of [0, 1] are 1/3 apart."""
    found = coverage(1 / 3, lambda seed: intervals.bootstrap_pairs(between(generator(seed, "u").random(50)), seed))
    assert 0.90 <= found <= 0.98


def test_pairs_of_few_shapes() -> None:
    nothing = intervals.Interval(0.0, 0.0, 0.0)
    assert intervals.bootstrap_pairs(np.ones((1, 1)), 1) == intervals.bootstrap_pairs(np.ones((0, 0)), 1) == nothing
    # Of two shapes there is one pair; a resample that holds one of them twice has none.
    assert intervals.bootstrap_pairs(between(np.array([0.0, 0.5])), 1) == intervals.Interval(0.5, 0.5, 0.5)


# ---- whole objects -------------------------------------------------------------------------


def test_whole_objects_are_resampled() -> None:
    """Twenty equal pictures of one object say no more than one."""
    means = generator(4, "objects").random(12)
    for mean in (
        lambda v, o: intervals.class_mean(v, o, ["a"] * len(v), 1),
        lambda v, o: intervals.object_mean(v, o, 1),
    ):
        once = mean(means, [str(i) for i in range(12)])
        often = mean(np.repeat(means, 20), [str(i // 20) for i in range(240)])
        assert often.as_json() == pytest.approx(once.as_json()) and once.low < once.value < once.high
    # Classes count alike, however many pictures they have.
    uneven = intervals.class_mean(np.array([1.0, 1, 1, 0]), list("xyzw"), ["a", "a", "a", "b"], seed=1)
    assert uneven.value == 0.5


def test_objects_agree_with_plain_loops() -> None:
    rng = generator(8, "pictures")
    objects = [str(name) for name in rng.integers(0, 15, 60)]
    values = rng.random(60) + np.array([0.05 * int(name) for name in objects])
    names = sorted(set(objects))

    def statistic(source: np.random.Generator) -> float:
        drawn = [names[i] for i in resample(source, len(names))]
        return float(np.mean([v for name in drawn for v, o in zip(values, objects, strict=True) if o == name]))

    found = intervals.object_mean(values, objects, 1)
    assert found.value == pytest.approx(values.mean()) and agrees(found, percentiles(statistic))


# ---- where the points of shapes lie --------------------------------------------------------


def histograms(seed: int, purpose: str, shapes: int, *, moved: float = 0.0, cells: int = 12) -> Any:
    """(shapes, cells) 40 points of each shape, around a place of its own."""
    rng = generator(seed, "histograms", purpose)
    places = rng.normal(cells / 2 + moved, 1.0, (shapes, 1)) + rng.normal(0, 1.0, (shapes, 40))
    at = np.clip(places, 0, cells - 1).astype(np.int64)
    return np.stack([np.bincount(row, minlength=cells) for row in at]).astype(np.float32)


def test_divergence_agrees_with_plain_loops() -> None:
    one, other = histograms(1, "one", 25), histograms(1, "other", 18, moved=1.5)
    other = other * 25  # as many points in both sets
    one = one * 18
    found = generation.divergence(one, other, 4)
    assert found.value == pytest.approx(generation.jensen_shannon(one.sum(0), other.sum(0)))
    rng = generator(78, "plain loops")
    plain = np.array(
        [
            generation.jensen_shannon(sum(one[i] for i in resample(rng, 25)), sum(other[i] for i in resample(rng, 18)))
            for _ in range(2000)
        ]
    )
    low, high = np.percentile(plain, (2.5, 97.5)) - plain.mean() + found.value
    assert agrees(found, (low, high)) and found.low < found.value < found.high


def test_divergence_of_known_sets() -> None:
    one = histograms(1, "one", 9)
    same = np.repeat(one[:1], 6, axis=0)
    assert generation.divergence(same, same, 1) == intervals.Interval(0.0, 0.0, 0.0)
    apart = generation.divergence(np.pad(one, ((0, 0), (0, 12))), np.pad(one, ((0, 0), (12, 0))), 1)
    assert apart.as_json("value") == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(("moved", "least", "most"), [(1.0, 0.90, 0.99), (0.0, 0.97, 1.0)])
def test_expected_divergence_is_covered(moved: float, least: float, most: float) -> None:
    """What so many shapes give on average, by further draws; too wide where the sets are alike, never too narrow."""

    def sets(seed: int) -> tuple[Any, Any]:
        return histograms(seed, "one", 25), histograms(seed, "other", 25, moved=moved)

    def found(seed: int) -> intervals.Interval:
        return generation.divergence(*sets(seed), seed)

    further = [[counts.sum(0) for counts in sets(1000 + seed)] for seed in range(DRAWS)]
    expected = float(np.mean([generation.jensen_shannon(*counts) for counts in further]))
    share = coverage(expected, found)
    assert least <= share <= most


# ---- the same on any machine ---------------------------------------------------------------


def test_the_seed_decides() -> None:
    values = generator(9, "values").random(30)
    for of in (intervals.bootstrap, lambda v, seed: intervals.bootstrap_pairs(between(v), seed)):
        assert of(values, 1) == of(values, 1) != of(values, 2)
