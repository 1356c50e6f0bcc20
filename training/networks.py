"""Encoder E, generator G and discriminator D as constructor arguments, never copied files.

E picture -> (mean, log-variance), G code -> occupancy logits, D occupancy -> one logit.
Shape letters: B samples, S pixels, R voxels a side, Z numbers in the code.

Initial weights: Kaiming uniform with a = sqrt(5) (torch's default for convolutions), drawn
from the experiment's seed; batch norm starts at 1 and 0, biases at 0.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training.layers import Convolution, Doubling, SpectralNorm, TwoSourceBatchNorm, channels_last


def _channels(base: int, width: float) -> int:
    return max(1, round(base * width))


class PaperEncoder(nn.Module):
    """Section 3.3: kernels 11, 5, 5, 5, S/32, strides 4, 2, 2, 2, 1, channels 64 ... 512, 2Z."""

    def __init__(self, size_px: int, latent: int, width: float):
        super().__init__()
        c = [3, *(_channels(64 * 2**i, width) for i in range(4))]
        layers: list[nn.Module] = [nn.Conv2d(c[0], c[1], 11, 4, 4, bias=False), nn.BatchNorm2d(c[1]), nn.ReLU()]
        for i in (1, 2, 3):
            layers += [nn.Conv2d(c[i], c[i + 1], 5, 2, 2, bias=False), nn.BatchNorm2d(c[i + 1]), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(c[4], 2 * latent, max(1, size_px // 32), bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 2Z)."""
        out: Tensor = self.head(self.body(images))
        return out.flatten(1)


