"""Random choices by name: a thin layer over a generator that reads like a parts list."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Draw:
    """Draws the parameters of one shape; the order of the calls is part of the shape."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        """A number in [low, high), the middle more often than the ends (triangular), as sizes of furniture are."""
        return low + (high - low) * float(self.rng.random() + self.rng.random()) / 2

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def choose(self, weights: Mapping[str, float]) -> str:
        """One of the keys, by weight."""
        names = list(weights)
        share = np.array([weights[name] for name in names])
        return names[int(self.rng.choice(len(names), p=share / share.sum()))]

    def stout(self, longest: float, low: float = 1.15, high: float = 1.8) -> float:
        """Thickness of a leg or board in metres: 1.15 to 1.8 voxels of a 32^3 grid, one in ten thinner."""
        voxel = longest / 31
        return voxel * (self.between(0.6, 0.95) if self.chance(0.1) else self.between(low, high))
