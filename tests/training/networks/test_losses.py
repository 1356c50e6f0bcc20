"""Losses on values known from their equations."""

from __future__ import annotations

import math

import pytest
import torch

from tests.training.tiny_world import fixed
from training.networks import losses


def test_kl_is_zero_for_the_prior_and_known_for_a_shifted_narrow_normal() -> None:
    zeros = torch.zeros(3, 4)
    assert losses.kl_to_standard_normal(zeros, zeros).tolist() == [0.0] * 3
    mean, log_variance = torch.full((1, 2), 1.5), torch.full((1, 2), math.log(0.25))
    one_number = 0.5 * (1.5**2 + 0.25 - math.log(0.25) - 1)
    torch.testing.assert_close(losses.kl_to_standard_normal(mean, log_variance), torch.tensor([2 * one_number]))


def test_kl_agrees_with_torch_and_so_has_its_arguments_in_order() -> None:
    source = torch.Generator().manual_seed(1)
    mean, log_variance = torch.randn(5, 7, generator=source), torch.randn(5, 7, generator=source)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    p = torch.distributions.Normal(torch.zeros(5, 7), torch.ones(5, 7))
    wanted = torch.distributions.kl_divergence(q, p).sum(1)
    torch.testing.assert_close(losses.kl_to_standard_normal(mean, log_variance), wanted)


def test_kl_between_two_normals_is_zero_for_equal_ones_and_has_its_arguments_in_order() -> None:
    mean, log_variance, other_mean, other_log_variance = torch.randn(4, 5, 7, generator=fixed())
    one, other = (
        torch.distributions.Normal(m, (0.5 * v).exp())
        for m, v in ((mean, log_variance), (other_mean, other_log_variance))
    )
    wanted = torch.distributions.kl_divergence(one, other).sum(-1)
    torch.testing.assert_close(losses.kl_between(mean, log_variance, other_mean, other_log_variance), wanted)
    assert not losses.kl_between(mean, log_variance, mean, log_variance).any()


def test_reconstructions_are_sums_over_voxels() -> None:
    logits, x = torch.zeros(2, 1, 2, 2, 2), torch.ones(2, 1, 2, 2, 2)
    torch.testing.assert_close(losses.reconstruction_bce(logits, x), torch.full((2,), 8 * math.log(2)))
    torch.testing.assert_close(losses.reconstruction_l2(logits, x), torch.full((2,), 8 * 0.25))
    torch.testing.assert_close(losses.reconstruction_dice(logits, x), torch.full((2,), 1 - 2 * 4 / (4 + 8)))


def test_dice_of_two_empty_grids_is_finite() -> None:
    assert losses.reconstruction_dice(torch.full((1, 1, 2, 2, 2), -50.0), torch.zeros(1, 1, 2, 2, 2)).isfinite().all()


def test_adversarial_losses_on_known_scores() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.5])
    assert losses.discriminator_hinge(real, fake).item() == pytest.approx((0 + 1) / 2 + (0 + 1.5) / 2)
    assert losses.discriminator_least_squares(real, fake).item() == pytest.approx(0.25 * (1 + 1) + 0.25 * (1 + 0.25))
    assert losses.discriminator_wasserstein(real, fake).item() == pytest.approx(-0.25 - 1.0)
    assert losses.generator_bce(torch.zeros(3)).item() == pytest.approx(math.log(2))
    assert losses.discriminator_bce(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))
    assert losses.generator_minus(fake).item() == pytest.approx(0.25)


def test_soft_labels_stay_in_the_domain_of_cross_entropy() -> None:
    real, fake = losses.soft_labels(1000, torch.Generator().manual_seed(1), torch.device("cpu"))
    assert real.min() >= 0.7 and real.max() == 1.0 and fake.min() >= 0 and fake.max() <= 0.3


def test_r1_penalty_of_a_linear_critic_is_half_its_squared_slope() -> None:
    real = torch.ones(2, 1, 2, 2, 2)
    assert losses.r1_penalty(lambda x: 3 * x.flatten(1).sum(1), real).item() == pytest.approx(0.5 * 9 * 8)


def test_moved_shapes_are_the_same_shapes_elsewhere() -> None:
    """Nothing is lost inside a border, the middle draw moves nothing, and gradients come back to where they belong."""
    shapes = torch.zeros(6, 1, 8, 8, 8)
    shapes[:, :, 2:6, 3:6, 2:5] = torch.rand(6, 1, 4, 3, 3, generator=fixed())
    draws = torch.rand(6, 4, generator=fixed())
    shapes.requires_grad_(True)
    moved = losses.moved(shapes, draws, 2)
    torch.testing.assert_close(moved.flatten(1).sort().values, shapes.flatten(1).sort().values)
    (gradient,) = torch.autograd.grad((moved * moved.detach()).sum(), shapes)
    inside = shapes.detach() > 0
    torch.testing.assert_close(gradient[inside], shapes.detach()[inside])
    still = torch.tensor([[0.5, 0.5, 0.5, 0.9]]).expand(6, 4)
    assert torch.equal(losses.moved(shapes, still, 2), shapes)
    assert torch.equal(losses.moved(shapes, still - torch.tensor([0, 0, 0, 0.8]), 2), shapes.flip(2))


def test_gradient_penalty_of_a_linear_critic() -> None:
    real, fake = torch.ones(2, 1, 2, 2, 2), torch.zeros(2, 1, 2, 2, 2)
    mix = torch.rand(2, 1, 1, 1, 1, generator=fixed())
    penalty = losses.gradient_penalty(lambda x: 3 * x.flatten(1).sum(1), real, fake, mix)
    assert penalty.item() == pytest.approx((3 * math.sqrt(8) - 1) ** 2)
