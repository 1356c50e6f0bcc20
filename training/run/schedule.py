"""The learning-rate schedule, by samples seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.settings.training import Experiment


@dataclass(frozen=True)
class Schedule:
    """Which share of its learning rate a network has when."""

    samples: int  # of the whole training
    kind: str  # "constant", "cosine" or "milestones"
    constant_share: float  # of the samples, before the cosine falls
    milestones: tuple[int, ...]  # samples
    milestone_factor: float
    milestone_networks: tuple[str, ...]  # of "E", "G", "D"
    warmup_samples: int

    @classmethod
    def of(cls, settings: Experiment) -> Schedule:
        """The part of an experiment that schedules its learning rates."""
        return cls(
            settings.samples,
            settings.schedule,
            settings.constant_share,
            settings.milestones,
            settings.milestone_factor,
            settings.milestone_networks,
            settings.warmup_samples,
        )

    def factor(self, samples: int, network: str = "G") -> float:
        """Factor on a network's learning rate after `samples` samples.

        `cosine` is 1 for the constant share, then half a cosine down to 0 (Loshchilov & Hutter
        2017, equation 5, one cycle); `milestones` multiplies by a factor at each; `warmup_samples`
        is a straight line from 0 before either (Goyal et al. 2017, section 2.2).
        """
        done = samples / self.samples
        factor = min(1.0, samples / self.warmup_samples) if self.warmup_samples else 1.0
        if self.kind == "milestones" and network in self.milestone_networks:
            passed = sum(samples > milestone for milestone in self.milestones)
            return float(factor * self.milestone_factor**passed)
        if self.kind == "cosine" and done > self.constant_share:
            fall = min(1.0, (done - self.constant_share) / (1 - self.constant_share))
            return factor * 0.5 * (1 + math.cos(math.pi * fall))
        return factor
