"""Encoder E, generator G and discriminator D as constructor arguments, never copied files.

E picture -> (mean, log-variance), G code -> occupancy logits, D occupancy -> one logit.
Shape letters: B samples, S pixels, R voxels a side, Z numbers in the code.

Initial weights: Kaiming uniform with a = sqrt(5) (torch's default for convolutions), drawn
from the experiment's seed; batch norm starts at 1 and 0, biases at 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training.networks.layers import BatchNorm, Convolution, Doubling, SpectralNorm, channels_last
from training.networks.staged import Stage, State, chain, run, with_mask
from training.parallel import world_size


def _channels(base: int, width: float) -> int:
    return max(1, round(base * width))


class Encoder(nn.Module):
    """Pictures to codes; with `mask`, a head on the features at S/8 that marks where the object is.

    That head is for training only: its loss tells the first layers the object from what is behind it.
    """

    micro_batch: int | None = None  # pictures that pass at once; None for all
    mask: nn.Conv2d | None

    def stages(self) -> list[Stage]:
        """The layers, cut at their norms."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> State:
        """(B, 3, S, S) -> (B, 2Z), and (B, 1, S/8, S/8) logits of the mask where the encoder has one."""
        return run(self.stages(), images, 0, self.micro_batch)


class ChainEncoder(Encoder):
    """Convolutions with batch norm and ReLU between them, then `head`."""

    def __init__(
        self,
        channels: Sequence[int],  # of the picture and of each convolution
        kernels: Sequence[int],
        strides: Sequence[int],
        head: nn.Module,  # (B, C, n, n) -> (B, 2Z) or (B, 2Z, 1, 1)
        *,
        bias: bool,
        mask_after: int | None,  # convolutions before the mask's head; None for no mask
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], kernel, stride, kernel // 2 if stride == 2 else stride, bias=bias)
            for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True))
        )
        self.norms = nn.ModuleList(BatchNorm(c, sources=1) for c in channels[1:])
        self.head, self.mask_after = head, mask_after
        self.mask = None if mask_after is None else nn.Conv2d(channels[mask_after], 1, 1)

    def stages(self) -> list[Stage]:
        stages = chain([*self.layers, lambda x: self.head(x).flatten(1)], _norms(self.norms), F.relu)
        if self.mask is None or self.mask_after is None:
            return stages
        return with_mask(stages, self.mask_after, self.mask, F.relu)


