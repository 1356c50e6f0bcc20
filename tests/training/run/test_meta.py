"""Every preset's whole update at its full size, without a number: on torch's meta device, which knows shapes alone."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.settings.training import Experiment
from pipeline.settings.training_presets import PRESETS
from training.data.batches import Inputs
from training.networks.build import Networks
from training.networks.layers import lay_kernels_channels_last
from training.parallel import Ranks
from training.run import step as update
from training.run.step import Step

META = torch.device("meta")
SIZES = {"peers-3dvaegan": (224, 32)}  # of a picture and a grid; 128 and 64 for all others


class Ready:
    """`Values` that are never read: nothing of the meta device can be copied to the CPU."""

    def __init__(self, values: dict[str, Tensor | float], ranks: Ranks | None = None):
        self.names = set(values)

    def numbers(self) -> dict[str, float]:
        return dict.fromkeys(self.names, 0.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_whole_update_of_a_preset_keeps_to_its_device(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor made elsewhere than on the networks' device, which a GPU would refuse, stops it here too."""
    monkeypatch.setattr(update, "Values", Ready)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # the meta device has none
    settings = Experiment.model_validate({"datasets": ("a",), "preset": preset, "adversarial_every": 1})
    size_px, resolution = SIZES.get(preset, (128, 64))
    with META:
        networks = Networks(settings, size_px=size_px, resolution=resolution, categories=6).train()
    lay_kernels_channels_last(networks)
    step = Step.of(settings, networks)
    made: list[Tensor] = []

    def empty(*shape: int) -> Tensor:
        made.append(torch.empty(shape, device=META))
        return made[-1]

    b, k = settings.batch, settings.views_per_shape
    batch: Inputs = {"images": empty(b, k, 3, size_px, size_px), "voxels": empty(b, 1, *(resolution,) * 3)}
    batch["labels"] = torch.zeros(b, dtype=torch.int64, device=META)
    batch["masks"] = empty(b, k, 1, size_px, size_px)
    said: Any = step(batch, 0)
    assert {"d_gradient", "g_gradient"} <= said.names
    assert all(parameter.device == META for parameter in networks.parameters())
    for name, optimizer in step.optimizers.items():
        assert len(optimizer.state) == len(list(getattr(networks, name).parameters())), name
