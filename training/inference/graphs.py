"""The networks as two ONNX graphs for a browser, which together do what `reconstruct` and `sample` do.

    encoder     images (B, 3, S, S) f4 in [-1, 1] -> codes (B, Z) f4, traits (B, F) f4 of training/inference/familiar.py
    generator   codes (B, Z) f4, source () i8 -> occupancy (B, R, R, R) f4 probabilities indexed x, y, z

`source` says by which statistics G normalises: POSTERIOR for codes of pictures, PRIOR for others.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from training.inference.familiar import encode_with_traits
from training.inference.model import Model
from training.networks.build import Networks


class _Encoder(nn.Module):
    def __init__(self, networks: Networks):
        super().__init__()
        self.networks = networks

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B F"]]:
        return encode_with_traits(self.networks, images)


class _Generator(nn.Module):
    def __init__(self, networks: Networks):
        super().__init__()
        self.G = networks.G

    def forward(self, codes: Float[Tensor, "B Z"], source: Tensor) -> Float[Tensor, "B R R R"]:
        # An index that is a tensor stays an input of the graph.
        logits: Tensor = self.G(codes, cast(int, source))
        return logits[:, 0].sigmoid()


def encoder_graph(model: Model) -> bytes:
    """Of a network that reads single pictures."""
    size = model.header.size_px
    return onnx_bytes(_Encoder(model.networks), {"images": torch.zeros(2, 3, size, size)}, ("codes", "traits"))


def generator_graph(model: Model) -> bytes:
    """Of any network."""
    inputs = {"codes": torch.zeros(2, model.networks.coding.latent), "source": torch.tensor(0)}
    return onnx_bytes(_Generator(model.networks), inputs, ("occupancy",))


def onnx_bytes(
    module: nn.Module,
    inputs: Mapping[str, Tensor],  # examples by name
    outputs: Sequence[str],
    free: Mapping[str, dict[int, str]] | None = None,  # axes of any length; None: the first, of all but numbers
) -> bytes:
    """The graph of a module; the first axis of its outputs is the batch."""
    axes = {name: {0: "batch"} for name, example in inputs.items() if example.dim()} if free is None else dict(free)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs no package beside torch announces its age each time.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            copy.deepcopy(module).cpu().eval(),
            tuple(inputs.values()),
            file,  # type: ignore[arg-type]  # which this exporter takes as well
            dynamo=False,
            opset_version=17,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes | {name: {0: "batch"} for name in outputs},
        )
    return file.getvalue()
