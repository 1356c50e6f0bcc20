"""Every loss, with its equation.  Sums over a sample's numbers, means over the batch.

Shape letters: B samples, Z numbers in the code, R voxels a side.  All networks give logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pipeline.settings.training import Experiment

Codes = Float[Tensor, "*batch Z"]
Volumes = Float[Tensor, "B 1 R R R"]
Numbers = Float[Tensor, " B"]  # one of each sample
Mean = Float[Tensor, ""]  # over the batch


@dataclass(frozen=True)
class Objective:
    """What a training minimises: the terms, their weights and when the adversarial ones are computed."""

    reconstruction: str  # a key of RECONSTRUCTION
    reconstruction_weight: float
    kl_weight: float
    mask_weight: float
    camera_weight: float
    adversarial: str  # a key of DISCRIMINATOR and GENERATOR
    adversarial_weight: float
    adversarial_every: int  # steps
    discriminator_gate: float  # D learns while its last accuracy was at most this
    soft_labels: bool
    gradient_penalty: float  # weight; of "wgan-gp"
    r1_gamma: float
    r1_every: int  # adversarial steps
    discriminator_shift: int  # voxels

    @classmethod
    def of(cls, settings: Experiment) -> Objective:
        """The part of an experiment that its losses depend on."""
        return cls(**{name: getattr(settings, name) for name in cls.__dataclass_fields__})


def kl_to_standard_normal(mean: Codes, log_variance: Codes) -> Float[Tensor, "*batch"]:
    """KL(N(mean, variance) || N(0, 1)) = 1/2 sum(mean^2 + variance - log variance - 1).

    Kingma & Welling 2014, appendix B; equation 5 of Wu et al. 2016.  (..., Z) -> (...,).
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)


def kl_between(
    mean: Codes, log_variance: Codes, other_mean: Codes, other_log_variance: Codes
) -> Float[Tensor, "*batch"]:
    """KL(N(mean, variance) || N(other mean, other variance)), diagonal normals.  (..., Z) -> (...,).

    Kullback 1959, section 9.1: 1/2 sum(log(s2'/s2) + (s2 + (m - m')^2) / s2' - 1).
    """
    ratio = (log_variance - other_log_variance).exp()
    apart = (mean - other_mean).square() * (-other_log_variance).exp()
    return 0.5 * (other_log_variance - log_variance + ratio + apart - 1).sum(-1)


def camera_numbers(azimuth_deg: Tensor, elevation_deg: Tensor, distance: Tensor) -> Float[Tensor, "*batch 4"]:
    """Where a camera stands: sine and cosine of its azimuth, elevation in radians, distance in sides of the box."""
    azimuth = azimuth_deg.deg2rad()
    return torch.stack([azimuth.sin(), azimuth.cos(), elevation_deg.deg2rad(), distance], dim=-1)


def reconstruction_bce(logits: Volumes, occupancy: Volumes) -> Numbers:
    """-sum(x log p + (1 - x) log(1 - p)), the Bernoulli likelihood.  (B, ...) -> (B,)."""
    return F.binary_cross_entropy_with_logits(logits, occupancy, reduction="none").flatten(1).sum(1)


def reconstruction_l2(logits: Volumes, occupancy: Volumes) -> Numbers:
    """||G(E(y)) - x||^2, equation 6 of Wu et al. 2016 as its re-implementations sum it.  -> (B,)."""
    return (logits.sigmoid() - occupancy).square().flatten(1).sum(1)


def reconstruction_dice(logits: Volumes, occupancy: Volumes) -> Numbers:
    """1 - 2 sum(p x) / (sum p + sum x), Milletari et al. 2016 (V-Net).  -> (B,)."""
    p, x = logits.sigmoid().flatten(1), occupancy.flatten(1)
    return 1 - 2 * (p * x).sum(1) / (p.sum(1) + x.sum(1)).clamp_min(1.0)


def mask_bce(logits: Float[Tensor, "B 1 n n"], masks: Float[Tensor, "B 1 S S"]) -> Numbers:
    """Cross-entropy of where the object is, a mean over pixels.  (B, 1, n, n), (B, 1, S, S) in [0, 1] -> (B,)."""
    wanted = F.adaptive_avg_pool2d(masks, logits.shape[-1])
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").flatten(1).mean(1)


RECONSTRUCTION: dict[str, Callable[[Volumes, Volumes], Numbers]] = {
    "bce": reconstruction_bce,
    "l2": reconstruction_l2,
    "dice": reconstruction_dice,
}


