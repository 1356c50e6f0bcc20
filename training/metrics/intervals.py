"""Confidence intervals by bootstrap over shapes: every figure of an evaluation is a statistic with its interval.

A shape, or an object that several photographs show, is resampled as a whole: its views and
photographs are not independent.  2,000 resamples; the interval is from the 2.5th to the 97.5th
percentile of the statistic over them (Efron 1979; Efron and Tibshirani 1993, chapter 13).
Where all values are the same, as with a single shape, the interval is a point.

Letters: N shapes, G groups of values that are resampled as a whole, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from pipeline.conventions import Array
from pipeline.seeds import generator
from training.metrics.voxels import Floats

ROUNDS = 2000  # B


@dataclass(frozen=True)
class Interval:
    """A statistic over shapes with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def as_json(self, name: str = "mean") -> dict[str, float]:
        """`{mean, low, high}`; `name` is `value` where the statistic is no mean."""
        return {name: round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6)}

    def complement(self) -> Interval:
        """Of 1 minus the statistic."""
        return Interval(1 - self.value, 1 - self.high, 1 - self.low)


def percentiles(value: float, resampled: Float64[Array, " B"]) -> Interval:
    """The interval around a statistic from its values (B,) on resamples."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return Interval(float(value), float(low), float(high))


def weights(count: int, seed: int, *purpose: object) -> Float64[Array, "B {count}"]:
    """(B, count) how often each of `count` shapes is in each resample of as many."""
    return generator(seed, *purpose, count).multinomial(count, np.full(count, 1 / count), ROUNDS).astype(np.float64)


def bootstrap(values: Floats, seed: int, statistic: Callable[..., Any] = np.mean) -> Interval:
    """Of the mean over shapes (N,), or of another statistic that takes an axis."""
    return percentiles(float(statistic(values, axis=0)), _resampled(values, seed, "bootstrap", statistic=statistic))


def bootstrap_difference(one: Float64[Array, " N"], other: Float64[Array, " M"], seed: int) -> Interval:
    """Of the mean of one set of shapes minus that of another; the sets are resampled independently."""
    ours, theirs = (_resampled(values, seed, "bootstrap", side) for side, values in enumerate((one, other)))
    return percentiles(float(one.mean() - other.mean()), ours - theirs)


def bootstrap_pairs(matrix: Float64[Array, "N N"], seed: int) -> Interval:
    """Of the mean of a symmetric (N, N) over pairs of different shapes; 0 without a pair.

    A shape that is drawn twice makes no pair with itself.
    """
    count = len(matrix)
    if count < 2:
        return Interval(0.0, 0.0, 0.0)
    between = np.where(np.eye(count, dtype=bool), 0.0, matrix)
    drawn = weights(count, seed, "bootstrap pairs")
    pairs = count**2 - np.square(drawn).sum(1)
    sums = ((drawn @ between) * drawn).sum(1)
    # Of two or three shapes a resample may hold one alone, which says nothing about pairs.
    found = pairs > 0
    return percentiles(float(between.sum() / (count * (count - 1))), sums[found] / pairs[found])


def class_mean(values: Floats, objects: Sequence[str], classes: Sequence[str], seed: int) -> Interval:
    """The unweighted mean over classes of the mean over each class's pictures; whole objects are resampled.

    Pictures of one object are not independent, so an interval over pictures would be too narrow.
    """
    groups, group = np.unique([f"{c}\0{o}" for c, o in zip(classes, objects, strict=True)], return_inverse=True)
    class_of = np.array([name.split("\0")[0] for name in groups])
    member = class_of[:, None] == np.unique(class_of)  # (G, C)
    sums = np.bincount(group, values, len(groups))[:, None] * member
    counts = np.bincount(group, minlength=len(groups))[:, None] * member

    def statistic(drawn: Float64[Array, "B G"]) -> Float64[Array, " B"]:
        pictures = drawn @ counts
        means = np.where(pictures > 0, drawn @ sums / np.maximum(pictures, 1), 0.0)
        return np.asarray(means.sum(1) / (pictures > 0).sum(1))

    whole = statistic(np.ones((1, len(groups))))[0]
    return percentiles(float(whole), statistic(weights(len(groups), seed, "bootstrap objects")))


def object_mean(values: Floats, objects: Sequence[str], seed: int) -> Interval:
    """The mean over pictures; whole objects are resampled."""
    return class_mean(values, objects, [""] * len(values), seed)


def _resampled(
    values: Floats, seed: int, *purpose: object, statistic: Callable[..., Any] = np.mean
) -> Float64[Array, " B"]:
    """(B,) the statistic of resamples of (N,)."""
    drawn = generator(seed, *purpose, len(values)).integers(0, len(values), (ROUNDS, len(values)))
    return np.asarray(statistic(values[drawn], axis=1))
