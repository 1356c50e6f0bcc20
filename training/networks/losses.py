"""Every loss, with its equation.  Sums over a sample's numbers, means over the batch.

Shape letters: B samples, Z numbers in the code, R voxels a side.  All networks give logits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) = 1/2 sum(mean^2 + variance - log variance - 1).

    Kingma & Welling 2014, appendix B; equation 5 of Wu et al. 2016.  (..., Z) -> (...,).
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)


def reconstruction_bce(logits: Tensor, occupancy: Tensor) -> Tensor:
    """-sum(x log p + (1 - x) log(1 - p)), the Bernoulli likelihood.  (B, ...) -> (B,)."""
    return F.binary_cross_entropy_with_logits(logits, occupancy, reduction="none").flatten(1).sum(1)


def reconstruction_l2(logits: Tensor, occupancy: Tensor) -> Tensor:
    """||G(E(y)) - x||^2, equation 6 of Wu et al. 2016 as its re-implementations sum it.  -> (B,)."""
    return (logits.sigmoid() - occupancy).square().flatten(1).sum(1)


def reconstruction_dice(logits: Tensor, occupancy: Tensor) -> Tensor:
    """1 - 2 sum(p x) / (sum p + sum x), Milletari et al. 2016 (V-Net).  -> (B,)."""
    p, x = logits.sigmoid().flatten(1), occupancy.flatten(1)
    return 1 - 2 * (p * x).sum(1) / (p.sum(1) + x.sum(1)).clamp_min(1.0)


def mask_bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy of where the object is, a mean over pixels.  (B, 1, n, n), (B, 1, S, S) in [0, 1] -> (B,)."""
    wanted = F.adaptive_avg_pool2d(masks, logits.shape[-1])
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").flatten(1).mean(1)


RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": reconstruction_bce,
    "l2": reconstruction_l2,
    "dice": reconstruction_dice,
}


def discriminator_bce(real: Tensor, fake: Tensor, labels: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), equation 1 of Wu et al. 2016; `labels` replace 1 and 0."""
    ones, zeros = labels if labels is not None else (torch.ones_like(real), torch.zeros_like(fake))
    return F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(fake, zeros)


def generator_bce(fake: Tensor) -> Tensor:
    """-log D(G(z)), the non-saturating form of Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake).mean()


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), Lim & Ye 2017, Miyato et al. 2018 equation 16."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def discriminator_least_squares(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2, Mao et al. 2017 equation 9."""
    return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()


def generator_least_squares(fake: Tensor) -> Tensor:
    """1/2 (D(G(z)) - 1)^2, Mao et al. 2017 equation 9."""
    return 0.5 * (fake - 1).square().mean()


def discriminator_wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """D(G(z)) - D(x), Arjovsky et al. 2017; the gradient penalty is added by the step."""
    return fake.mean() - real.mean()


def generator_minus(fake: Tensor) -> Tensor:
    """-D(G(z)), for hinge and Wasserstein."""
    return -fake.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """(||grad D(mix x + (1 - mix) G(z))|| - 1)^2, Gulrajani et al. 2017 equation 3; `mix` (B, 1, 1, 1, 1)."""
    between = (mix * real + (1 - mix) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


DISCRIMINATOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": discriminator_bce,
    "hinge": discriminator_hinge,
    "lsgan": discriminator_least_squares,
    "wgan-gp": discriminator_wasserstein,
}
GENERATOR: dict[str, Callable[[Tensor], Tensor]] = {
    "bce": generator_bce,
    "hinge": generator_minus,
    "lsgan": generator_least_squares,
    "wgan-gp": generator_minus,
}
# Above this output the discriminator calls a shape real: the middle of its two targets.
DECISION = {"bce": 0.0, "hinge": 0.0, "lsgan": 0.5, "wgan-gp": 0.0}


def soft_labels(size: int, source: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Real labels from 0.7-1.2 cut at 1 (cross-entropy is undefined above), generated from 0-0.3."""
    real = (0.7 + 0.5 * torch.rand(size, generator=source)).clamp_max(1.0)
    return real.to(device), (0.3 * torch.rand(size, generator=source)).to(device)
