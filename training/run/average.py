"""The moving average of E's and G's weights."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor

from training.networks.build import Networks


class MovingAverage:
    """Weights that follow the networks: w <- d w + (1 - d) new, with d growing from 0 to `decay`.

    The first steps use (1 + step) / (10 + step) where that is smaller (as TensorFlow's
    ExponentialMovingAverage does), so that early validations do not measure the initial weights.
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
