"""A warm start: which networks learn in which phase, from what, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from tests.training.run.test_step import batch, moved, weights
from tests.training.tiny_world import fixed, settings
from training.data.batches import Inputs, unpack_bits
from training.data.shapes import ShapeData
from training.inference.export import export
from training.inference.model import load_model
from training.loop import training_loop
from training.networks.build import Networks
from training.parallel import choose_device
from training.run.files import read_metrics
from training.run.phases import CodeStep, Phase, phase_at, phases_of, shape_codes

WARM = settings(warm_start={"autoencode": 0.25, "encode": 0.5}, adversarial_every=1)


@pytest.fixture
def phases() -> tuple[Networks, list[Phase]]:
    networks = Networks(WARM, size_px=32, resolution=16).train()
    return networks, phases_of(WARM, networks)


def test_phases_follow_each_other_and_each_begins_and_ends_its_own_cosine(phases: tuple[Networks, list[Phase]]) -> None:
    found = phases[1]
    assert [(phase.name, phase.first, phase.last) for phase in found] == [
        ("autoencode", 0, 3),
        ("encode", 3, 9),
        ("joint", 9, 12),
    ]
    names = [phase_at(found, step).name for step in range(13)]
    assert names == 3 * ["autoencode"] + 6 * ["encode"] + 4 * ["joint"]
    for phase, rate in zip(found, (1.0, 1.0, 0.5), strict=True):
        assert phase.schedule.factor(8 * phase.first) == rate and phase.schedule.factor(8 * phase.last) == 0
    for share in (1e-6, 0.999):  # the shortest of trainings has an update in each
        short = WARM.model_copy(
            update={"samples": 8, "warm_start": WARM.warm_start.model_copy(update={"encode": share})}
        )
        assert all(phase.first < phase.last for phase in phases_of(short, phases[0]))


def test_each_phase_moves_its_own_networks(phases: tuple[Networks, list[Phase]], boxes: Path) -> None:
    networks, found = phases
    data = ShapeData.open([boxes], "train")
    inputs: Inputs = {**batch(), "objects": torch.arange(4), "mirrored": torch.tensor([False, True, False, True])}
    unseen = {"autoencode": "images", "encode": "voxels"}
    for phase, wanted in zip(found, ("VGD", "E", "EGD"), strict=True):
        phase.begin(data, 0.0)
        before = {name: weights(getattr(networks, name)) for name in "EGDV"}
        shown = cast(Inputs, {name: one for name, one in inputs.items() if name != unseen.get(phase.name)})
        assert phase.seen == {"pictures": "images" in shown, "voxels": "voxels" in shown}
        phase.step(shown, 0)
        assert set(phase.moved) == set(wanted) - {"D"}  # the average follows those
        assert {name for name in "EGDV" if moved(getattr(networks, name), before[name])} == set(wanted), phase.name
        assert all(parameter.grad is None for parameter in networks.parameters())


def test_the_encoder_learns_the_code_of_the_shape_that_is_shown(phases: tuple[Networks, list[Phase]]) -> None:
    """Each picture's own shape, and its mirror image where that is shown."""
    networks, step = phases[0], phases[1][1].step
    assert isinstance(step, CodeStep)
    step.codes = torch.randn(2, 4, 16, generator=fixed())
    objects, mirrored = torch.tensor([3, 1, 2, 0]), torch.tensor([True, False, True, False])
    inputs: Inputs = {**batch(), "objects": objects, "mirrored": mirrored}
    losses = [step(inputs, number).numbers()["code_kl"] for number in range(60)]
    assert losses[-1] < losses[0] / 10
    with torch.no_grad():
        mean, log_variance = networks.train().encode(inputs["images"])
    wanted = step.codes[[1, 0, 1, 0], [3, 1, 2, 0]]
    assert float((torch.cat([mean, log_variance], dim=-1)[:, 0] - wanted).square().mean()) < 0.1


def test_the_codes_of_shapes_are_those_of_each_shape_and_of_its_mirror_image(
    phases: tuple[Networks, list[Phase]], boxes: Path
) -> None:
    data, autoencoder = ShapeData.open([boxes], "train"), phases[0].autoencoder()
    codes = shape_codes(autoencoder, data)
    shape = unpack_bits(torch.from_numpy(data.voxels_bits[5:6]))
    with torch.no_grad():
        for side, voxels in enumerate((shape, shape.flip(2))):
            mean, log_variance = autoencoder.encode(voxels[:, None])
            torch.testing.assert_close(codes[side, 5], torch.cat([mean, log_variance], dim=-1)[0, 0])


def test_what_is_said_and_kept_of_a_warm_start(boxes: Path, tmp_path: Path) -> None:
    """Lines name their phase, the autoencoder's IoU chooses no checkpoint, and the voxel encoder is not given away."""
    result = training_loop(WARM, tmp_path / "run", [boxes])
    lines = [line for line in read_metrics(tmp_path / "run") if line["event"] in ("look", "losses")]
    assert {line["phase"]: {key for key in ("reconstruction", "code_kl") if key in line} for line in lines} == {
        "autoencode": {"reconstruction"},
        "encode": {"code_kl"},
        "joint": {"reconstruction"},
    }
    looks = {line["samples"]: line["iou"] for line in lines if line["event"] == "look"}
    assert 24 in looks and result["best"]["samples"] > 24
    assert result["best"]["iou"] == pytest.approx(max(iou for samples, iou in looks.items() if samples > 24), abs=1e-6)
    model = load_model(tmp_path / "run", choose_device("cpu"))
    export(model, tmp_path / "share", onnx=False)
    again = load_model(tmp_path / "share", choose_device("cpu"))
    assert again.networks.V is None and not [name for name in again.networks.state_dict() if name.startswith("V.")]
