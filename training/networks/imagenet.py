"""ResNets (He et al. 2015, arXiv 1512.03385) in the layout of torchvision's and timm's weights, as encoders.

The names and shapes of their state dicts, for resnet18, resnet34 (basic blocks) and resnet50 (bottlenecks):

    conv1.weight (64, 3, 7, 7)          bn1.{weight, bias, running_mean, running_var} (64,), bn1.num_batches_tracked ()
    layer<1-4>.<block>.conv<n>.weight   layer<1-4>.<block>.bn<n>.*
    layer<1-4>.0.downsample.0.weight    a kernel-1 convolution, and downsample.1.* its batch norm, where shapes change
    fc.{weight, bias}                   the classifier, which no encoder has

https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py; timm's differ only in models whose names
end in a letter (resnet18d and the like), which are other networks.  Whoever trained them took pictures in [0, 1]
minus the mean of ImageNet's and divided by their deviation; that is done here, inside the network.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import UserError
from training.networks.layers import BatchNorm, channels_of

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue in [0, 1]
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
BOTTLENECKS = {"resnet50"}
EXPANSION = 4  # of a bottleneck's channels at its end
WRAPPED = ("state_dict", "model")  # keys under which trainers keep the weights
# What a damaged file, or one with other things than tensors, makes of torch.load.
BROKEN = (OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)
UNUSED = ("fc.", "num_batches_tracked")  # begins or ends the names of what no encoder has


class Shortcut(nn.ModuleList):
    """A kernel-1 convolution of every n-th pixel, and its batch norm: see `encoders.Residual.beside`."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, bias: bool):
        super().__init__([nn.Conv2d(channels_in, channels_out, 1, bias=bias), BatchNorm(channels_out, sources=1)])
        self.stride = stride

    def forward(self, x: Float[Tensor, "B C n n"]) -> Float[Tensor, "B D m m"]:
        convolution, norm = self
        out: Tensor = norm(convolution(x[:, :, :: self.stride, :: self.stride]))
        return out


class Block(nn.Module):
    """Convolutions of some kernels with batch norm, and a shortcut; the first kernel-3 one has the stride."""

    def __init__(self, channels_in: int, channels: int, kernels: tuple[int, ...], stride: int, *, bias: bool):
        super().__init__()
        self.count, self.out = len(kernels), channels * (EXPANSION if len(kernels) == 3 else 1)
        widths = [channels_in, *[channels] * (self.count - 1), self.out]
        strided = kernels.index(3)
        for n, kernel in enumerate(kernels):
            step = stride if n == strided else 1
            layer = nn.Conv2d(widths[n], widths[n + 1], kernel, step, kernel // 2, bias=bias)
            self.add_module(f"conv{n + 1}", layer)
            self.add_module(f"bn{n + 1}", BatchNorm(widths[n + 1], sources=1))
        same = stride == 1 and channels_in == self.out
        self.downsample = None if same else Shortcut(channels_in, self.out, stride, bias=bias)

    def forward(self, x: Float[Tensor, "B C n n"]) -> Float[Tensor, "B D m m"]:
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = F.relu(y) if n < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Body(nn.Module):
    """All but the classifier; its names are those of the weights."""

    scale: Tensor  # (3, 1, 1), and `shift`: from [-1, 1] to what ImageNet's networks are shown
    shift: Tensor

    def __init__(self, kind: str, width: float, *, bias: bool = False):
        super().__init__()
        kernels = (1, 3, 1) if kind in BOTTLENECKS else (3, 3)
        c = [channels_of(64 * 2**i, width) for i in range(4)]
        self.conv1, self.bn1 = nn.Conv2d(3, c[0], 7, 2, 3, bias=bias), BatchNorm(c[0], sources=1)
        last = c[0]
        self.channels: list[int] = []  # at the end of each of the four layers
        for n, blocks in enumerate(BLOCKS[kind]):
            made = []
            for place in range(blocks):
                made.append(Block(last, c[n], kernels, 2 if n and not place else 1, bias=bias))
                last = made[-1].out
            self.add_module(f"layer{n + 1}", nn.Sequential(*made))
            self.channels.append(last)
        self.register_buffer("scale", 0.5 / torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        shift = (0.5 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
        self.register_buffer("shift", shift.view(3, 1, 1), persistent=False)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> tuple[Tensor, Tensor]:
        """Pictures in [-1, 1] -> features at S/8 and at S/32."""
        x = F.relu(self.bn1(self.conv1(images * self.scale + self.shift)))
        x = F.max_pool2d(x, 3, 2, 1)
        eighth: Tensor = self.get_submodule("layer2")(self.get_submodule("layer1")(x))
        return eighth, self.get_submodule("layer4")(self.get_submodule("layer3")(eighth))


def begin_with(body: Body, path: Path) -> None:
    """Take the weights of a file; a UserError names the first that does not fit."""
    found = {name: value for name, value in read_weights(path).items() if not _unused(name)}
    wanted = body.state_dict()
    for name in sorted(found.keys() ^ wanted.keys()):
        missing = name in wanted
        raise _other(path, f"no {name}" if missing else f"{name}, which it has not", "every layer of it")
    for name, value in wanted.items():
        shape = tuple(value.shape[1:] if name.endswith(("running_mean", "running_var")) else value.shape)
        if tuple(found[name].shape) != shape:
            raise _other(f"{path}: {name}", str(tuple(found[name].shape)), str(shape))
        if not (found[name].is_floating_point() and bool(found[name].isfinite().all())):
            raise _other(f"{path}: {name}", "numbers that are not finite, or no floats", "finite floats")
    body.load_state_dict({name: found[name].float().reshape(value.shape) for name, value in wanted.items()})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that `torch.save` wrote; nothing else is unpickled."""
    try:
        found: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except (*BROKEN, SafetensorError) as error:
        raise _unreadable(path, str(error)) from error
    for key in WRAPPED:
        found = found.get(key, found) if isinstance(found, dict) else found
    if not (isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values())):
        raise _unreadable(path, "something else than tensors by their names")
    return {str(name): value for name, value in found.items()}


def _unpickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _unused(name: str) -> bool:
    return name.startswith(UNUSED[0]) or name.endswith(UNUSED[1])


def _other(where: Path | str, got: str, wanted: str) -> UserError:
    return UserError(
        "encoder_weights are not those of this encoder",
        where=str(where),
        got=got,
        wanted=wanted,
        do="set `encoder` to the network of the file: resnet18, resnet34 or resnet50 of torchvision or timm",
    )


def _unreadable(path: Path, got: str) -> UserError:
    return UserError(
        "cannot read encoder_weights",
        where=str(path),
        got=" ".join(got.split())[:200],
        wanted="a .safetensors file, or a state dict that torch.save wrote (.pth)",
        do="give the path of such a file in config.yaml, and run the same command again",
    )
