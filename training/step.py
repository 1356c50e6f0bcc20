"""One update of the three networks, in the paper's order: discriminator, encoder, generator.

Section 3.3 of Wu et al. 2016:
  (1) D on a real shape x and a shape G(z) from the prior,
  (2) E on KL and reconstruction, with G fixed,
  (3) G on reconstruction and the adversarial term.

Two facts save passes without changing the mathematics.  G does not move between (1) and
(3), so one G(z) serves both; D sees it detached.  The reconstruction is the same in (2)
and (3), so one backward pass fills both gradients before either network moves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training import losses
from training.data_device import Inputs
from training.layers import channels_last
from training.networks import Networks

REAL, GENERATED = 0, 1  # sources of D's batch norm
POSTERIOR, PRIOR = 0, 1  # sources of G's batch norm


def noise(seed: int, step: int, purpose: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal numbers that depend on (seed, step, purpose) alone."""
    source = torch.Generator().manual_seed(stable_hash(seed, purpose, step) >> 1)
    return torch.randn(shape, generator=source).to(device)


def prior_codes(settings: Experiment, step: int, count: int, device: torch.device, purpose: str = "prior") -> Tensor:
    """(count, Z) codes from p(z); uniform is the normal's distribution function of the same numbers."""
    z = noise(settings.seed, step, purpose, (count, settings.latent), device)
    if settings.prior == "narrow":
        return 0.33 * z
    return torch.special.ndtr(z) if settings.prior == "uniform" else z


def sampling_source(settings: Experiment) -> int:
    """Which statistics of G's batch norm fit codes from p(z): without a game only the encoder's were ever counted."""
    return PRIOR if settings.adversarial_weight > 0 else POSTERIOR


def projections(voxels: Tensor) -> Tensor:
    """(B, 1, R, R, R) -> (B, 1, 3, R, R): what is occupied seen along x, y and z, as channels in [-1, 1]."""
    return 2 * torch.stack([voxels[:, 0].amax(axis) for axis in (1, 2, 3)], dim=1)[:, None] - 1


def encoder_input(settings: Experiment, batch: Inputs) -> Tensor:
    """(B, V, 3, S, S): the pictures, or the shape's own projections."""
    return projections(batch["voxels"]) if settings.encoder_input == "projections" else batch["images"]