def discriminator_bce(real: Numbers, fake: Numbers, labels: tuple[Numbers, Numbers] | None = None) -> Mean:
    """-log D(x) - log(1 - D(G(z))), equation 1 of Wu et al. 2016; `labels` replace 1 and 0."""
    ones, zeros = labels if labels is not None else (torch.ones_like(real), torch.zeros_like(fake))
    return F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(fake, zeros)


def generator_bce(fake: Numbers) -> Mean:
    """-log D(G(z)), the non-saturating form of Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake).mean()


def discriminator_hinge(real: Numbers, fake: Numbers) -> Mean:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), Lim & Ye 2017, Miyato et al. 2018 equation 16."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def discriminator_least_squares(real: Numbers, fake: Numbers) -> Mean:
    """1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2, Mao et al. 2017 equation 9."""
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def generator_least_squares(fake: Numbers) -> Mean:
    """1/2 (D(G(z)) - 1)^2, Mao et al. 2017 equation 9."""
    return 0.5 * (fake - 1).square().mean()


def discriminator_wasserstein(real: Numbers, fake: Numbers) -> Mean:
    """D(G(z)) - D(x), Arjovsky et al. 2017; the gradient penalty is added by the step."""
    return fake.mean() - real.mean()


def generator_minus(fake: Numbers) -> Mean:
    """-D(G(z)), for hinge and Wasserstein."""
    return -fake.mean()


def gradient_penalty(
    critic: Callable[[Volumes], Numbers], real: Volumes, fake: Volumes, mix: Float[Tensor, "B 1 1 1 1"]
) -> Mean:
    """(||grad D(mix x + (1 - mix) G(z))|| - 1)^2, Gulrajani et al. 2017 equation 3; `mix` (B, 1, 1, 1, 1)."""
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def r1_penalty(critic: Callable[[Volumes], Numbers], real: Volumes) -> Mean:
    """1/2 ||grad D(x)||^2 at real shapes, Mescheder et al. 2018 equation 9; a sum over a sample's voxels."""
    at = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    penalty: Tensor = 0.5 * gradient.flatten(1).square().sum(1).mean()
    return penalty


def moved(volumes: Volumes, draws: Float[Tensor, "B 4"], most: int) -> Volumes:
    """Each shape shifted by up to `most` voxels along each axis, half of them mirrored left to right.

    Differentiable augmentation (Zhao et al. 2020): D sees real and generated shapes only so, in its own step and in
    G's, so it cannot memorise the shapes of a small set, and G learns nothing of the shifts.

    draws : uniform in [0, 1), one row a shape.
    """
    reach = torch.arange(volumes.shape[-1], device=volumes.device)
    places = (draws[:, :3] * (2 * most + 1)).long().clamp_max(2 * most)[:, :, None] + reach  # (B, 3, R)
    row = torch.arange(len(volumes), device=volumes.device)[:, None, None, None]
    x, y, z = places[:, 0, :, None, None], places[:, 1, None, :, None], places[:, 2, None, None, :]
    shifted = F.pad(volumes[:, 0], (most,) * 6)[row, x, y, z][:, None]
    return torch.where(draws[:, 3, None, None, None, None] < 0.5, shifted.flip(2), shifted)


DISCRIMINATOR: dict[str, Callable[[Numbers, Numbers], Mean]] = {
    "bce": discriminator_bce,
    "hinge": discriminator_hinge,
    "lsgan": discriminator_least_squares,
    "wgan-gp": discriminator_wasserstein,
}
GENERATOR: dict[str, Callable[[Numbers], Mean]] = {
    "bce": generator_bce,
    "hinge": generator_minus,
    "lsgan": generator_least_squares,
    "wgan-gp": generator_minus,
}
# Above this output the discriminator calls a shape real: the middle of its two targets.  A critic has no such place.
DECISION = {"bce": 0.0, "hinge": 0.0, "lsgan": 0.5}


def soft_labels(size: int, source: torch.Generator, device: torch.device) -> tuple[Numbers, Numbers]:
    """Real labels from 0.7-1.2 cut at 1 (cross-entropy is undefined above), generated from 0-0.3."""
    real, fake = (torch.rand(size, generator=source, device=source.device).to(device) for _ in range(2))
    return (0.7 + 0.5 * real).clamp_max(1.0), 0.3 * fake