def paper_encoder(size_px: int, latent: int, width: float, *, bias: bool = False, mask: bool = False) -> Encoder:
    """Section 3.3: kernels 11, 5, 5, 5, S/32, strides 4, 2, 2, 2, 1, channels 64 ... 512, 2Z."""
    c = [3, *(_channels(64 * 2**i, width) for i in range(4))]
    head = nn.Conv2d(c[4], 2 * latent, max(1, size_px // 32), bias=False)
    return ChainEncoder(c, (11, 5, 5, 5), (4, 2, 2, 2), head, bias=bias, mask_after=2 if mask else None)


def strided_encoder(size_px: int, latent: int, width: float, *, bias: bool = False, mask: bool = False) -> Encoder:
    """A kernel-5 and four kernel-3 convolutions, all with stride 2, then one linear layer."""
    c = [3, *(_channels(64 * 2**i, width) for i in range(5))]
    head = nn.Sequential(nn.Flatten(), nn.Linear(c[5] * max(1, size_px // 32) ** 2, 2 * latent))
    return ChainEncoder(c, (5, 3, 3, 3, 3), (2,) * 5, head, bias=bias, mask_after=3 if mask else None)


class Residual(nn.Module):
    """Basic block of He et al. 2015: two kernel-3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, bias: bool):
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=bias)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=bias)
        self.norms = nn.ModuleList(BatchNorm(channels_out, sources=1) for _ in range(2))
        same = stride == 1 and channels_in == channels_out
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, bias=bias)
        self.shortcut_norm = None if same else BatchNorm(channels_out, sources=1)

    def enter(self, x: Tensor) -> State:
        """The input of the first norm, and what runs beside.

        The shortcut takes every second pixel by slicing: the backward pass of a strided kernel-1 convolution of fewer
        than 16 channels writes past its memory on several threads (oneDNN's issue 6035, seen with torch 2.13).
        """
        if self.shortcut is None:
            return self.first(x), x
        return self.first(x), self.shortcut(x[:, :, :: self.stride, :: self.stride])

    def stages(self, leave: Callable[[Tensor], State]) -> list[Stage]:
        """What follows `enter`; `leave` takes the block's output."""
        first, second = _norms(self.norms)
        return [
            Stage((first, self.shortcut_norm), lambda x, beside: (self.second(F.relu(x)), beside)),
            Stage((second, None), lambda x, beside: leave(F.relu(x + beside))),
        ]


class ResidualEncoder(Encoder):
    """ResNet-18 (He et al. 2015, table 1) from scratch, with a kernel-5 first layer for small pictures."""

    def __init__(self, size_px: int, latent: int, width: float, *, bias: bool = False, mask: bool = False):
        super().__init__()
        c = [_channels(64 * 2**i, width) for i in range(4)]
        self.first, self.norm = nn.Conv2d(3, c[0], 5, 2, 2, bias=bias), BatchNorm(c[0], sources=1)
        self.pool = nn.MaxPool2d(3, 2, 1) if size_px >= 128 else nn.Identity()
        self.blocks = nn.ModuleList(
            Residual(c[max(i - 1 + j, 0)], c[i], 1 if i == 0 or j == 1 else 2, bias=bias)
            for i in range(4)
            for j in range(2)
        )
        self.head = nn.Linear(c[3], 2 * latent)
        self.mask = nn.Conv2d(c[2], 1, 1) if mask else None

    def stages(self) -> list[Stage]:
        blocks = [cast(Residual, block) for block in self.blocks]
        leaves: list[Callable[[Tensor], State]] = [block.enter for block in blocks[1:]]
        leaves.append(lambda x: (self.head(x.mean((2, 3))),))
        stages = [
            Stage((None,), lambda x: (self.first(x),)),
            Stage((self.norm,), lambda x: blocks[0].enter(self.pool(F.relu(x)))),
        ]
        for block, leave in zip(blocks, leaves, strict=True):
            stages += block.stages(leave)
        if self.mask is None:
            return stages
        return with_mask(stages, 13, self.mask, lambda x, beside: F.relu(x + beside))  # the sixth block's output


ENCODERS: dict[str, Callable[..., Encoder]] = {
    "paper": paper_encoder,
    "strided": strided_encoder,
    "resnet": ResidualEncoder,
}


def _norms(modules: nn.ModuleList) -> list[BatchNorm | None]:
    return [module if isinstance(module, BatchNorm) else None for module in modules]


class Generator(nn.Module):
    """Appendix A: volumetric transposed convolutions with batch norm and ReLU between them.

    `paper`: the first layer spreads z over (R/16)^3 cells (kernel 4, stride 1 at 64^3), then
    kernel 4, stride 2, channels 8R, 4R, 2R, R, 1 times `width`.  `small`: kernel 2, stride 2.
    The first layer acts on one cell, so it is a matrix product; the sigmoid is outside.
    """

    micro_batch: int | None = None  # codes that pass at once; None for all

    def __init__(
        self,
        latent: int,
        resolution: int,
        width: float,
        *,
        style: str = "paper",
        last_bias: bool = False,
        bias: bool = False,
    ):
        super().__init__()
        c = [_channels(resolution * 2**i, width) for i in (3, 2, 1, 0)]
        self.latent, self.resolution, self.side = latent, resolution, resolution // 16
        self.first = nn.Linear(latent, c[0] * self.side**3, bias=bias)
        kernel, padding = (4, 1) if style == "paper" else (2, 0)
        self.middle = nn.ModuleList(nn.ConvTranspose3d(c[i], c[i + 1], kernel, 2, padding, bias=bias) for i in range(3))
        self.norms = nn.ModuleList(BatchNorm(channels) for channels in c)
        self.last = (
            Doubling(c[3], bias=last_bias) if style == "paper" else nn.ConvTranspose3d(c[3], 1, 2, 2, bias=last_bias)
        )

    def forward(self, z: Tensor, source: int) -> Tensor:
        """(B, Z) -> (B, 1, R, R, R) logits; `source` is 0 for codes of E and 1 for codes of the prior."""
        stages = chain([self._spread, *self.middle, self.last], _norms(self.norms), F.relu)
        return run(stages, z, source, self.micro_batch)[0]

    def _spread(self, z: Tensor) -> Tensor:
        return channels_last(self.first(z).reshape(z.shape[0], -1, self.side, self.side, self.side))


class Discriminator(nn.Module):
    """The generator's mirror with leaky ReLU (appendix A); `small` has kernel 3 without padding."""

    micro_batch: int | None = None  # shapes that pass at once; None for all

    def __init__(
        self,
        resolution: int,
        width: float,
        *,
        style: str = "paper",
        norm: bool = True,
        spectral: bool = False,
        leak: float = 0.2,
        bias: bool = False,
    ):
        super().__init__()
        c = [1, *(_channels(resolution * 2**i, width) for i in range(4))]
        self.leak = leak
        kernel, padding = (4, 1) if style == "paper" else (3, 0)
        has_bias = bias or not norm
        self.middle = nn.ModuleList(
            Convolution(c[i], c[i + 1], kernel=kernel, stride=2, padding=padding, bias=has_bias, spectral=spectral)
            for i in range(4)
        )
        # As in DCGAN (Radford et al. 2016), which the paper follows, the first layer has no norm.
        self.norms = nn.ModuleList(
            BatchNorm(channels) if norm and i > 0 else nn.Identity() for i, channels in enumerate(c[1:])
        )
        side = resolution
        for _ in range(4):
            side = (side + 2 * padding - kernel) // 2 + 1
        self.last = Convolution(c[4], 1, kernel=side, stride=1, padding=0, bias=has_bias, spectral=spectral)

    def features(self, occupancy: Tensor, source: int) -> list[Tensor]:
        """(B, 1, R, R, R) in [0, 1] -> the four layers' activations, finest first."""
        x, out = occupancy, []
        for layer, norm in zip(self.middle, self.norms, strict=True):
            x = layer(x)
            x = self._leaky(norm(x, source) if isinstance(norm, BatchNorm) else x)
            out.append(x)
        return out

    def forward(self, occupancy: Tensor, source: int) -> Tensor:
        """(B, 1, R, R, R) in [0, 1] -> (B,) logits; `source` is 0 for real and 1 for generated."""
        # One power iteration a batch, however many pieces the batch comes in.
        weights = [cast(Convolution, layer).effective_weight() for layer in (*self.middle, self.last)]
        return self.judged(occupancy, source, weights)

    def judged(self, occupancy: Tensor, source: int, weights: list[Tensor]) -> Tensor:
        """The same, by the weights that act now."""
        layers = (*self.middle, self.last)
        ready = [functools.partial(layer, weight=weight) for layer, weight in zip(layers, weights, strict=True)]
        return run(chain(ready, _norms(self.norms), self._leaky), occupancy, source, self.micro_batch)[0].flatten()

    def _leaky(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.leak)


class Networks(nn.Module):
    """E, G and D of one experiment; E or D is None where the experiment has none."""

    def __init__(self, settings: Experiment, *, size_px: int, resolution: int):
        super().__init__()
        check_sizes(settings, size_px, resolution)
        seen_px = resolution if settings.encoder_input == "projections" else size_px
        self.E = (
            None
            if settings.encoder == "none"
            else ENCODERS[settings.encoder](
                seen_px,
                settings.latent,
                settings.encoder_width,
                bias=settings.bias,
                mask=settings.mask_weight > 0,
            )
        )
        self.G = Generator(
            settings.latent,
            resolution,
            settings.width,
            style=settings.networks,
            last_bias=settings.occupancy_bias,
            bias=settings.bias,
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
                bias=settings.bias,
            )
        )
        initialise(self, settings.seed)

    def set_micro_batch(self, samples: int | None, views: int) -> None:
        """Let at most `samples` samples of `views` pictures each pass a network at once."""
        self.G.micro_batch = samples
        if self.E is not None:
            self.E.micro_batch = None if samples is None else samples * views
        if self.D is not None:
            self.D.micro_batch = samples

    def compile_where_it_pays(self, settings: Experiment, device: torch.device) -> None:
        """torch.compile each network in place, names of weights unchanged; on a CPU it gains nothing."""
        # Pieces and exchanges between processes happen inside a network and would cut its graph.
        whole = settings.micro_batch is None and settings.on_out_of_memory == "stop" and world_size() == 1
        if settings.compile == "off" or (settings.compile == "auto" and not (device.type == "cuda" and whole)):
            return
        for network in (self.E, self.G):
            if network is not None:
                network.compile()
        # The penalty of WGAN-GP differentiates D twice, which compiled code cannot.
        if self.D is not None and settings.adversarial != "wgan-gp":
            self.D.judged = torch.compile(self.D.judged)  # type: ignore[method-assign]


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
