"""Codes: random numbers for them, the prior that they are drawn from, and how several views become one.

Shape letters: B shapes, V views of each, Z numbers in the code, R voxels a side, K draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment

REAL, GENERATED = 0, 1  # sources of D's batch norm
POSTERIOR, PRIOR = 0, 1  # sources of G's batch norm
DRAWS = 256  # sampled codes that an expected maximum is the mean of: it is known to 0.05 standard deviations
CHUNK = 16  # of them at a time


@dataclass(frozen=True)
class Coding:
    """What the codes of one experiment are; the networks hold it."""

    latent: int  # numbers in a code
    prior: str  # "normal", "narrow" or "uniform"
    pooling: str  # "max" or "mean": how the codes of several views become one
    views: int  # that are encoded together in training
    takes: str  # "picture", or of the shape itself: "projections" or "voxels"
    seed: int
    mirrors: bool = False  # an answer to a picture is the mean of those to it and to its mirror image

    @classmethod
    def of(cls, settings: Experiment) -> Coding:
        """The part of an experiment that codes depend on."""
        return cls(
            settings.latent,
            settings.prior,
            settings.pooling,
            settings.views_per_shape,
            settings.encoder_input,
            settings.seed,
            settings.mirror_answers,
        )

    def of_shapes(self) -> Coding:
        """The same for the encoder of voxels: it is shown the shape itself, once."""
        return replace(self, takes="voxels", views=1, mirrors=False)

    def view_of(self, voxels: Float[Tensor, "B 1 R R R"]) -> Float[Tensor, "B 1 C ..."]:
        """What an encoder of shapes is shown, in the place of one picture."""
        return voxels[:, None] if self.takes == "voxels" else projections(voxels)

    @property
    def is_sampled(self) -> bool:
        """Whether an evaluation has to draw codes as training does: the largest of several has no closed form."""
        return self.pooling == "max" and self.views > 1

    def from_prior(
        self,
        count: int,
        device: torch.device,
        *,
        step: int = 0,
        purpose: str = "prior",
        seed: int | None = None,
        portable: bool = True,  # as `noise` takes it
    ) -> Float[Tensor, "B Z"]:
        """(count, Z) codes from p(z); uniform is the normal's distribution function of the same numbers.

        seed : another seed than the experiment's gives other codes.
        """
        seed = self.seed if seed is None else seed
        z = noise(seed, step, purpose, (count, self.latent), device, portable=portable)
        if self.prior == "narrow":
            return 0.33 * z
        return torch.special.ndtr(z) if self.prior == "uniform" else z

    def pooled(self, codes: Float[Tensor, "B V Z"]) -> Float[Tensor, "B Z"]:
        """One code of several views, every view with the same weight."""
        if codes.shape[1] == 1:
            return codes[:, 0]
        return codes.amax(1) if self.pooling == "max" else codes.mean(1)

    def expected(
        self,
        mean: Float[Tensor, "B V Z"],
        log_variance: Float[Tensor, "B V Z"],
        draws: Float[Tensor, "K W Z"] | None = None,
    ) -> Float[Tensor, "B Z"]:
        """(B, Z): the code that training decodes, averaged over its noise.

        One view, or the mean of several: the posterior means.  Training takes the largest of *sampled* codes, whose
        expectation lies above the largest mean; it is the average of `DRAWS` such codes, with the same noise for every
        object.  Fewer pictures than in training are shown again until there are as many.

        draws : what `draws` gives; made here where it is None.
        """
        if not self.is_sampled:
            return self.pooled(mean)
        views = torch.arange(max(mean.shape[1], self.views), device=mean.device) % mean.shape[1]
        mean, deviation = mean[:, None, views], (0.5 * log_variance[:, None, views]).exp()
        if draws is None:
            draws = self.draws(len(views), mean.device)
        total = torch.zeros_like(mean[:, 0, 0])
        for first in range(0, len(draws), CHUNK):
            total = total + (mean + deviation * draws[first : first + CHUNK]).amax(2).sum(1)
        return total / len(draws)

    def draws(self, views: int, device: torch.device) -> Float[Tensor, "K W Z"]:
        """(DRAWS, views, Z) the noise of `expected`."""
        return noise(self.seed, 0, "mean code", (DRAWS, views, self.latent), device, portable=True)


def noise(
    seed: int, step: int, purpose: str, shape: tuple[int, ...], device: torch.device, *, portable: bool = False
) -> Tensor:
    """Standard normal numbers that depend on (seed, step, purpose) alone, and on the kind of device.

    portable : the same on every device, for evaluations; made on the CPU and copied, for which a GPU's queue waits.
    """
    source = source_of_noise(seed, step, purpose, torch.device("cpu") if portable else device)
    return torch.randn(shape, generator=source, device=source.device).to(device)


def source_of_noise(seed: int, step: int, purpose: str, device: torch.device) -> torch.Generator:
    """A generator on a GPU, which is counter-based there (Philox: Salmon et al. 2011), or on the CPU for all others."""
    on = device if device.type == "cuda" else torch.device("cpu")
    return torch.Generator(on).manual_seed(stable_hash(seed, purpose, step) >> 1)


def projections(voxels: Float[Tensor, "B 1 R R R"]) -> Float[Tensor, "B 1 3 R R"]:
    """What is occupied seen along x, y and z, as channels in [-1, 1], in the place of one picture."""
    return 2 * torch.stack([voxels[:, 0].amax(axis) for axis in (1, 2, 3)], dim=1)[:, None] - 1
