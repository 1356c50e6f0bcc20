"""The learning-rate schedule, by samples seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pipeline.settings.training import Experiment


@dataclass(frozen=True)
class Schedule:
    """Which share of its learning rate a network has when."""

    samples: int  # how many it lasts
    kind: str  # "constant", "cosine" or "milestones"
    constant_share: float  # of the samples, before the cosine falls
    milestones: tuple[int, ...]  # samples
    milestone_factor: float
    milestone_networks: tuple[str, ...]  # of "E", "G", "D"
    warmup_samples: int
    first: int = 0  # sample of the training at which it begins
    share: float = 1.0  # of the learning rates, throughout

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

    def within(self, first: int, last: int, share: float) -> Schedule:
        """The same fall of the rates from sample `first` to `last`; milestones stay where they are."""
        milestones = tuple(milestone - first for milestone in self.milestones)
        return replace(self, samples=last - first, first=first, share=share, milestones=milestones)

    def factor(self, samples: int, network: str = "G") -> float:
        """Factor on a network's learning rate after `samples` samples.

        `cosine` is 1 for the constant share, then half a cosine down to 0 (Loshchilov & Hutter
        2017, equation 5, one cycle); `milestones` multiplies by a factor at each; `warmup_samples`
        is a straight line from 0 before either (Goyal et al. 2017, section 2.2).
        """
        samples -= self.first
        done = samples / self.samples
        factor = self.share * (min(1.0, samples / self.warmup_samples) if self.warmup_samples else 1.0)
        if self.kind == "milestones" and network in self.milestone_networks:
            passed = sum(samples > milestone for milestone in self.milestones)
            return float(factor * self.milestone_factor**passed)
        if self.kind == "cosine" and done > self.constant_share:
            fall = min(1.0, (done - self.constant_share) / (1 - self.constant_share))
            return factor * 0.5 * (1 + math.cos(math.pi * fall))
        return factor
