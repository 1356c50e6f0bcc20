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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.settings.training import Experiment
from training.data.batches import Inputs
from training.networks import losses
from training.networks.build import Encoded, Networks
from training.networks.codes import GENERATED, POSTERIOR, PRIOR, REAL, noise, source_of_noise
from training.networks.layers import at_least_float32
from training.networks.losses import Objective
from training.parallel import Ranks

Numbers = dict[str, Tensor | float]
Volumes = Float[Tensor, "B 1 R R R"]
Labels = Int64[Tensor, " B"] | None  # categories, for networks that are told them


@dataclass(frozen=True)
class Optimisation:
    """How gradients move the networks: Adam (Kingma & Ba 2015)."""

    rates: dict[str, float]  # learning rates of E, G and D
    betas: tuple[float, float]
    clip_norm: float  # of each network's gradient; 0 leaves it

    @classmethod
    def of(cls, settings: Experiment) -> Optimisation:
        """The part of an experiment that moves its networks."""
        rates = {
            "E": settings.learning_rate_encoder,
            "G": settings.learning_rate_generator,
            "D": settings.learning_rate_discriminator,
        }
        return cls(rates, (settings.beta1, settings.beta2), settings.clip_norm)


class Step:
    """The update rule with its optimizers and the one thing it remembers, D's last accuracy."""

    def __init__(
        self,
        networks: Networks,
        objective: Objective,
        optimisation: Optimisation,
        *,
        learning: Sequence[str] | None = None,  # names of the networks that move; None: all that are there
        bf16: bool = False,  # compute the networks in bf16; weights and losses are float32 always
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
    ):
        self.networks, self.objective, self.ranks = networks, objective, ranks
        self.seed, self.clip_norm = networks.coding.seed, optimisation.clip_norm
        self.base_rates = {name: optimisation.rates[name] for name in learning or networks.present}
        fused = True if networks.device.type in ("cpu", "cuda") else None
        self.optimizers = {
            name: torch.optim.Adam(getattr(networks, name).parameters(), rate, optimisation.betas, fused=fused)
            for name, rate in self.base_rates.items()
        }
        self._bf16 = bf16
        self._accuracy = Values({"d_accuracy": 0.0})

    @classmethod
    def of(
        cls,
        settings: Experiment,
        networks: Networks,
        ranks: Ranks = Ranks(),  # noqa: B008 - frozen
        *,
        learning: Sequence[str] | None = None,
    ) -> Self:
        """The update that an experiment asks for."""
        bf16 = uses_bf16(settings.precision, networks.device, networks.G.resolution)
        objective, optimisation = Objective.of(settings), Optimisation.of(settings)
        return cls(networks, objective, optimisation, learning=learning, bf16=bf16, ranks=ranks)

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
        out: Numbers = {}
        fake, labels = None, batch.get("labels")  # a shape is made for each real one, of its category
        if self.networks.D is not None and step % self.objective.adversarial_every == 0:
            count = len(batch["voxels"]) * self.ranks.world
            z = self.ranks.rows(self.networks.noise_codes(count, step=step, portable=False))
            fake = self._generate(self.networks.towards(z, labels), PRIOR).sigmoid()
            out |= self.discriminator_step(batch["voxels"], fake.detach(), step, labels)
        if self.networks.E is not None:
            out |= self.encoder_step(batch, step)
        out |= self.generator_step(fake, step, labels)
        return Values(out, self.ranks)

    def discriminator_step(self, real: Volumes, fake: Volumes, step: int, labels: Labels = None) -> Numbers:
        """(1) Score both kinds of shapes; learn from them while the last batch was not too easy."""
        gate, kind = self.objective.discriminator_gate, self.objective.adversarial
        # A gate of 1 never closes, so there is no need to wait for the last accuracy.
        learns = gate >= 1 or self.accuracy <= gate
        assert self.networks.D is not None
        self.networks.D.iterate()
        real, fake = self._moved(real, step, "real"), self._moved(fake, step, "fake")
        with contextlib.nullcontext() if learns else torch.no_grad():
            real_logits, fake_logits = self._judge(real, REAL, labels), self._judge(fake, GENERATED, labels)
            loss = self._discriminator_loss(real_logits, fake_logits, step)
        out: Numbers = {"d_loss": loss.detach()}
        if kind in losses.DECISION:
            middle = losses.DECISION[kind]
            correct = ((real_logits > middle).float().mean() + (fake_logits < middle).float().mean()) / 2
            self._accuracy = Values({"d_accuracy": correct}, self.ranks)
            out |= {"d_accuracy": correct, "d_skipped": float(not learns)}
        if learns:
            if self.objective.r1_gamma and step // self.objective.adversarial_every % self.objective.r1_every == 0:
                penalty = losses.r1_penalty(lambda x: self._judge(x, REAL, labels), real)
                out["d_r1"] = penalty.detach()
                loss = loss + self.objective.r1_gamma * self.objective.r1_every * penalty
            if kind == "wgan-gp":
                loss = loss + self.objective.gradient_penalty * self._gradient_penalty(real, fake, step, labels)
            torch.autograd.backward(loss)
            out["d_gradient"] = self._move("D")
        return out

    def encoder_step(self, batch: Inputs, step: int) -> Numbers:
        """(2) One pass through E and G; E moves on KL + reconstruction, G keeps its gradient for (3)."""
        objective, coding = self.objective, self.networks.coding
        encoded = self._encode(batch)
        mean, log_variance = encoded.mean, encoded.log_variance
        shape = (len(mean) * self.ranks.world, *mean.shape[1:])
        epsilon = self.ranks.rows(noise(self.seed, step, "posterior", shape, mean.device))
        z = coding.pooled(mean + (0.5 * log_variance).exp() * epsilon)
        logits = self._generate(z, POSTERIOR)
        reconstruction = losses.RECONSTRUCTION[objective.reconstruction](logits, batch["voxels"]).mean()
        # Over the batch and the views; the mean of each category learns from it too, as a part of G.
        kl = losses.kl_to_standard_normal(self.networks.centred(mean, batch.get("labels")), log_variance).mean()
        beside, found = self._beside_the_code(encoded, batch)
        loss = objective.reconstruction_weight * reconstruction + objective.kl_weight * kl + beside
        torch.autograd.backward(loss)
        return {
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            **found,
            "e_gradient": self._move("E"),
        }

    def generator_step(self, fake: Volumes | None, step: int, labels: Labels = None) -> Numbers:
        """(3) Add the adversarial gradient to the reconstruction's and move G; D passes gradients, learns none."""
        out: Numbers = {}
        if fake is not None and self.networks.D is not None:
            with frozen(self.networks.D):
                logits = self._judge(self._moved(fake, step, "generator"), GENERATED, labels)
                loss = losses.GENERATOR[self.objective.adversarial](logits)
                torch.autograd.backward(self.objective.adversarial_weight * loss)
            out["g_loss"] = loss.detach()
        if fake is not None or self.networks.E is not None:
            out["g_gradient"] = self._move("G")
        return out

    def _encode(self, batch: Inputs) -> Encoded:
        """What E says of the batch."""
        with self._precision():
            return self.networks.encode_fully(self.networks.encoder_input(batch))

    def _beside_the_code(self, encoded: Encoded, batch: Inputs) -> tuple[Tensor, Numbers]:
        """The loss of what E's other heads say: where the object is in the picture, and from where it is seen."""
        loss, out = encoded.mean.new_zeros(()), Numbers()
        if encoded.marks is not None:
            marked = losses.mask_bce(encoded.marks, batch["masks"].flatten(0, 1)).mean()
            loss, out["mask"] = loss + self.objective.mask_weight * marked, marked.detach()
        if encoded.camera is not None:
            wanted = losses.camera_numbers(batch["azimuth_deg"], batch["elevation_deg"], batch["distance"])
            missed = (encoded.camera - wanted).square().sum(-1).mean()
            loss, out["camera"] = loss + self.objective.camera_weight * missed, missed.detach()
        return loss, out

    def _discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor, step: int) -> Tensor:
        kind = self.objective.adversarial
        if kind == "bce" and self.objective.soft_labels:
            source = source_of_noise(self.seed, step, "labels", fake_logits.device)
            labels = losses.soft_labels(len(fake_logits) * self.ranks.world, source, fake_logits.device)
            return losses.discriminator_bce(
                real_logits, fake_logits, (self.ranks.rows(labels[0]), self.ranks.rows(labels[1]))
            )
        return losses.DISCRIMINATOR[kind](real_logits, fake_logits)

    def _gradient_penalty(self, real: Volumes, fake: Volumes, step: int, labels: Labels) -> Tensor:
        shape = (len(fake) * self.ranks.world, 1, 1, 1, 1)
        mix = torch.special.ndtr(self.ranks.rows(noise(self.seed, step, "mix", shape, fake.device)))
        return losses.gradient_penalty(lambda x: self._judge(x, GENERATED, labels), real, fake, mix)

    def _moved(self, volumes: Volumes, step: int, purpose: str) -> Volumes:
        """Shapes as D sees them."""
        if not self.objective.discriminator_shift:
            return volumes
        shape = (len(volumes) * self.ranks.world, 4)
        draws = torch.special.ndtr(self.ranks.rows(noise(self.seed, step, f"shift {purpose}", shape, volumes.device)))
        return losses.moved(volumes, draws, self.objective.discriminator_shift)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.networks.device.type, torch.bfloat16, enabled=self._bf16)

    def _generate(self, z: Tensor, source: int) -> Tensor:
        """Logits in float32, whatever the networks compute in."""
        with self._precision():
            logits: Tensor = self.networks.G(z, source)
        return at_least_float32(logits)

    def _judge(self, occupancy: Tensor, source: int, labels: Labels = None) -> Tensor:
        assert self.networks.D is not None
        with self._precision():
            logits: Tensor = self.networks.D(occupancy, source, labels)
        return at_least_float32(logits)

    def _move(self, name: str) -> Tensor:
        """Average over the ranks, clip, step and clear one network; its gradient norm before clipping."""
        network = getattr(self.networks, name)
        self.ranks.average_gradients(network)
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_norm:
            nn.utils.clip_grads_with_norm_(network.parameters(), self.clip_norm, norm)
        self.optimizers[name].step()
        self.optimizers[name].zero_grad(set_to_none=True)
        return norm


class Values:
    """Named numbers of one step, on their way from the device; `numbers` waits until they have arrived."""

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


def uses_bf16(wanted: str, device: torch.device, resolution: int) -> bool:
    """Whether the networks compute in bf16; "auto" does where a GPU's arithmetic, not its launches, takes the time."""
    if wanted == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return native and resolution >= 64
    return wanted == "bf16"


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
