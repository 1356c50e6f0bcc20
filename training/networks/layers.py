"""Layers that the networks share: batch norm of the global batch, spectral norm, fast outer layers.

Shape letters: B samples, C channels, n voxels a side.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from training.parallel import total, world_size


def channels_of(base: int, width: float) -> int:
    """How many channels a layer of `base` channels has in networks of this width."""
    return max(1, round(base * width))


def at_least_float32(x: Tensor) -> Tensor:
    """The numbers in float32, in which losses and statistics are computed; float64 as it is."""
    return x if x.dtype == torch.float64 else x.float()


def channels_last(x: Tensor) -> Tensor:
    """The same numbers in the layout that convolutions like best; as it is in a traced graph, which has no layouts."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


def lay_kernels_channels_last(module: nn.Module) -> None:
    """Kernels in the layout of `channels_last`, once for all calls: else a GPU's convolutions copy them in each."""
    for parameter in module.parameters():
        if parameter.dim() >= 4:
            parameter.data = channels_last(parameter.data)


class BatchNorm(nn.Module):
    """Batch norm over the GLOBAL batch (Ioffe & Szegedy 2015), running statistics apart for each source of samples.

    The generator sees codes of the encoder (source 0) and of the prior (source 1), the
    discriminator real (0) and generated (1) shapes.  One mixed average fits neither.
    The statistics are those of the whole batch, however it is shared among processes, so their number
    does not change what is learned.
    """

    running_mean: Tensor  # (sources, C)
    running_var: Tensor  # (sources, C)

    def __init__(self, channels: int, sources: int = 2, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(sources, channels))
        self.register_buffer("running_var", torch.ones(sources, channels))

    def forward(self, x: Float[Tensor, "B C ..."], source: int = 0) -> Float[Tensor, "B C ..."]:
        """(B, C, ...) -> the same shape; in training mode the statistics of `source` move."""
        if self.training and world_size() > 1:
            return self._normalised(x, *self._global_statistics(x, source))
        return F.batch_norm(
            x,
            self.running_mean[source],
            self.running_var[source],
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )

    def _global_statistics(self, x: Tensor, source: int) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) over the samples of all ranks (Chan et al. 1979); the running statistics follow."""
        own_variance, own_mean = torch.var_mean(at_least_float32(x), dim=[0, *range(2, x.dim())], correction=0)
        own_count = x.numel() // x.shape[1]
        count = own_count * world_size()
        mean = total(own_mean * own_count) / count
        variance = total(own_count * (own_variance + (own_mean - mean).square())) / count
        with torch.no_grad():
            self.running_mean[source].lerp_(mean, self.momentum)
            self.running_var[source].lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return mean, variance

    def _normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = self.weight * (variance + self.eps).rsqrt()
        shape = (1, -1, *[1] * (x.dim() - 2))
        out = (at_least_float32(x) - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)


def minibatch_deviation(x: Float[Tensor, "B C n n n"]) -> Float[Tensor, "B D n n n"]:
    """The same with one more channel: the mean over features of their deviation over the global batch.

    So that D sees a generator whose samples are all alike (Karras et al. 2018, section 3).
    """
    mean = total(x.mean(0)) / world_size()
    variance = total((x - mean).square().mean(0)) / world_size()
    deviation = (variance + 1e-8).sqrt().mean()
    return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value (Miyato et al. 2018, algorithm 1).

    The stored vector u moves by one power iteration when `iterate` is called, once an update; a call does not move it.
    """

    left: Tensor  # (rows,)

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("left", F.normalize(torch.ones(weight.shape[0]), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # a singular value to three digits is none
            # u^T W v with v = W^T u / |W^T u| is |W^T u|, and so is its derivative by W, u v^T.
            largest: Tensor = (weight.reshape(weight.shape[0], -1).t() @ self.left).norm()
            return weight / largest

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """Move the stored vector: u <- W W^T u, normalised."""
        matrix = weight.reshape(weight.shape[0], -1)
        self.left.copy_(F.normalize(matrix @ (matrix.t() @ self.left), dim=0))


class Weighted(nn.Module):
    """A layer of the discriminator with one weight, with or without spectral norm."""

    def __init__(self, *shape: int, spectral: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape))
        self.spectral = SpectralNorm(self.weight) if spectral else None

    def effective_weight(self) -> Tensor:
        """The weight that acts."""
        return self.weight if self.spectral is None else cast(Tensor, self.spectral(self.weight))

    def iterate(self) -> None:
        """One power iteration of the spectral norm, where there is one."""
        if self.spectral is not None:
            self.spectral.iterate(self.weight)


class Convolution(Weighted):
    """3D convolution for the discriminator, with or without spectral norm.

    The first layer of the paper (one channel, kernel 4, stride 2) is computed as a kernel-2
    convolution over cells of 2 x 2 x 2 voxels: the same function, about twice as fast on a CPU.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int, padding: int, bias: bool, spectral: bool
    ):
        super().__init__(channels_out, channels_in, kernel, kernel, kernel, spectral=spectral)
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.bias = nn.Parameter(torch.zeros(channels_out)) if bias else None

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """(B, C, n, n, n) -> (B, C', m, m, m); `weight` is an `effective_weight` taken before."""
        weight = self.effective_weight() if weight is None else weight
        if self.weight.shape[1] == 1 and (self.kernel, self.stride, self.padding) == (4, 2, 1):
            return F.conv3d(_space_to_depth(x), _fold_kernel(weight), self.bias)
        return F.conv3d(x, weight, self.bias, self.stride, self.padding)


class Projection(Weighted):
    """What a projection discriminator adds to its logit: <e_c, phi(x)>, with features summed over cells.

    Miyato & Koyama 2018 (arXiv 1802.05637), equation 3.
    """

    def __init__(self, categories: int, channels: int, *, spectral: bool):
        super().__init__(categories, channels, spectral=spectral)  # row c is e_c

    def forward(
        self, features: Float[Tensor, "B C n n n"], labels: Int64[Tensor, " B"], weight: Tensor
    ) -> Float[Tensor, " B"]:
        """(B, C, n, n, n), categories (B,) -> (B,); `weight` is an `effective_weight` taken before."""
        return (features.flatten(2).sum(2) * weight[labels]).sum(1)


def _space_to_depth(x: Tensor) -> Tensor:
    """(B, 1, 2n, ...) -> (B, 8, n + 1, ...), channels last: the padded grid in cells of 2 x 2 x 2."""
    b, m = x.shape[0], x.shape[2] // 2 + 1
    cells = F.pad(x, (1,) * 6).reshape(b, m, 2, m, 2, m, 2).permute(0, 2, 4, 6, 1, 3, 5)
    # By way of the other layout, whose long rows are copied in a fifth of the time.
    return channels_last(cells.reshape(b, 8, m, m, m))


def _fold_kernel(weight: Tensor) -> Tensor:
    """(C', 1, 4, 4, 4) -> (C', 8, 2, 2, 2), the same kernel over those cells."""
    c = weight.shape[0]
    return weight.reshape(c, 2, 2, 2, 2, 2, 2).permute(0, 2, 4, 6, 1, 3, 5).reshape(c, 8, 2, 2, 2)


class Doubling(nn.Module):
    """Transposed convolution, kernel 4, stride 2, padding 1, to ONE channel, as eight small convolutions.

    Each parity (x, y, z) of the output is a kernel-2 convolution of the input, so a kernel-2
    convolution to 8 channels holds all of them: the same function and the same 64 C weights
    as `ConvTranspose3d(C, 1, 4, 2, 1)`, without its slow one-channel path on a CPU.
    """

    def __init__(self, channels: int, *, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 4, 4, 4))
        self.bias = nn.Parameter(torch.zeros(1)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, n, n, n) -> (B, 1, 2n, 2n, 2n)."""
        b, channels, n = x.shape[:3]
        # Output 2i + p takes inputs i - 1 + p + a, a = 0 or 1, with tap 3 - p - 2a: the flipped kernel's tap p + 2a.
        w = self.weight[:, 0].flip(1, 2, 3).reshape(channels, 2, 2, 2, 2, 2, 2)  # (C, ax, px, ay, py, az, pz)
        w = w.permute(2, 4, 6, 0, 1, 3, 5).reshape(8, channels, 2, 2, 2)
        y = F.conv3d(x, w, padding=1)  # (B, 8, n + 1, n + 1, n + 1)
        parts = [
            y[:, 4 * i + 2 * j + k, i : n + i, j : n + j, k : n + k] for i in (0, 1) for j in (0, 1) for k in (0, 1)
        ]
        out = torch.stack(parts, dim=1).reshape(b, 2, 2, 2, n, n, n).permute(0, 4, 1, 5, 2, 6, 3)
        out = out.reshape(b, 1, 2 * n, 2 * n, 2 * n)
        return out if self.bias is None else out + self.bias
