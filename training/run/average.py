"""The moving average of E's, G's and V's weights."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor

from training.networks.build import Networks
from training.networks.codes import PRIOR
from training.networks.layers import BatchNorm

STANDING_BATCHES, STANDING_CODES = 16, 64


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

    def update(self, networks: Networks, step: int, moved: Collection[str] = ("E", "G", "V")) -> None:
        """Move towards the weights and running statistics after step number `step`, of the networks that it moved."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, new = [], []
        for network in moved:
            averaged = getattr(self.networks, network)
            if averaged is not None:
                source = getattr(networks, network).state_dict()
                mine += list(averaged.state_dict().values())
                new += [source[name].detach() for name in averaged.state_dict()]
        with torch.no_grad():
            torch._foreach_lerp_(cast(list[Tensor], mine), cast(list[Tensor], new), 1 - decay)

    @torch.no_grad()
    def measure_statistics(self) -> None:
        """Standing statistics (Brock et al. 2019, appendix B): what codes of the prior give under the averaged weights.

        The averages of running statistics are those of other weights, and an occupancy that is a few per cent of the
        voxels does not forgive that.  Called by every rank, before the averaged networks are used or saved; the codes
        are the same each time, so the result depends on the weights alone.
        """
        generator = self.networks.G
        norms = [norm for norm in generator.norms if isinstance(norm, BatchNorm)]
        usual = [norm.momentum for norm in norms]
        generator.train()
        for batch in range(STANDING_BATCHES):
            for norm in norms:
                norm.momentum = 1 / (batch + 1)  # so that the running mean is the mean over the batches
            codes = self.networks.prior_codes(STANDING_CODES, step=batch, purpose="standing statistics")
            generator(codes, PRIOR)
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        generator.eval()
