"""Encoders: pictures to the mean and log-variance of a code, each a constructor with the same arguments.

Shape letters: B pictures, S pixels a side, C and D channels, n and m cells a side, Z numbers in the code, Q = 2 Z.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from training.networks.imagenet import BLOCKS, Body
from training.networks.layers import BatchNorm, channels_of

CAMERA = 4  # numbers that say where the camera stands: `losses.camera_numbers`
Pictures = Float[Tensor, "B 3 S S"]
Marks = Float[Tensor, "B 1 n n"]  # logits


class Seen(NamedTuple):
    """What an encoder says of B pictures or shapes."""

    codes: Float[Tensor, "B Q"]  # means and log-variances, and after them what the camera's head says
    marks: Marks | None = None  # of the object in the picture, at S/8


class Encoder(nn.Module):
    """Pictures to codes; with `mask`, a head on the features at S/8 that marks where the object is.

    That head is for training only: its loss tells the first layers the object from what is behind it.  So are the
    numbers of the `camera`: whoever knows from where a shape is seen can turn what is seen into its own frame.
    """

    def forward(self, images: Tensor) -> Seen:
        """(B, 3, S, S) -> (B, 2Z) or (B, 2Z + CAMERA), and (B, 1, S/8, S/8) logits of the mask with that head."""
        raise NotImplementedError


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
        blocks_after: Collection[int] = (),  # convolutions that a residual block of kernel 3 follows
    ):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], kernel, stride, kernel // 2 if stride == 2 else stride, bias=bias)
            for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True))
        )
        self.norms = nn.ModuleList(BatchNorm(c, sources=1) for c in channels[1:])
        self.blocks = nn.ModuleList(
            Residual(c, c, 1, bias=bias) if number in blocks_after else nn.Identity()
            for number, c in enumerate(channels[1:], start=1)
        )
        self.head, self.mask_after = head, mask_after
        self.mask = None if mask_after is None else nn.Conv2d(channels[mask_after], 1, 1)

    def forward(self, images: Pictures) -> Seen:
        x, marks = images, None
        for number, (layer, norm, block) in enumerate(zip(self.layers, self.norms, self.blocks, strict=True), start=1):
            x = block(F.relu(norm(layer(x))))
            if self.mask is not None and number == self.mask_after:
                marks = self.mask(x)
        return Seen(self.head(x).flatten(1), marks)


def paper_encoder(
    size_px: int, latent: int, width: float, *, bias: bool = False, mask: bool = False, camera: bool = False
) -> Encoder:
    """Section 3.3: kernels 11, 5, 5, 5, S/32, strides 4, 2, 2, 2, 1, channels 64 ... 512, 2Z."""
    c = [3, *(channels_of(64 * 2**i, width) for i in range(4))]
    head = nn.Conv2d(c[4], 2 * latent + CAMERA * camera, max(1, size_px // 32), bias=False)
    return ChainEncoder(c, (11, 5, 5, 5), (4, 2, 2, 2), head, bias=bias, mask_after=2 if mask else None)


def strided_encoder(
    size_px: int,
    latent: int,
    width: float,
    *,
    bias: bool = False,
    mask: bool = False,
    camera: bool = False,
    blocks_after: Collection[int] = (),
) -> Encoder:
    """A kernel-5 and four kernel-3 convolutions, all with stride 2, then one linear layer."""
    c = [3, *(channels_of(64 * 2**i, width) for i in range(5))]
    features = c[5] * max(1, size_px // 32) ** 2
    head = nn.Sequential(nn.Flatten(), nn.Linear(features, 2 * latent + CAMERA * camera))
    mask_after = 3 if mask else None
    return ChainEncoder(c, (5, 3, 3, 3, 3), (2,) * 5, head, bias=bias, mask_after=mask_after, blocks_after=blocks_after)


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

    def forward(self, x: Float[Tensor, "B C n n"]) -> Float[Tensor, "B D m m"]:
        y = F.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        return F.relu(y + self.beside(x))

    def beside(self, x: Float[Tensor, "B C n n"]) -> Float[Tensor, "B D m m"]:
        """What the shortcut carries past the two convolutions.

        It takes every second pixel by slicing: the backward pass of a strided kernel-1 convolution of fewer
        than 16 channels writes past its memory on several threads (oneDNN's issue 6035, seen with torch 2.13).
        """
        if self.shortcut is None or self.shortcut_norm is None:
            return x
        out: Tensor = self.shortcut_norm(self.shortcut(x[:, :, :: self.stride, :: self.stride]))
        return out


class ResidualEncoder(Encoder):
    """ResNet-18 (He et al. 2015, table 1) from scratch, with a kernel-5 first layer for small pictures."""

    MASK_AFTER = 6  # blocks: the last ones at S/8

    def __init__(
        self, size_px: int, latent: int, width: float, *, bias: bool = False, mask: bool = False, camera: bool = False
    ):
        super().__init__()
        c = [channels_of(64 * 2**i, width) for i in range(4)]
        self.first, self.norm = nn.Conv2d(3, c[0], 5, 2, 2, bias=bias), BatchNorm(c[0], sources=1)
        self.pool = nn.MaxPool2d(3, 2, 1) if size_px >= 128 else nn.Identity()
        self.blocks = nn.ModuleList(
            Residual(c[max(i - 1 + j, 0)], c[i], 1 if i == 0 or j == 1 else 2, bias=bias)
            for i in range(4)
            for j in range(2)
        )
        self.head = nn.Linear(c[3], 2 * latent + CAMERA * camera)
        self.mask = nn.Conv2d(c[2], 1, 1) if mask else None

    def forward(self, images: Pictures) -> Seen:
        x, marks = self.pool(F.relu(self.norm(self.first(images)))), None
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if self.mask is not None and number == self.MASK_AFTER:
                marks = self.mask(x)
        return Seen(self.head(x.mean((2, 3))), marks)


class ImageNetEncoder(Encoder):
    """A ResNet as torchvision and timm have it, so that it can begin with weights that have learned ImageNet."""

    def __init__(
        self,
        kind: str,  # a key of `imagenet.BLOCKS`
        size_px: int,
        latent: int,
        width: float,
        *,
        bias: bool = False,
        mask: bool = False,
        camera: bool = False,
    ):
        super().__init__()
        self.body = Body(kind, width, bias=bias)
        self.head = nn.Linear(self.body.channels[-1], 2 * latent + CAMERA * camera)
        self.mask = nn.Conv2d(self.body.channels[1], 1, 1) if mask else None

    def forward(self, images: Pictures) -> Seen:
        eighth, last = self.body(images)
        return Seen(self.head(last.mean((2, 3))), None if self.mask is None else self.mask(eighth))


ENCODERS: dict[str, Callable[..., Encoder]] = {
    "paper": paper_encoder,
    "strided": strided_encoder,
    "deep": functools.partial(strided_encoder, blocks_after=(3, 4)),
    "resnet": ResidualEncoder,
    **{kind: functools.partial(ImageNetEncoder, kind) for kind in BLOCKS},
}
