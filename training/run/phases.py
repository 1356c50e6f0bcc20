"""The phases of a training: which networks learn by which rule from one sample to another.

Without a warm start there is one, in which E, G and D learn together.  With `warm_start` three
follow each other, after the TL-embedding network of Girdhar et al. 2016 (arXiv 1603.08637):

    autoencode   V (a voxel encoder), G and D: the same update, with V in the place of E
    encode       E alone: the code that V gives of the shape, from pictures; no 3D convolution
    joint        E, G and D together, at half their learning rates

Each phase has its own optimizers and its own fall of the learning rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.settings.training import Experiment
from training.data.batches import Inputs, unpack_bits
from training.data.shapes import ShapeData
from training.networks import losses
from training.networks.build import Networks
from training.parallel import Ranks
from training.run.schedule import Schedule
from training.run.step import Step, Values

CHUNK = 64  # shapes that V encodes at a time
JOINT_RATES = 0.5  # of the learning rates, where the networks have learned before


@dataclass(frozen=True)
class Phase:
    """Updates `first` to `last` - 1 of a training."""

    name: str  # "autoencode", "encode" or "joint"
    first: int
    last: int
    step: Step
    schedule: Schedule

    def of(self, networks: Networks) -> Networks:
        """Those who answer in this phase: V and G where they autoencode, else E and G."""
        return networks.autoencoder() if self.name == "autoencode" else networks

    @property
    def moved(self) -> tuple[str, ...]:
        """Names of the averaged networks that its updates move."""
        return {"autoencode": ("G", "V"), "encode": ("E",), "joint": ("E", "G")}[self.name]

    @property
    def seen(self) -> dict[str, bool]:
        """Of pictures and voxels those that its updates look at, as `to_device` is asked for them."""
        pictures = self.step.networks.reads_pictures
        return {"pictures": pictures, "voxels": not pictures or not isinstance(self.step, CodeStep)}

    def begin(self, data: ShapeData, accuracy: float) -> None:
        """Get ready to go on in this phase; `accuracy` of D on the last batch of the training."""
        self.step.accuracy = accuracy
        if isinstance(self.step, CodeStep):
            self.step.codes = shape_codes(self.step.networks.autoencoder(), data)


class CodeStep(Step):
    """E learns the posterior that V has of a shape from a picture of it: KL(V's || E's), the mean over the views."""

    codes: Float[Tensor, "2 N Q"] | None = None  # of every shape as it is and mirrored

    def __call__(self, batch: Inputs, step: int) -> Values:
        """Update E with batch number `step`."""
        assert self.codes is not None
        mirrored = batch.get("mirrored", torch.zeros_like(batch["objects"]))
        mean, log_variance = self.codes[mirrored.long(), batch["objects"]][:, None].chunk(2, dim=-1)
        encoded = self._encode(batch)
        missed = losses.kl_between(mean, log_variance, encoded.mean, encoded.log_variance).mean()
        beside, found = self._beside_the_code(encoded, batch)
        torch.autograd.backward(missed + beside)
        return Values({"code_kl": missed.detach(), **found, "e_gradient": self._move("E")}, self.ranks)


def phases_of(settings: Experiment, networks: Networks, ranks: Ranks = Ranks()) -> list[Phase]:  # noqa: B008 - frozen
    """The phases of an experiment, in order and without a gap; every one has an update at least."""
    total, schedule = -(-settings.samples // settings.batch), Schedule.of(settings)
    if networks.V is None:
        return [Phase("joint", 0, total, Step.of(settings, networks, ranks), schedule)]
    first = max(1, round(total * settings.warm_start.autoencode))
    second = first + max(1, round(total * settings.warm_start.encode))
    total = max(total, second + 1)
    steps = {
        "autoencode": (0, first, Step.of(settings, networks.autoencoder(), ranks)),
        "encode": (first, second, CodeStep.of(settings, networks, ranks, learning=["E"])),
        "joint": (second, total, Step.of(settings, networks, ranks)),
    }
    return [
        Phase(name, begin, end, step, schedule.within(begin * settings.batch, end * settings.batch, share))
        for (name, (begin, end, step)), share in zip(steps.items(), (1.0, 1.0, JOINT_RATES), strict=True)
    ]


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase that update number `step` belongs to; after the last update the last one."""
    return next((phase for phase in phases if step < phase.last), phases[-1])


@torch.no_grad()
def shape_codes(autoencoder: Networks, data: ShapeData) -> Float[Tensor, "2 N Q"]:
    """Mean and log-variance of every shape as it is and mirrored left to right; a function of V's weights alone."""
    autoencoder.eval()
    codes: list[list[Tensor]] = [[], []]
    for start in range(0, len(data), CHUNK):
        bits = torch.from_numpy(data.voxels_bits[start : start + CHUNK]).to(autoencoder.device)
        voxels = unpack_bits(bits)
        for side, shapes in zip(codes, (voxels, voxels.flip(2)), strict=True):
            mean, log_variance = autoencoder.encode(autoencoder.coding.view_of(shapes))
            side.append(torch.cat([mean, log_variance], dim=-1)[:, 0])
    return torch.stack([torch.cat(side) for side in codes])
