"""Shapes, parameter counts and exact rewritings of the networks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from pipeline.settings.training_presets import PRESETS
from tests.training.tiny_world import box, fixed, settings
from tests.world import ROOT
from training.data.shapes import ShapeData
from training.inference.export import Reconstructor
from training.inference.model import Model
from training.inference.predict import predict
from training.inference.reconstruct import reconstruct
from training.networks.build import FIRST_ITERATIONS, Networks
from training.networks.checkpoint import Header
from training.networks.encoders import (
    ENCODERS,
    Encoder,
    Residual,
    ResidualEncoder,
    paper_encoder,
    strided_encoder,
)
from training.networks.layers import BatchNorm, Convolution, Doubling, SpectralNorm, minibatch_deviation
from training.networks.volumes import Discriminator, Generator


def count_parameters(module: torch.nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_paper_at_64_has_the_paper_layers() -> None:
    """Wu et al. 2016, sections 3.1 and 3.3, appendix A: kernels and channels give these counts, without bias."""
    norms = 2 * (512 + 256 + 128 + 64)
    volumetric = 64 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 1)
    assert count_parameters(Generator(200, 64, 1.0)) == 64 * 200 * 512 + volumetric + norms
    # As in DCGAN the discriminator's first layer has no batch norm.
    assert count_parameters(Discriminator(64, 1.0)) == volumetric + 64 * 512 + norms - 2 * 64
    pictures = 3 * 64 * 11**2 + 25 * (64 * 128 + 128 * 256 + 256 * 512) + 64 * 512 * 400 + norms
    assert count_parameters(paper_encoder(256, 200, 1.0)) == pictures


def test_the_preset_somtambe_has_the_printed_counts() -> None:
    """Weights and norms of the layers that the repository's README prints."""
    with torch.device("meta"):
        networks = Networks(Experiment(datasets=("a",), preset="somtambe"), size_px=32, resolution=32)
    assert networks.E is None and networks.D is not None
    assert (count_parameters(networks.G), count_parameters(networks.D)) == (2_197_888, 4_649_024)
    assert networks.coding.prior == "narrow" and all(isinstance(norm, BatchNorm) for norm in networks.D.norms)


@pytest.mark.parametrize("size_px", [64, 128, 256])
@pytest.mark.parametrize("kind", [paper_encoder, strided_encoder, ResidualEncoder])
def test_encoders_take_three_sizes(kind: Callable[..., Encoder], size_px: int) -> None:
    pictures = torch.zeros(2, 3, size_px, size_px)
    code, mask = kind(size_px, 5, 0.0625).eval()(pictures)
    assert code.shape == (2, 10) and mask is None
    code, mask = kind(size_px, 5, 0.0625, mask=True).eval()(pictures)
    assert code.shape == (2, 10) and mask.shape[:2] == (2, 1) and mask.shape[2] * 16 >= size_px


@pytest.mark.parametrize("style", ["paper", "small"])
@pytest.mark.parametrize("resolution", [32, 64])
def test_generator_and_discriminator_mirror_each_other(style: str, resolution: int) -> None:
    g = Generator(6, resolution, 0.0625, style=style, last_bias=True)
    d = Discriminator(resolution, 0.0625, style=style)
    grids = g(torch.randn(2, 6, generator=fixed()), 1)
    assert grids.shape == (2, 1, resolution, resolution, resolution)
    assert d(grids.sigmoid(), 1).shape == (2,)


def test_first_layer_is_a_transposed_convolution_of_one_cell() -> None:
    g = Generator(6, 64, 0.0625)
    z = torch.randn(3, 6, generator=fixed())
    kernel = g.first.weight.reshape(-1, 4, 4, 4, 6).permute(4, 0, 1, 2, 3)
    wanted = F.conv_transpose3d(z[:, :, None, None, None], kernel)
    torch.testing.assert_close(g.first(z).reshape(wanted.shape), wanted)


def test_doubling_is_the_transposed_convolution() -> None:
    layer = Doubling(3, bias=True).double()
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, 3, 4, 4, 4, generator=fixed()).double()
    torch.testing.assert_close(layer(x), F.conv_transpose3d(x, layer.weight, layer.bias, 2, 1))


@pytest.mark.parametrize("channels", [1, 2])
def test_first_convolution_is_the_convolution(channels: int) -> None:
    layer = Convolution(channels, 3, kernel=4, stride=2, padding=1, bias=True, spectral=False).double()
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(2, channels, 8, 8, 8, generator=fixed()).double()
    torch.testing.assert_close(layer(x), F.conv3d(x, layer.weight, layer.bias, 2, 1))


