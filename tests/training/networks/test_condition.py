"""Networks that are told the category of a shape: what G and D make of it, and samples of a wanted category."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from tests.training.tiny_world import fixed, settings
from training.command.train import main
from training.inference import reconstruct
from training.inference.export import export
from training.inference.model import Model, load_model
from training.loop import training_loop
from training.networks.build import Networks, set_output_bias
from training.networks.volumes import Discriminator
from training.run.step import Step

TOLD = settings(condition="category", samples=160, adversarial_every=1, ema=0.0)


@pytest.fixture(scope="module")
def told(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on boxes and crates."""
    folder = tmp_path_factory.mktemp("told")
    training_loop(TOLD, folder, [boxes])
    return folder


def batch(labels: list[int]) -> dict[str, torch.Tensor]:
    b = len(labels)
    voxels = (torch.rand(b, 1, 16, 16, 16, generator=fixed()) < 0.2).float()
    return {"images": torch.rand(b, 1, 3, 32, 32, generator=fixed()), "voxels": voxels, "labels": torch.tensor(labels)}


@pytest.mark.parametrize("spectral", [False, True])
def test_the_discriminator_adds_the_inner_product_of_a_category_and_the_features(spectral: bool) -> None:
    """Equation 3 of Miyato & Koyama 2018, with sums over cells; what is left is the same for every category."""
    networks = Networks(settings(condition="category", spectral_norm=spectral), size_px=32, resolution=16, categories=3)
    d = networks.D
    assert isinstance(d, Discriminator) and d.classes is not None
    shapes = batch([0, 1, 2, 2])["voxels"]
    labels = torch.tensor([0, 1, 2, 2])
    features = d.features(shapes, 0)[-1].flatten(2).sum(2)
    weight = d.classes.effective_weight()
    assert torch.equal(weight, d.classes.weight) != spectral
    for other in range(3):
        apart = d(shapes, 0, labels) - d(shapes, 0, torch.full_like(labels, other))
        torch.testing.assert_close(apart, ((weight[labels] - weight[other]) * features).sum(1), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="give their labels"):
        d(shapes, 0)


def test_codes_of_a_category_are_those_of_none_moved_by_its_mean() -> None:
    networks = Networks(settings(condition="category"), size_px=32, resolution=16, categories=3)
    assert networks.G.classes is not None
    means = networks.G.classes.weight
    noise = networks.noise_codes(5)
    torch.testing.assert_close(networks.prior_codes(5) - noise, means[[0, 1, 2, 0, 1]])
    labels = torch.tensor([2, 2, 0, 1, 1])
    moved = networks.prior_codes(5, labels=labels)
    torch.testing.assert_close(moved - noise, means[labels])
    torch.testing.assert_close(networks.centred(moved[:, None], labels)[:, 0], noise)


def test_networks_that_are_told_nothing_have_nothing_for_it() -> None:
    plain = Networks(settings(), size_px=32, resolution=16, categories=3)
    told = Networks(settings(condition="category"), size_px=32, resolution=16, categories=3)
    assert told.state_dict().keys() - plain.state_dict().keys() == {
        "G.classes.weight",
        "D.classes.weight",
        "D.classes.spectral.left",
    }
    # Other weights are drawn as they were.
    assert all(torch.equal(value, told.state_dict()[name]) for name, value in plain.state_dict().items())
    torch.testing.assert_close(plain.prior_codes(4), plain.noise_codes(4), rtol=0, atol=0)
    with pytest.raises(UserError, match=r"(?s)no categories to tell apart.*data of at least two"):
        Networks(settings(condition="category"), size_px=32, resolution=16)


