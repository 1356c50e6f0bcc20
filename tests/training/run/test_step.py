"""The three-step update: who moves, who must not, and what it costs."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny_world import fixed, settings
from training.data.batches import Inputs
from training.networks.build import Networks
from training.networks.checkpoint import Header
from training.networks.codes import POSTERIOR, Coding, noise, projections
from training.networks.layers import lay_kernels_channels_last
from training.run.average import MovingAverage
from training.run.checkpoints import restore, save
from training.run.phases import phases_of
from training.run.step import Step, frozen


def batch(count: int = 4, views: int = 1, size_px: int = 32, resolution: int = 16) -> Inputs:
    source = torch.Generator().manual_seed(1)
    return {
        "images": torch.rand(count, views, 3, size_px, size_px, generator=source) * 2 - 1,
        "voxels": (torch.rand(count, 1, *(resolution,) * 3, generator=source) < 0.2).float(),
        "masks": (torch.rand(count, views, 1, size_px, size_px, generator=source) < 0.3).float(),
        "labels": torch.arange(count) % 2,
    }


def made(**changes: Any) -> tuple[Networks, Step]:
    experiment = settings(**{"adversarial_every": 1, **changes})
    networks = Networks(experiment, size_px=32, resolution=16).train()
    return networks, Step.of(experiment, networks)


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def moved(module: torch.nn.Module, before: list[torch.Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))


def test_discriminator_step_moves_d_and_touches_no_other_gradient() -> None:
    networks, step = made()
    before = {name: weights(getattr(networks, name)) for name in "EGD"}
    fake = networks.G(torch.randn(4, 8, generator=fixed()), 1).sigmoid()
    step.discriminator_step(batch()["voxels"], fake.detach(), 0)
    assert {name: moved(getattr(networks, name), before[name]) for name in "EGD"} == {"E": False, "G": False, "D": True}
    assert all(p.grad is None for name in "EG" for p in getattr(networks, name).parameters())


def test_encoder_step_moves_e_and_keeps_the_generator_still() -> None:
    networks, step = made()
    before = {name: weights(getattr(networks, name)) for name in "EGD"}
    step.encoder_step(batch(), 0)
    assert {name: moved(getattr(networks, name), before[name]) for name in "EGD"} == {"E": True, "G": False, "D": False}


def test_generator_step_moves_g_and_leaves_no_gradient_in_d() -> None:
    networks, step = made()
    before = {name: weights(getattr(networks, name)) for name in "EGD"}
    step.generator_step(networks.G(torch.randn(4, 8, generator=fixed()), 1).sigmoid(), 0)
    assert {name: moved(getattr(networks, name), before[name]) for name in "EGD"} == {"E": False, "G": True, "D": False}
    assert networks.D is not None and all(p.grad is None and p.requires_grad for p in networks.D.parameters())


def test_one_backward_pass_gives_e_and_g_the_gradients_of_two() -> None:
    """In float64, where only the order of additions could make them differ."""
    networks, step = made(adversarial_weight=0)
    twin = copy.deepcopy(networks.double())
    data = batch()
    data["images"], data["voxels"] = data["images"].double(), data["voxels"].double()
    step.optimizers["G"].step = lambda: None  # type: ignore[assignment, method-assign]

    step.optimizers["G"].zero_grad = lambda **_: None  # type: ignore[assignment]
    step(data, 3)
    taken = [p.grad.clone() for p in networks.G.parameters() if p.grad is not None]
    # By hand on the twin: the generator's own loss alone, with the code cut off from the encoder.
    mean, log_variance = twin.encode(data["images"])
    epsilon = noise(twin.coding.seed, 3, "posterior", (4, 1, 8), torch.device("cpu"))
    z = (mean + (0.5 * log_variance).exp() * epsilon)[:, 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(twin.G(z.detach(), POSTERIOR), data["voxels"])
    (loss * 16**3).backward()
    for one, other in zip(taken, [p.grad for p in twin.G.parameters()], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_r1_comes_every_nth_adversarial_step_and_a_critic_has_no_accuracy() -> None:
    _, step = made(r1_gamma=1.0, r1_every=3)
    assert ["d_r1" in step(batch(), number).numbers() for number in range(6)] == [True, False, False] * 2
    _, step = made(preset="wgan-gp", adversarial_every=1)
    assert "d_accuracy" not in step(batch(), 0).numbers()


@pytest.mark.parametrize("phase", ["autoencode", "joint"])
def test_r1_runs_wherever_a_discriminator_learns(phase: str) -> None:
    """In the autoencoding and the joint phase of a VAE-GAN, each time that its n-th adversarial step comes."""
    experiment = settings(preset="warm-start", r1_gamma=1.0, r1_every=2, samples=96, batch=4)
    networks = Networks(experiment, size_px=32, resolution=16).train()
    step = next(one.step for one in phases_of(experiment, networks) if one.name == phase)
    found = [step(batch(), number).numbers() for number in range(8)]
    assert ["d_r1" in numbers for numbers in found] == [True, False, False, False] * 2
    assert all(numbers["d_r1"] > 0 for numbers in found if "d_r1" in numbers)


def test_gate_skips_a_discriminator_that_was_too_good() -> None:
    networks, step = made(discriminator_gate=0.8)
    before = weights(networks.D)  # type: ignore[arg-type]
    step.accuracy = 0.81
    assert step(batch(), 0).numbers()["d_skipped"] == 1.0
    assert networks.D is not None and not moved(networks.D, before)
    step.accuracy = 0.8
    assert step(batch(), 1).numbers()["d_skipped"] == 0.0
    assert moved(networks.D, before)


def test_adversarial_steps_come_every_nth_time() -> None:
    _, step = made(adversarial_every=3)
    assert ["d_loss" in step(batch(), number).numbers() for number in range(6)] == [True, False, False] * 2


@pytest.mark.parametrize("how", ["max", "mean"])
def test_pooling_does_not_depend_on_the_order_of_views(how: str) -> None:
    codes, coding = torch.randn(3, 5, 8, generator=fixed()), Coding.of(settings(views_per_shape=5, pooling=how))
    torch.testing.assert_close(coding.pooled(codes), coding.pooled(codes.flip(1)))
    torch.testing.assert_close(coding.pooled(codes[:, :1].expand(3, 5, 8)), codes[:, 0])


def test_all_views_pass_in_one_batch_and_in_their_places() -> None:
    networks, _ = made()
    networks.eval()
    images = batch(views=3)["images"]
    mean, _ = networks.encode(images)
    for view in range(3):
        torch.testing.assert_close(mean[:, view : view + 1], networks.encode(images[:, view : view + 1])[0])


def test_projections_look_along_the_three_axes() -> None:
    voxels = torch.zeros(1, 1, 4, 4, 4)
    voxels[0, 0, 1, 2, 3] = 1
    planes = projections(voxels)[0, 0]
    assert [divmod(int(plane.argmax()), 4) for plane in planes] == [(2, 3), (1, 3), (1, 2)]
    assert planes.min() == -1 and planes.max() == 1


def test_priors_have_their_moments_and_depend_on_the_step_alone() -> None:
    cpu = torch.device("cpu")
    for prior, mean, deviation in (("normal", 0, 1), ("narrow", 0, 0.33), ("uniform", 0.5, 12**-0.5)):
        z = Coding.of(settings(prior=prior, latent=64)).from_prior(512, cpu, step=3)
        assert z.mean().item() == pytest.approx(mean, abs=0.02) and z.std().item() == pytest.approx(deviation, abs=0.02)
    coding = Coding.of(settings())
    one = coding.from_prior(4, cpu, step=3)
    assert torch.equal(one, coding.from_prior(4, cpu, step=3))
    assert not torch.equal(one, coding.from_prior(4, cpu, step=4))
    assert not torch.equal(one, coding.from_prior(4, cpu, step=3, seed=coding.seed + 1))


def test_the_layout_of_kernels_changes_speed_alone_and_moments_follow_it(tmp_path: Path) -> None:
    """As on a GPU, where fused Adam refuses a moment in another layout than its weight's."""
    plain, step = made()
    step(batch(), 0)
    header = Header("", settings().model_dump(mode="json"), 32, 16, [], 0, {})
    save(tmp_path / "0.safetensors", header, plain, MovingAverage(plain, 0.9), step.optimizers)
    networks, _ = made()
    lay_kernels_channels_last(networks)
    again = Step.of(settings(adversarial_every=1), networks)
    restore(tmp_path / "0.safetensors", networks, MovingAverage(networks, 0.9), again.optimizers)
    for name, optimizer in again.optimizers.items():
        for parameter in getattr(networks, name).parameters():
            assert optimizer.state[parameter]["exp_avg"].stride() == parameter.stride()
    one, other = step(batch(), 1).numbers(), again(batch(), 1).numbers()
    assert one == pytest.approx(other, rel=1e-3)
    name = "D.middle.1.weight"
    assert networks.get_parameter(name).stride() != plain.get_parameter(name).stride()