def test_spectral_norm_ends_at_singular_value_one() -> None:
    weight = torch.randn(6, 4, 2, 2, 2, generator=fixed())
    norm = SpectralNorm(weight)
    before = norm(weight)
    assert torch.equal(norm(weight), before)  # a pass moves nothing
    for _ in range(200):
        norm.iterate(weight)
    assert torch.linalg.matrix_norm(norm(weight).reshape(6, -1), 2).item() == pytest.approx(1, abs=1e-3)


def test_a_spectral_norm_has_the_gradient_of_the_singular_value() -> None:
    """d sigma / d W = u v^T (Miyato et al. 2018, section 2.1, from the vectors of the decomposition)."""
    weight = torch.randn(6, 4, 2, 2, 2, generator=fixed()).double().requires_grad_()
    norm = SpectralNorm(weight).double()
    u, s, vt = torch.linalg.svd(weight.detach().reshape(6, -1), full_matrices=False)
    norm.left.copy_(u[:, 0])
    towards = torch.randn(weight.shape, generator=fixed()).double()
    (gradient,) = torch.autograd.grad((norm(weight) * towards).sum(), weight)
    along = (towards * weight.detach()).sum() / s[0] ** 2 * torch.outer(u[:, 0], vt[0]).reshape(weight.shape)
    torch.testing.assert_close(gradient, towards / s[0] - along)


def test_minibatch_deviation_is_one_channel_that_tells_a_collapsed_batch() -> None:
    different = torch.randn(5, 3, 2, 2, 2, generator=fixed())
    for x, wanted in ((different, different.std(0, correction=0).mean()), (different[:1].expand(5, 3, 2, 2, 2), 1e-4)):
        out = minibatch_deviation(x)
        assert out.shape == (5, 4, 2, 2, 2) and torch.equal(out[:, :3], x)
        torch.testing.assert_close(out[:, 3], torch.full((5, 2, 2, 2), float(wanted)), atol=1e-5, rtol=1e-4)


def test_every_spectral_norm_begins_with_the_same_number_of_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its layer is: a convolution, or the categories' projection."""
    counts: Counter[SpectralNorm] = Counter()

    def counted(norm: SpectralNorm, weight: torch.Tensor, iterate: Callable[..., None] = SpectralNorm.iterate) -> None:
        counts[norm] += 1
        iterate(norm, weight)

    monkeypatch.setattr(SpectralNorm, "iterate", counted)
    networks = Networks(settings(condition="category", spectral_norm=True), size_px=32, resolution=16, categories=2)
    norms = [module for module in networks.modules() if isinstance(module, SpectralNorm)]
    assert len(norms) == 6 and counts == dict.fromkeys(norms, FIRST_ITERATIONS)


def test_he_initialisation_has_its_deviation_and_is_for_the_discriminator_alone() -> None:
    he, usual = (
        Networks(settings(discriminator_init=how, width=1.0), size_px=32, resolution=16) for how in ("he", "uniform")
    )
    assert he.D is not None
    weight = he.D.middle[2].weight
    wanted = (2 / (1 + 0.2**2) / weight[0].numel()) ** 0.5
    assert weight.std().item() == pytest.approx(wanted, rel=0.02)
    assert torch.equal(he.G.first.weight, usual.G.first.weight)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_discriminator_sees_how_occupied_its_input_is(preset: str) -> None:
    """Unless batch norm hides it: without biases and with real and generated batches apart, D(0.3 x) is D(x)."""
    experiment = settings(preset=preset, leak=0.2, width=0.125)
    # Of batch norm the loop says so: tests/training/run/test_loop.py.
    assert sees_occupancy(experiment) is not experiment.discriminator_norm


def sees_occupancy(experiment: Experiment) -> bool:
    """Whether D(0.3 x) differs from D(x) by more than a tenth of D's spread over 16 boxes."""
    networks = Networks(experiment, size_px=64, resolution=32, categories=2).train()
    assert networks.D is not None
    boxes = torch.stack([torch.from_numpy(box(number, 32)) for number in range(16)]).float()[:, None]
    labels = torch.arange(16) % 2  # of networks that are told them
    whole, thin = networks.D(boxes, 0, labels), networks.D(0.3 * boxes, 0, labels)
    return bool((whole - thin).abs().mean() > 0.1 * whole.std())


