"""The loop as re-implementations of the paper write it, kept to be measured against.

Same layers, channels, losses and optimizers as `training/`, written plainly: transposed
convolutions down to one channel, torch's own batch norm, a fresh pass of G for every use, generated
shapes not detached in D's step, and D's weight gradients computed again in G's step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def plain_generator(latent: int, width: int) -> nn.Module:
    """z (B, Z, 1, 1, 1) -> (B, 1, 32, 32, 32) in [0, 1]; channels 8w, 4w, 2w, w, 1."""
    layers: list[nn.Module] = [nn.ConvTranspose3d(latent, 8 * width, 4, 2, 1, bias=False)]
    for factor in (8, 4, 2):
        layers += [
            nn.BatchNorm3d(factor * width),
            nn.ReLU(),
            nn.ConvTranspose3d(factor * width, factor * width // 2, 4, 2, 1, bias=False),
        ]
    layers += [nn.BatchNorm3d(width), nn.ReLU(), nn.ConvTranspose3d(width, 1, 4, 2, 1), nn.Sigmoid()]
    return nn.Sequential(*layers)


def plain_discriminator(width: int) -> nn.Module:
    """(B, 1, 32, 32, 32) -> (B, 1, 1, 1, 1) probability."""
    channels = [1, width, 2 * width, 4 * width, 8 * width]
    layers: list[nn.Module] = []
    for i in range(4):
        layers += [nn.Conv3d(channels[i], channels[i + 1], 4, 2, 1, bias=False)]
        layers += ([nn.BatchNorm3d(channels[i + 1])] if i else []) + [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv3d(8 * width, 1, 2, bias=False), nn.Sigmoid())


def plain_encoder(latent: int, width: int) -> nn.Module:
    """(B, 3, 64, 64) -> (B, 2Z)."""
    channels = [3, *(width * 2**i for i in range(5))]
    layers: list[nn.Module] = []
    for i in range(5):
        kernel = 5 if i == 0 else 3
        layers += [
            nn.Conv2d(channels[i], channels[i + 1], kernel, 2, kernel // 2, bias=False),
            nn.BatchNorm2d(channels[i + 1]),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * 4, 2 * latent))


class PlainStep:
    """D, then E, then G, each with passes of its own."""

    def __init__(self, latent: int, width: int):
        self.latent = latent
        self.E, self.G = plain_encoder(latent, width), plain_generator(latent, width)
        self.D = plain_discriminator(width)
        self.optimizers = {name: torch.optim.Adam(getattr(self, name).parameters(), lr=1e-4) for name in "EGD"}

    def __call__(self, images: Tensor, voxels: Tensor) -> None:
        ones, zeros = torch.ones(len(voxels)), torch.zeros(len(voxels))
        fake = self.G(torch.randn(len(voxels), self.latent, 1, 1, 1))
        self._step(
            "D",
            F.binary_cross_entropy(self.D(voxels).flatten(), ones)
            + F.binary_cross_entropy(self.D(fake).flatten(), zeros),
        )
        reconstruction, kl = self._reconstruct(images, voxels)
        self._step("E", reconstruction + kl)
        reconstruction, _ = self._reconstruct(images, voxels)
        fake = self.G(torch.randn(len(voxels), self.latent, 1, 1, 1))
        self._step("G", reconstruction + F.binary_cross_entropy(self.D(fake).flatten(), ones))

    def _reconstruct(self, images: Tensor, voxels: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.E(images).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        loss = F.binary_cross_entropy(self.G(z[:, :, None, None, None]), voxels, reduction="sum") / len(voxels)
        return loss, 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()

    def _step(self, name: str, loss: Tensor) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizers[name].step()