def test_spectral_norms_move_once_an_update() -> None:
    networks, step = made()
    assert networks.D is not None
    moves: list[int] = []
    networks.D.iterate = lambda: moves.append(1)  # type: ignore[method-assign]
    for number in range(3):
        step(batch(), number)
    assert len(moves) == 3


def test_frozen_gives_its_gradients_back() -> None:
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(KeyError), frozen(layer):
        assert not layer.weight.requires_grad
        raise KeyError
    assert layer.weight.requires_grad


def test_the_code_of_an_evaluation_is_the_mean_of_those_in_training() -> None:
    """The largest of samples lies above the largest mean; for two equal posteriors by deviation / sqrt(pi)."""
    coding = Coding.of(settings(views_per_shape=2, pooling="max"))
    means = torch.randn(4, 2, 8, generator=fixed())
    means[:, 1] = means[:, 0]
    for deviation in (0.5, 1e-3):
        spread = torch.full((4, 2, 8), math.log(deviation**2))
        excess = coding.expected(means, spread) - means[:, 0]
        assert excess.mean() == pytest.approx(deviation / math.sqrt(math.pi), rel=0.1)
        # One picture of a network that learned from two is shown twice.
        torch.testing.assert_close(coding.expected(means[:, :1], spread[:, :1]) - means[:, 0], excess)
        for one in (settings(views_per_shape=2, pooling="mean"), settings()):
            torch.testing.assert_close(Coding.of(one).expected(means[:, :1], spread[:, :1]), means[:, 0])