class StridedEncoder(nn.Module):
    """A kernel-5 and four kernel-3 convolutions, all with stride 2, then one linear layer."""

    def __init__(self, size_px: int, latent: int, width: float):
        super().__init__()
        c = [3, *(_channels(64 * 2**i, width) for i in range(5))]
        layers: list[nn.Module] = []
        for i in range(5):
            kernel = 5 if i == 0 else 3
            layers += [
                nn.Conv2d(c[i], c[i + 1], kernel, 2, kernel // 2, bias=False),
                nn.BatchNorm2d(c[i + 1]),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(c[5] * max(1, size_px // 32) ** 2, 2 * latent)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 2Z)."""
        out: Tensor = self.head(self.body(images).flatten(1))
        return out


class Residual(nn.Module):
    """Basic block of He et al. 2015: two kernel-3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False), nn.BatchNorm2d(channels_out),
        )  # fmt: skip
        self.shortcut = (
            nn.Sequential()
            if stride == 1 and channels_in == channels_out
            else nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class ResidualEncoder(nn.Module):
    """ResNet-18 (He et al. 2015, table 1) from scratch, with a kernel-5 first layer for small pictures."""

    def __init__(self, size_px: int, latent: int, width: float):
        super().__init__()
        c = [_channels(64 * 2**i, width) for i in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(3, c[0], 5, 2, 2, bias=False), nn.BatchNorm2d(c[0]), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2, 1)] if size_px >= 128 else []
        for i in range(4):
            layers += [Residual(c[max(i - 1, 0)], c[i], 1 if i == 0 else 2), Residual(c[i], c[i], 1)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(c[3], 2 * latent)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 2Z)."""
        out: Tensor = self.head(self.body(images).mean((2, 3)))
        return out


ENCODERS = {"paper": PaperEncoder, "strided": StridedEncoder, "resnet": ResidualEncoder}


class Generator(nn.Module):
    """Appendix A: volumetric transposed convolutions with batch norm and ReLU between them.

    `paper`: the first layer spreads z over (R/16)^3 cells (kernel 4, stride 1 at 64^3), then
    kernel 4, stride 2, channels 8R, 4R, 2R, R, 1 times `width`.  `small`: kernel 2, stride 2.
    The first layer acts on one cell, so it is a matrix product; the sigmoid is outside.
    """

    def __init__(self, latent: int, resolution: int, width: float, *, style: str = "paper", last_bias: bool = False):
        super().__init__()
        c = [_channels(resolution * 2**i, width) for i in (3, 2, 1, 0)]
        self.latent, self.resolution, self.side = latent, resolution, resolution // 16
        self.first = nn.Linear(latent, c[0] * self.side**3, bias=False)
        kernel, padding = (4, 1) if style == "paper" else (2, 0)
        self.middle = nn.ModuleList(
            nn.ConvTranspose3d(c[i], c[i + 1], kernel, 2, padding, bias=False) for i in range(3)
        )
        self.norms = nn.ModuleList(TwoSourceBatchNorm(channels) for channels in c)
        self.last = (
            Doubling(c[3], bias=last_bias) if style == "paper" else nn.ConvTranspose3d(c[3], 1, 2, 2, bias=last_bias)
        )

    def forward(self, z: Tensor, source: int) -> Tensor:
        """(B, Z) -> (B, 1, R, R, R) logits; `source` is 0 for codes of E and 1 for codes of the prior."""
        x = self.first(z).reshape(z.shape[0], -1, self.side, self.side, self.side)
        x = F.relu(self.norms[0](channels_last(x), source))
        for layer, norm in zip(self.middle, list(self.norms)[1:], strict=True):
            x = F.relu(norm(layer(x), source))
        logits: Tensor = self.last(x)
        return logits


class Discriminator(nn.Module):
    """The generator's mirror with leaky ReLU (appendix A); `small` has kernel 3 without padding."""

    def __init__(
        self,
        resolution: int,
        width: float,
        *,
        style: str = "paper",
        norm: bool = True,
        spectral: bool = False,
        leak: float = 0.2,
    ):
        super().__init__()
        c = [1, *(_channels(resolution * 2**i, width) for i in range(4))]
        self.leak = leak
        kernel, padding = (4, 1) if style == "paper" else (3, 0)
        self.middle = nn.ModuleList(
            Convolution(c[i], c[i + 1], kernel=kernel, stride=2, padding=padding, bias=not norm, spectral=spectral)
            for i in range(4)
        )
        # As in DCGAN (Radford et al. 2016), which the paper follows, the first layer has no norm.
        self.norms = nn.ModuleList(
            TwoSourceBatchNorm(channels) if norm and i > 0 else nn.Identity() for i, channels in enumerate(c[1:])
        )
        side = resolution
        for _ in range(4):
            side = (side + 2 * padding - kernel) // 2 + 1
        self.last = Convolution(c[4], 1, kernel=side, stride=1, padding=0, bias=not norm, spectral=spectral)

    def features(self, occupancy: Tensor, source: int) -> list[Tensor]:
        """(B, 1, R, R, R) in [0, 1] -> the four layers' activations, finest first."""
        x, out = occupancy, []
        for layer, norm in zip(self.middle, self.norms, strict=True):
            x = layer(x)
            x = F.leaky_relu(norm(x, source) if isinstance(norm, TwoSourceBatchNorm) else x, self.leak)
            out.append(x)
        return out

    def forward(self, occupancy: Tensor, source: int) -> Tensor:
        """(B, 1, R, R, R) in [0, 1] -> (B,) logits; `source` is 0 for real and 1 for generated."""
        logits: Tensor = self.last(self.features(occupancy, source)[-1])
        return logits.flatten()


class Networks(nn.Module):
    """E, G and D of one experiment; E or D is None where the experiment has none."""

    def __init__(self, settings: Experiment, *, size_px: int, resolution: int):
        super().__init__()
        check_sizes(settings, size_px, resolution)
        seen_px = resolution if settings.encoder_input == "projections" else size_px
        self.E = (
            None
            if settings.encoder == "none"
            else ENCODERS[settings.encoder](seen_px, settings.latent, settings.encoder_width)
        )
        self.G = Generator(
            settings.latent, resolution, settings.width, style=settings.networks, last_bias=settings.occupancy_bias
        )
        self.D = (
            None
            if settings.adversarial_weight == 0
            else Discriminator(
                resolution,
                settings.width,
                style=settings.networks,
                norm=settings.discriminator_norm,
                spectral=settings.spectral_norm,
                leak=settings.leak,
            )
        )
        initialise(self, settings.seed)


def check_sizes(settings: Experiment, size_px: int, resolution: int) -> None:
    """Refuse pictures or grids that the networks cannot take."""
    if settings.encoder != "none" and settings.encoder_input == "picture" and size_px % 32:
        raise UserError(
            "the encoder needs pictures of another size",
            got=f"{size_px} px",
            wanted="64, 128 or 256 px",
            do="set render.size_px in config.yaml and run the same command again",
        )
    if resolution not in (16, 32, 64, 128) or (settings.networks == "small" and resolution < 32):
        raise UserError(
            "the networks need another voxel resolution",
            got=str(resolution),
            wanted="32 or 64",
            do="set voxels.resolution in config.yaml and run the same command again",
        )


def initialise(networks: nn.Module, seed: int) -> None:
    """Draw every weight from (seed, its name), so that adding a layer changes no other."""
    for name, parameter in networks.named_parameters():
        if parameter.dim() > 1:
            source = torch.Generator().manual_seed(stable_hash(seed, "weight", name) >> 1)
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5), generator=source)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    for name, module in networks.named_modules():
        if isinstance(module, SpectralNorm):
            source = torch.Generator().manual_seed(stable_hash(seed, "singular vector", name) >> 1)
            module.left.copy_(F.normalize(torch.randn(module.left.shape, generator=source), dim=0))


def set_output_bias(generator: Generator, occupancy: float) -> None:
    """Start at the data's mean occupancy: the bias of a constant prediction that minimises cross-entropy."""
    bias = generator.last.bias
    if isinstance(bias, Tensor):
        with torch.no_grad():
            bias.fill_(math.log(max(occupancy, 1e-4) / max(1 - occupancy, 1e-4)))


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in module.parameters())