@pytest.mark.parametrize("ways", [{}, {"encoder": "none", "reconstruction_weight": 0, "kl_weight": 0}], ids=str)
def test_an_update_moves_the_mean_of_the_categories_that_it_sees_and_of_no_other(ways: dict[str, Any]) -> None:
    experiment = settings(condition="category", adversarial_every=1, beta1=0.0, **ways)
    networks = Networks(experiment, size_px=32, resolution=16, categories=3).train()
    assert networks.G.classes is not None and networks.D is not None and networks.D.classes is not None
    before = [networks.G.classes.weight.detach().clone(), networks.D.classes.weight.detach().clone()]
    Step.of(experiment, networks)(batch([0, 2, 2, 0]), 0)  # type: ignore[arg-type]
    moved = (networks.G.classes.weight != before[0]).any(1)
    assert moved.tolist() == [True, False, True]
    assert (networks.D.classes.weight != before[1]).any()


def test_a_trained_network_makes_shapes_of_the_wanted_category(told: Path, tmp_path: Path) -> None:
    model = load_model(told, torch.device("cpu"))
    assert model.header.categories == ["box", "crate"]
    turn, boxes, crates = (reconstruct.samples(model, 4, 7, category) for category in (None, "box", "crate"))
    assert np.array_equal(turn[0::2], boxes[0::2]) and np.array_equal(turn[1::2], crates[1::2])
    assert not np.array_equal(boxes, crates)
    common = ["--run", str(told), "--count", "1", "--seed", "7", "--category", "crate"]
    assert main(["sample", *common, "-o", str(tmp_path / "crate.npy")]) == 0
    assert np.array_equal(np.load(tmp_path / "crate.npy").reshape(-1), crates[0])
    with pytest.raises(UserError, match=r"(?s)does not know this category.*box, crate"):
        reconstruct.samples(model, 1, 7, "sofa")


def test_a_network_that_was_told_nothing_cannot_be_asked(model: Model) -> None:
    with pytest.raises(UserError, match=r"(?s)was not told categories.*condition: category"):
        reconstruct.samples(model, 1, 7, "box")


def test_an_exported_sampler_is_told_the_category_too(told: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is a development package")
    model = load_model(told, torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(model, tmp_path)
    session = runtime.InferenceSession(str(tmp_path / "sampler.onnx"))
    codes, labels = model.networks.noise_codes(3, purpose="test"), torch.tensor([1, 0, 1])
    (found,) = session.run(None, {"codes": codes.numpy(), "categories": labels.numpy()})
    wanted = model.networks.G(model.networks.towards(codes, labels), model.networks.sampling_source)[:, 0].sigmoid()
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    assert "`categories` (batch)" in (tmp_path / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_category_is_learned_from_shapes_that_tell_it() -> None:
    """Slabs and poles: after 400 updates most samples lie nearer to the shapes of their own category."""
    ways = {"encoder": "none", "reconstruction_weight": 0, "kl_weight": 0, "adversarial": "bce"}
    experiment = settings(condition="category", adversarial_every=1, batch=16, **ways)
    networks = Networks(experiment, size_px=32, resolution=16, categories=2).train()
    set_output_bias(networks.G, 0.15)
    step, source, labels = Step.of(experiment, networks), fixed(), torch.arange(16) % 2
    for number in range(400):
        shapes = torch.zeros(16, 1, 16, 16, 16)
        for shape, pole, half in zip(shapes, labels, torch.randint(1, 3, (16,), generator=source).tolist()):
            thin = slice(8 - half, 8 + half)
            shape[(0, thin, slice(1, 15), thin) if pole else (0, slice(2, 14), thin, slice(2, 14))] = 1
        step({"voxels": shapes, "labels": labels}, number)
    networks.eval()
    with torch.no_grad():
        codes = networks.prior_codes(32, labels=torch.arange(32) % 2)
        made = networks.G(codes, networks.sampling_source).sigmoid()
    means = [shapes[labels == label].mean(0) for label in (0, 1)]
    likeness = [(made * mean).sum((1, 2, 3, 4)) / mean.sum() for mean in means]
    slabs = likeness[0] > likeness[1]
    assert slabs[0::2].float().mean() - slabs[1::2].float().mean() > 0.5