@pytest.mark.parametrize(
    "changes",
    [
        {"minibatch_deviation": True},
        {"discriminator_init": "he", "spectral_norm": False},
        {"condition": "category"},
        {"networks": "small", "bias": True, "leak": 0.0},
        {"discriminator_norm": True, "discriminator_first_norm": True},
        {"discriminator_norm": True, "bias": True, "spectral_norm": False},
    ],
)
def test_whatever_the_keys_a_discriminator_sees_occupancy_or_the_loop_says_so(changes: dict[str, Any]) -> None:
    assert sees_occupancy(settings(**changes)) or changes.get("discriminator_norm")


def test_batch_norm_keeps_two_sources_apart() -> None:
    norm = BatchNorm(2)
    before = norm.running_mean.clone()
    norm(torch.randn(4, 2, 3, generator=fixed()) + 5, 1)
    assert torch.equal(norm.running_mean[0], before[0]) and (norm.running_mean[1] > 0.2).all()
    norm.eval()
    same = norm.running_mean.clone()
    norm(torch.randn(4, 2, 3, generator=fixed()) + 5, 0)
    assert torch.equal(norm.running_mean, same)


def test_weights_depend_on_the_seed_alone() -> None:
    one, again, other = (Networks(settings(seed=seed), size_px=32, resolution=16).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["E.layers.0.weight"], other["E.layers.0.weight"])


@pytest.mark.parametrize(
    ("size_px", "resolution", "message"), [(48, 32, "pictures of another size"), (64, 24, "another voxel resolution")]
)
def test_sizes_that_do_not_fit_are_named(size_px: int, resolution: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Networks(Experiment(datasets=("a",)), size_px=size_px, resolution=resolution)


def test_no_encoder_has_a_strided_kernel_1_convolution() -> None:
    """Its backward pass writes past its memory on several threads (see `Residual.beside`), whatever its result."""
    for kind in ENCODERS.values():
        convolutions = [m for m in kind(64, 5, 0.0625, mask=True).modules() if isinstance(m, torch.nn.Conv2d)]
        assert convolutions
        assert [m for m in convolutions if m.kernel_size == (1, 1) and m.stride != (1, 1)] == []


def test_a_shortcut_is_the_strided_convolution() -> None:
    block = Residual(4, 8, 2, bias=False).eval()
    assert block.shortcut is not None
    x = torch.randn(3, 4, 16, 16, generator=fixed())
    wanted = F.conv2d(x, block.shortcut.weight, stride=2) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block.beside(x), wanted)


@pytest.mark.slow
def test_a_shortcut_of_few_channels_keeps_to_its_memory_on_two_threads() -> None:
    """A strided kernel-1 convolution, the usual way to write it, breaks the heap here; hence a process of its own."""
    code = (
        "import torch; from training.networks.encoders import Residual\n"
        "torch.set_num_threads(2); torch.manual_seed(0)\n"
        "block = Residual(4, 8, 2, bias=False)\n"
        "for _ in range(2000):\n"
        "    x = torch.randn(3, 4, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()\n"
        "    (block.first(x).sum() + block.beside(x).sum()).backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("views", [1, 2])
def test_mirrored_pictures_have_mirrored_answers_wherever_a_network_is_used(views: int, boxes: Path) -> None:
    """One setting for predictions, for photographs and for the exported graph; without it they differ."""
    experiment = settings(mirror_answers=True, views_per_shape=views)
    networks = Networks(experiment, size_px=32, resolution=16).requires_grad_(False).eval()
    for parameter in networks.parameters():
        parameter.mul_(4)  # so that answers differ from picture to picture
    images = torch.rand(3, views, 3, 32, 32, generator=fixed()) * 2 - 1
    answer = networks.answer(images)
    torch.testing.assert_close(networks.answer(images.flip(-1)), answer.flip(2))
    header = Header("", experiment.model_dump(mode="json"), 32, 16, [], 0, {})
    model = Model(Path("m"), header, experiment, networks)
    torch.testing.assert_close(Reconstructor(model)(images if views > 1 else images[:, 0]), answer[:, 0])
    data = ShapeData.open([boxes], "val")
    places = np.arange(views)[None]
    level = reconstruct(model, list(data.gather(np.zeros(1, np.int64), places)[0]))
    assert np.array_equal(level, predict(networks, data, np.zeros(1, np.int64), places)[0])
    networks.coding = dataclasses.replace(networks.coding, mirrors=False)
    plain = networks.answer(images)
    torch.testing.assert_close((plain + networks.answer(images.flip(-1)).flip(2)) / 2, answer)
    assert float((plain - answer).abs().max()) > 0.01
