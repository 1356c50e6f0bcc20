"""The generator, codes to volumes; the discriminator, volumes to one number; the voxel encoder, volumes to codes.

Shape letters: B samples, R voxels a side, Z numbers in the code, Q = 2 Z.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from training.networks.encoders import Encoder, Seen
from training.networks.layers import (
    BatchNorm,
    Convolution,
    Doubling,
    Projection,
    Weighted,
    channels_last,
    channels_of,
    minibatch_deviation,
)


class Generator(nn.Module):
    """Appendix A: volumetric transposed convolutions with batch norm and ReLU between them.

    `paper`: the first layer spreads z over (R/16)^3 cells (kernel 4, stride 1 at 64^3), then
    kernel 4, stride 2, channels 8R, 4R, 2R, R, 1 times `width`.  `small`: kernel 2, stride 2.
    The first layer acts on one cell, so it is a matrix product; the sigmoid is outside.
    `classes`, where it is told categories, holds the mean of each one's codes, p(z | c) = N(e_c, 1): to the first
    layer, which is linear, that is a bias for each category.
    """

    def __init__(
        self,
        latent: int,
        resolution: int,
        width: float,
        *,
        style: str = "paper",
        last_bias: bool = False,
        bias: bool = False,
        categories: int = 0,  # that it is told; 0 where it is told none
    ):
        super().__init__()
        c = [channels_of(resolution * 2**i, width) for i in (3, 2, 1, 0)]
        self.latent, self.resolution, self.side = latent, resolution, resolution // 16
        self.first = nn.Linear(latent, c[0] * self.side**3, bias=bias)
        kernel, padding = (4, 1) if style == "paper" else (2, 0)
        self.middle = nn.ModuleList(nn.ConvTranspose3d(c[i], c[i + 1], kernel, 2, padding, bias=bias) for i in range(3))
        self.norms = nn.ModuleList(BatchNorm(channels) for channels in c)
        self.last = (
            Doubling(c[3], bias=last_bias) if style == "paper" else nn.ConvTranspose3d(c[3], 1, 2, 2, bias=last_bias)
        )
        self.classes = nn.Embedding(categories, latent) if categories else None

    def forward(self, z: Float[Tensor, "B Z"], source: int) -> Float[Tensor, "B 1 R R R"]:
        """(B, Z) -> (B, 1, R, R, R) logits; `source` is POSTERIOR for codes of E and PRIOR for codes of the prior."""
        x = channels_last(self.first(z).reshape(z.shape[0], -1, self.side, self.side, self.side))
        for norm, layer in zip(self.norms, (*self.middle, self.last), strict=True):
            x = layer(F.relu(norm(x, source)))
        return x


def last_side(resolution: int, kernel: int, padding: int) -> int:
    """Cells a side that four convolutions of stride 2 leave."""
    side = resolution
    for _ in range(4):
        side = (side + 2 * padding - kernel) // 2 + 1
    return side


class VoxelEncoder(Encoder):
    """The discriminator's layers with batch norm, and a code at their end: what autoencodes shapes with G.

    The TL-embedding network of Girdhar et al. 2016 (arXiv 1603.08637) begins with such an autoencoder.
    """

    def __init__(self, resolution: int, latent: int, width: float, *, style: str = "paper", leak: float = 0.2):
        super().__init__()
        c = [1, *(channels_of(resolution * 2**i, width) for i in range(4))]
        kernel, padding = (4, 1) if style == "paper" else (3, 0)
        self.leak = leak
        self.layers = nn.ModuleList(
            Convolution(c[i], c[i + 1], kernel=kernel, stride=2, padding=padding, bias=False, spectral=False)
            for i in range(4)
        )
        self.norms = nn.ModuleList(BatchNorm(channels, sources=1) for channels in c[1:])
        self.head = nn.Linear(c[4] * last_side(resolution, kernel, padding) ** 3, 2 * latent)

    def forward(self, occupancy: Float[Tensor, "B 1 R R R"]) -> Seen:
        x = occupancy
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = F.leaky_relu(norm(layer(x)), self.leak)
        return Seen(self.head(x.flatten(1)))


class Discriminator(nn.Module):
    """The generator's mirror with leaky ReLU (appendix A); `small` has kernel 3 without padding."""

    def __init__(
        self,
        resolution: int,
        width: float,
        *,
        style: str = "paper",
        norm: bool = True,
        first_norm: bool = False,  # after the first layer too
        spectral: bool = False,
        leak: float = 0.2,
        bias: bool = False,
        deviation: bool = False,  # one more channel before the last layer: see `layers.minibatch_deviation`
        categories: int = 0,  # that it is told: see `layers.Projection`; 0 where it is told none
    ):
        super().__init__()
        c = [1, *(channels_of(resolution * 2**i, width) for i in range(4))]
        self.leak, self.deviation = leak, deviation
        kernel, padding = (4, 1) if style == "paper" else (3, 0)
        has_bias = bias or not norm
        self.middle = nn.ModuleList(
            Convolution(c[i], c[i + 1], kernel=kernel, stride=2, padding=padding, bias=has_bias, spectral=spectral)
            for i in range(4)
        )
        # As in DCGAN (Radford et al. 2016), which the paper follows, the first layer has no norm; the peers' has one.
        self.norms = nn.ModuleList(
            BatchNorm(channels) if norm and (first_norm or i > 0) else nn.Identity() for i, channels in enumerate(c[1:])
        )
        side = last_side(resolution, kernel, padding)
        self.last = Convolution(c[4] + deviation, 1, kernel=side, stride=1, padding=0, bias=has_bias, spectral=spectral)
        self.classes = Projection(categories, c[4], spectral=spectral) if categories else None

    def forward(
        self, occupancy: Float[Tensor, "B 1 R R R"], source: int, labels: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B"]:
        """(B, 1, R, R, R) in [0, 1] -> (B,) logits; `source` is REAL or GENERATED, `labels` the categories."""
        # The weights are made outside of `judged`, which may be compiled and cannot know when they move.
        return self.judged(occupancy, source, self._weights(), labels)

    def judged(
        self,
        occupancy: Float[Tensor, "B 1 R R R"],
        source: int,
        weights: list[Tensor],
        labels: Int64[Tensor, " B"] | None = None,
    ) -> Float[Tensor, " B"]:
        """The same, by the weights that act now."""
        x = self._activations(occupancy, source, weights[:4])[-1]
        out: Tensor = self.last(minibatch_deviation(x) if self.deviation else x, weights[4]).flatten()
        if self.classes is None:
            return out
        if labels is None:
            raise ValueError("this discriminator judges shapes of known categories: give their labels")
        return out + cast(Tensor, self.classes(x, labels, weights[5]))

    def features(self, occupancy: Float[Tensor, "B 1 R R R"], source: int) -> list[Tensor]:
        """(B, 1, R, R, R) in [0, 1] -> the four layers' activations, finest first."""
        return self._activations(occupancy, source, self._weights()[:4])

    def iterate(self) -> None:
        """One power iteration of each spectral norm: once an update, before its first pass (Miyato et al. 2018)."""
        for layer in self._layers():
            layer.iterate()

    def _weights(self) -> list[Tensor]:
        """The weights that act: of the four layers, of the last one, and of the categories where they are told."""
        return [layer.effective_weight() for layer in self._layers()]

    def _layers(self) -> list[Weighted]:
        layers = [*self.middle, self.last] + ([] if self.classes is None else [self.classes])
        return cast(list[Weighted], layers)

    def _activations(self, occupancy: Tensor, source: int, weights: list[Tensor]) -> list[Tensor]:
        x, out = occupancy, []
        for layer, norm, weight in zip(self.middle, self.norms, weights, strict=True):
            x = layer(x, weight)
            x = F.leaky_relu(norm(x, source) if isinstance(norm, BatchNorm) else x, self.leak)
            out.append(x)
        return out
