"""The moving average of E's and G's weights, and the learning-rate schedule: both by samples seen."""

from __future__ import annotations

import copy
import math
from typing import cast

import torch
from torch import Tensor

from pipeline.settings.training import Experiment
from training.networks.build import Networks


class Average:
    """Weights that follow the networks: w <- d w + (1 - d) new, with d growing from 0 to `decay`.

    The first steps use (1 + step) / (10 + step) where that is smaller (as TensorFlow's
    ExponentialMovingAverage does), so that early looks are not looks at the initial weights.
    A decay of 0 is the networks themselves.
    """

    def __init__(self, networks: Networks, decay: float):
        self.decay = decay
        self.networks = copy.deepcopy(networks).requires_grad_(False).eval()
        self.networks.D = None

    def update(self, networks: Networks, step: int) -> None:
        """Move towards the weights and running statistics after step number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        source = networks.state_dict()
        mine, new = [], []
        for name, value in self.networks.state_dict().items():
            if value.is_floating_point():
                mine.append(value)
                new.append(source[name].detach())
            else:
                value.copy_(source[name])
        with torch.no_grad():
            torch._foreach_lerp_(cast(list[Tensor], mine), cast(list[Tensor], new), 1 - decay)


def rate_factor(settings: Experiment, samples: int, network: str = "G") -> float:
    """Factor on a network's learning rate after `samples` samples, by the experiment's schedule.

    `cosine` is 1 for the constant share, then half a cosine down to 0 (Loshchilov & Hutter
    2017, equation 5, one cycle); `milestones` multiplies by a factor at each; `warmup_samples`
    is a straight line from 0 before either (Goyal et al. 2017, section 2.2).
    """
    done = samples / settings.samples
    factor = min(1.0, samples / settings.warmup_samples) if settings.warmup_samples else 1.0
    if settings.schedule == "milestones" and network in settings.milestone_networks:
        return float(factor * settings.milestone_factor ** sum(samples > one for one in settings.milestones))
    if settings.schedule == "cosine" and done > settings.constant_share:
        fall = min(1.0, (done - settings.constant_share) / (1 - settings.constant_share))
        return factor * 0.5 * (1 + math.cos(math.pi * fall))
    return factor