def encode(networks: Networks, images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, V, 3, S, S) -> mean and log-variance, (B, V, Z) each; all views in one pass."""
    assert networks.E is not None
    b, views = images.shape[:2]
    out = networks.E(channels_last(images.flatten(0, 1)))
    mean, log_variance = out.reshape(b, views, -1).chunk(2, dim=-1)
    return mean, log_variance.clamp(-15, 15)  # exp() stays finite


def pool(codes: Tensor, how: str) -> Tensor:
    """(B, V, Z) -> (B, Z), every view with the same weight."""
    if codes.shape[1] == 1:
        return codes[:, 0]
    return codes.amax(1) if how == "max" else codes.mean(1)


class Step:
    """The update rule with its optimizers and the one thing it remembers, D's last accuracy."""

    def __init__(self, settings: Experiment, networks: Networks):
        self.settings, self.networks = settings, networks
        betas = (settings.beta1, settings.beta2)
        rates = {
            "E": settings.learning_rate_encoder,
            "G": settings.learning_rate_generator,
            "D": settings.learning_rate_discriminator,
        }
        self.base_rates = {name: rate for name, rate in rates.items() if getattr(networks, name) is not None}
        self.optimizers = {
            name: torch.optim.Adam(getattr(networks, name).parameters(), lr=rate, betas=betas)
            for name, rate in self.base_rates.items()
        }
        self.accuracy = 0.0

    def set_rate_factor(self, factor: float) -> None:
        """Scale every network's learning rate."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.base_rates[name] * factor

    def __call__(self, batch: Inputs, step: int) -> dict[str, float]:
        """Update the networks with batch number `step`; the losses and gradient norms as numbers."""
        out: dict[str, Tensor | float] = {}
        fake: Tensor | None = None
        if self.networks.D is not None and step % self.settings.adversarial_every == 0:
            z = prior_codes(self.settings, step, len(batch["voxels"]), batch["voxels"].device)
            fake = self.networks.G(z, PRIOR).sigmoid()
            out |= self.discriminator_step(batch, fake.detach(), step)
        if self.networks.E is not None:
            out |= self.encoder_step(batch, step)
        out |= self.generator_step(fake)
        return as_numbers(out)

    def discriminator_step(self, batch: Inputs, fake: Tensor, step: int) -> dict[str, Tensor | float]:
        """(1) Score both kinds of shapes; learn from them while the last batch was not too easy."""
        settings, d = self.settings, self.networks.D
        assert d is not None
        learns = self.accuracy <= settings.discriminator_gate
        with contextlib.nullcontext() if learns else torch.no_grad():
            real_logits, fake_logits = d(batch["voxels"], REAL), d(fake, GENERATED)
            if settings.adversarial == "bce" and settings.soft_labels:
                source = torch.Generator().manual_seed(stable_hash(settings.seed, "labels", step) >> 1)
                labels = losses.soft_labels(len(fake), source, fake.device)
                loss = losses.discriminator_bce(real_logits, fake_logits, labels)
            else:
                loss = losses.DISCRIMINATOR[settings.adversarial](real_logits, fake_logits)
        middle = losses.DECISION[settings.adversarial]
        correct = (real_logits > middle).float().mean() + (fake_logits < middle).float().mean()
        self.accuracy = float(correct / 2)
        out: dict[str, Tensor | float] = {
            "d_loss": loss.detach(),
            "d_accuracy": self.accuracy,
            "d_skipped": float(not learns),
        }
        if learns:
            if settings.adversarial == "wgan-gp":
                mix = torch.special.ndtr(noise(settings.seed, step, "mix", (len(fake), 1, 1, 1, 1), fake.device))
                loss = loss + settings.gradient_penalty * losses.gradient_penalty(
                    lambda x: d(x, GENERATED), batch["voxels"], fake, mix
                )
            torch.autograd.backward(loss)
            out["d_gradient"] = self._move("D")
        return out

    def encoder_step(self, batch: Inputs, step: int) -> dict[str, Tensor | float]:
        """(2) One pass through E and G; E moves on KL + reconstruction, G keeps its gradient for (3)."""
        settings, g = self.settings, self.networks.G
        mean, log_variance = encode(self.networks, encoder_input(settings, batch))
        epsilon = noise(settings.seed, step, "posterior", tuple(mean.shape), mean.device)
        z = pool(mean + (0.5 * log_variance).exp() * epsilon, settings.pooling)
        reconstruction = losses.RECONSTRUCTION[settings.reconstruction](g(z, POSTERIOR), batch["voxels"]).mean()
        kl = losses.kl_to_standard_normal(mean, log_variance).mean()  # over the batch and the views
        torch.autograd.backward(settings.reconstruction_weight * reconstruction + settings.kl_weight * kl)
        return {"reconstruction": reconstruction.detach(), "kl": kl.detach(), "e_gradient": self._move("E")}

    def generator_step(self, fake: Tensor | None) -> dict[str, Tensor | float]:
        """(3) Add the adversarial gradient to the reconstruction's and move G; D passes gradients, learns none."""
        out: dict[str, Tensor | float] = {}
        if fake is not None and self.networks.D is not None:
            with frozen(self.networks.D):
                loss = losses.GENERATOR[self.settings.adversarial](self.networks.D(fake, GENERATED))
                torch.autograd.backward(self.settings.adversarial_weight * loss)
            out["g_loss"] = loss.detach()
        if fake is not None or self.networks.E is not None:
            out["g_gradient"] = self._move("G")
        return out

    def _move(self, name: str) -> Tensor:
        """Clip, step and clear one network; its gradient norm before clipping."""
        parameters = list(getattr(self.networks, name).parameters())
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm or float("inf"))
        self.optimizers[name].step()
        self.optimizers[name].zero_grad(set_to_none=True)
        return norm


def as_numbers(values: dict[str, Tensor | float]) -> dict[str, float]:
    """Bring all values to the host at once: each copy by itself would wait for the accelerator."""
    if not values:  # a 3D-GAN between two of its games
        return {}
    device = next((value.device for value in values.values() if isinstance(value, Tensor)), None)
    stacked = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=device) for value in values.values()])
    return dict(zip(values, stacked.tolist(), strict=True))


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for the module's own weights: 28 % of a step's arithmetic would be thrown away."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in module.parameters():
            parameter.requires_grad_(True)
