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
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training.data.batches import Inputs
from training.networks import losses
from training.networks.build import Networks
from training.networks.layers import channels_last
from training.parallel import Ranks

REAL, GENERATED = 0, 1  # sources of D's batch norm
POSTERIOR, PRIOR = 0, 1  # sources of G's batch norm
DRAWS = 256  # sampled codes that an expected maximum is the mean of: it is known to 0.05 standard deviations
CHUNK = 16  # of them at a time


def noise(seed: int, step: int, purpose: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal numbers that depend on (seed, step, purpose) alone."""
    source = torch.Generator().manual_seed(stable_hash(seed, purpose, step) >> 1)
    return to_device_async(torch.randn(shape, generator=source), device)


def to_device_async(values: Tensor, device: torch.device) -> Tensor:
    """On the device without waiting for it: a copy from pageable memory would empty its queue."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


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
    return encode_with_mask(networks, images)[:2]


def encode_with_mask(networks: Networks, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same, and (B V, 1, S/8, S/8) logits of where the object is, from an encoder with that head."""
    assert networks.E is not None
    b, views = images.shape[:2]
    codes, *mask = networks.E(channels_last(images.flatten(0, 1)))
    mean, log_variance = codes.float().reshape(b, views, -1).chunk(2, dim=-1)
    return mean, log_variance.clamp(-15, 15), mask[0].float() if mask else None  # exp() stays finite


def pool(codes: Tensor, how: str) -> Tensor:
    """(B, V, Z) -> (B, Z), every view with the same weight."""
    if codes.shape[1] == 1:
        return codes[:, 0]
    return codes.amax(1) if how == "max" else codes.mean(1)


def mean_code(networks: Networks, settings: Experiment, images: Tensor, draws: Tensor | None = None) -> Tensor:
    """(B, V, 3, S, S) -> (B, Z): the code that training decodes, averaged over its noise.

    One view, or the mean of several: the posterior means.  Training takes the largest of *sampled* codes, whose
    expectation lies above the largest mean; it is the average of `DRAWS` such codes, with the same noise for every
    object.  Fewer pictures than in training are shown again until there are as many.  `draws`: what `code_draws` gives.
    """
    mean, log_variance = encode(networks, images)
    if not draws_codes(settings):
        return pool(mean, settings.pooling)
    shown = torch.arange(max(mean.shape[1], settings.views_per_shape), device=mean.device) % mean.shape[1]
    mean, deviation = mean[:, None, shown], (0.5 * log_variance[:, None, shown]).exp()
    if draws is None:
        draws = code_draws(settings, len(shown), mean.device)
    total = torch.zeros_like(mean[:, 0, 0])
    for first in range(0, len(draws), CHUNK):
        total = total + (mean + deviation * draws[first : first + CHUNK]).amax(2).sum(1)
    return total / len(draws)


def draws_codes(settings: Experiment) -> bool:
    """Whether an evaluation has to draw codes as training does."""
    return settings.pooling == "max" and settings.views_per_shape > 1


def code_draws(settings: Experiment, views: int, device: torch.device) -> Tensor:
    """(DRAWS, V, Z) the noise of `mean_code`."""
    return noise(settings.seed, 0, "mean code", (DRAWS, views, settings.latent), device)


class Step:
    """The update rule with its optimizers and the one thing it remembers, D's last accuracy."""

    def __init__(self, settings: Experiment, networks: Networks, ranks: Ranks = Ranks()):  # noqa: B008 - frozen
        self.settings, self.networks, self.ranks = settings, networks, ranks
        device = next(networks.parameters()).device
        betas = (settings.beta1, settings.beta2)
        rates = {
            "E": settings.learning_rate_encoder,
            "G": settings.learning_rate_generator,
            "D": settings.learning_rate_discriminator,
        }
        self.base_rates = {name: rate for name, rate in rates.items() if getattr(networks, name) is not None}
        self.optimizers = {
            name: torch.optim.Adam(getattr(networks, name).parameters(), lr=rate, betas=betas, fused=_fused(device))
            for name, rate in self.base_rates.items()
        }
        self._device, self._bf16 = device, uses_bf16(settings, device, networks.G.resolution)
        self._accuracy = Values({"d_accuracy": 0.0})

    @property
    def accuracy(self) -> float:
        """Of the discriminator on its last batch."""
        return self._accuracy.numbers()["d_accuracy"]

    @accuracy.setter
    def accuracy(self, value: float) -> None:
        self._accuracy = Values({"d_accuracy": value})

    def set_rate_factors(self, factors: Mapping[str, float]) -> None:
        """Scale each network's learning rate."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.base_rates[name] * factors[name]

    def __call__(self, batch: Inputs, step: int) -> Values:
        """Update the networks with batch number `step`; the losses and gradient norms, means over the ranks."""
        out: dict[str, Tensor | float] = {}
        fake: Tensor | None = None
        if self.networks.D is not None and step % self.settings.adversarial_every == 0:
            count, device = len(batch["voxels"]) * self.ranks.world, batch["voxels"].device
            z = self.ranks.rows(prior_codes(self.settings, step, count, device))
            fake = self._generate(z, PRIOR).sigmoid()
            out |= self.discriminator_step(batch, fake.detach(), step)
        if self.networks.E is not None:
            out |= self.encoder_step(batch, step)
        out |= self.generator_step(fake)
        return Values(out, self.ranks)

    def discriminator_step(self, batch: Inputs, fake: Tensor, step: int) -> dict[str, Tensor | float]:
        """(1) Score both kinds of shapes; learn from them while the last batch was not too easy."""
        settings, d = self.settings, self.networks.D
        assert d is not None
        # A gate of 1 never closes, so there is no need to wait for the last accuracy.
        learns = settings.discriminator_gate >= 1 or self.accuracy <= settings.discriminator_gate
        with contextlib.nullcontext() if learns else torch.no_grad():
            real_logits, fake_logits = self._judge(batch["voxels"], REAL), self._judge(fake, GENERATED)
            if settings.adversarial == "bce" and settings.soft_labels:
                loss = losses.discriminator_bce(real_logits, fake_logits, self._soft_labels(fake, step))
            else:
                loss = losses.DISCRIMINATOR[settings.adversarial](real_logits, fake_logits)
        middle = losses.DECISION[settings.adversarial]
        correct = (real_logits > middle).float().mean() + (fake_logits < middle).float().mean()
        self._accuracy = Values({"d_accuracy": correct / 2}, self.ranks)
        out: dict[str, Tensor | float] = {
            "d_loss": loss.detach(),
            "d_accuracy": correct / 2,
            "d_skipped": float(not learns),
        }
        if learns:
            if settings.adversarial == "wgan-gp":
                shape = (len(fake) * self.ranks.world, 1, 1, 1, 1)
                mix = torch.special.ndtr(self.ranks.rows(noise(settings.seed, step, "mix", shape, fake.device)))
                loss = loss + settings.gradient_penalty * losses.gradient_penalty(
                    lambda x: self._judge(x, GENERATED), batch["voxels"], fake, mix
                )
            torch.autograd.backward(loss)
            out["d_gradient"] = self._move("D")
        return out

    def encoder_step(self, batch: Inputs, step: int) -> dict[str, Tensor | float]:
        """(2) One pass through E and G; E moves on KL + reconstruction, G keeps its gradient for (3)."""
        settings, out = self.settings, {}
        with self._precision():
            mean, log_variance, mask = encode_with_mask(self.networks, encoder_input(settings, batch))
        shape = (len(mean) * self.ranks.world, *mean.shape[1:])
        epsilon = self.ranks.rows(noise(settings.seed, step, "posterior", shape, mean.device))
        z = pool(mean + (0.5 * log_variance).exp() * epsilon, settings.pooling)
        logits = self._generate(z, POSTERIOR)
        reconstruction = losses.RECONSTRUCTION[settings.reconstruction](logits, batch["voxels"]).mean()
        kl = losses.kl_to_standard_normal(mean, log_variance).mean()  # over the batch and the views
        loss = settings.reconstruction_weight * reconstruction + settings.kl_weight * kl
        out = {"reconstruction": reconstruction.detach(), "kl": kl.detach()}
        if mask is not None:
            seen = losses.mask_bce(mask, batch["masks"].flatten(0, 1)).mean()
            loss, out["mask"] = loss + settings.mask_weight * seen, seen.detach()
        torch.autograd.backward(loss)
        return {**out, "e_gradient": self._move("E")}

    def generator_step(self, fake: Tensor | None) -> dict[str, Tensor | float]:
        """(3) Add the adversarial gradient to the reconstruction's and move G; D passes gradients, learns none."""
        out: dict[str, Tensor | float] = {}
        if fake is not None and self.networks.D is not None:
            with frozen(self.networks.D):
                loss = losses.GENERATOR[self.settings.adversarial](self._judge(fake, GENERATED))
                torch.autograd.backward(self.settings.adversarial_weight * loss)
            out["g_loss"] = loss.detach()
        if fake is not None or self.networks.E is not None:
            out["g_gradient"] = self._move("G")
        return out

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def _generate(self, z: Tensor, source: int) -> Tensor:
        """Logits in float32, whatever the networks compute in."""
        with self._precision():
            logits: Tensor = self.networks.G(z, source)
        return logits.float()

    def _judge(self, occupancy: Tensor, source: int) -> Tensor:
        assert self.networks.D is not None
        with self._precision():
            logits: Tensor = self.networks.D(occupancy, source)
        return logits.float()

    def _soft_labels(self, fake: Tensor, step: int) -> tuple[Tensor, Tensor]:
        source = torch.Generator().manual_seed(stable_hash(self.settings.seed, "labels", step) >> 1)
        real, generated = losses.soft_labels(len(fake) * self.ranks.world, source, fake.device)
        return self.ranks.rows(real), self.ranks.rows(generated)

    def _move(self, name: str) -> Tensor:
        """Average over the ranks, clip, step and clear one network; its gradient norm before clipping."""
        network = getattr(self.networks, name)
        self.ranks.average_gradients(network)
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.settings.clip_norm:
            nn.utils.clip_grads_with_norm_(network.parameters(), self.settings.clip_norm, norm)
        self.optimizers[name].step()
        self.optimizers[name].zero_grad(set_to_none=True)
        return norm


class Values:
    """Named numbers of one step, on their way from the device; asking for them is what waits."""

    def __init__(self, values: Mapping[str, Tensor | float], ranks: Ranks = Ranks()):  # noqa: B008 - frozen
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        self._ready = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        self._order, self._names = list(values), list(tensors)
        self._copy: Tensor | None = None
        self._done: torch.cuda.Event | None = None
        if tensors:
            stacked = torch.stack([value.double() for value in tensors.values()])
            ranks.average([stacked])
            self._copy = stacked.to("cpu", non_blocking=True)  # into pinned memory where it comes from a GPU
            if stacked.is_cuda:
                self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._done.record()

    def numbers(self) -> dict[str, float]:
        """All of them, waiting for this step's computation where that is needed."""
        if self._copy is not None:
            if self._done is not None:
                self._done.synchronize()
            self._ready |= zip(self._names, self._copy.tolist(), strict=True)
            self._copy = None
        return {name: self._ready[name] for name in self._order}


def uses_bf16(settings: Experiment, device: torch.device, resolution: int) -> bool:
    """Whether the networks compute in bf16: where a GPU's arithmetic, not its launches, takes the time."""
    if settings.precision == "auto":
        return device.type == "cuda" and resolution >= 64 and torch.cuda.is_bf16_supported()
    return settings.precision == "bf16"


def _fused(device: torch.device) -> bool | None:
    return True if device.type == "cuda" else None


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
