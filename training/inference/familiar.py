"""How far a picture is from those that a network knows, among the pictures that it was measured on.

A picture's traits are the mean and the deviation of every channel behind the first two batch norms (and ReLU)
of the encoder: they see edges, colours and textures, in which photographs differ from rendered views.  Deeper features
and codes do not serve: an encoder maps what it does not know into the middle of its codes.  The distance is that
to the nearest known picture, each trait divided by its own deviation, and is told as a percentile of the same
distances among the known pictures themselves (a k-nearest-neighbour detector, Sun et al. 2022, arXiv 2204.06507).

Letters: N known pictures, S pixels a side, F traits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.conventions import Array
from training.data.pictures import normalised
from training.inference.model import Model
from training.networks.build import Networks
from training.networks.layers import BatchNorm

NORMS = 2  # whose outputs are looked at
FAR = 95.0  # percentile from which a picture is called unlike the known ones
SELF = 0.1  # distance below which a picture is a known one itself, computed on another machine perhaps
_LEAST = 1e-3  # deviation of a trait: below it nothing is told apart

Pictures = UInt8[Array, "N S S 3"]


@dataclass(frozen=True)
class Familiar:
    """The known pictures, as traits of mean 0 and deviation 1, and the distance of each to its nearest other."""

    mean: Float[Array, " F"]
    deviation: Float[Array, " F"]
    known: Float[Array, "N F"]
    between: Float[Array, " N"]  # ascending

    @classmethod
    def of(cls, model: Model, pictures: Pictures) -> Familiar:
        """Of at least two pictures."""
        found = _traits_of(model, pictures)
        mean, deviation = found.mean(0), np.maximum(found.std(0), _LEAST)
        known = (found - mean) / deviation
        distances = _distances(known, known)
        np.fill_diagonal(distances, np.inf)
        return cls(mean, deviation, known, np.sort(distances.min(1)))

    def percentile(self, model: Model, picture: UInt8[Array, "S S 3"]) -> float:
        """Percent of the known pictures that are nearer to another one than this picture is to any: 0 ... 100."""
        found = (_traits_of(model, np.stack([picture])) - self.mean) / self.deviation
        distances = _distances(found, self.known)
        nearer = np.searchsorted(self.between, distances[distances > SELF].min(initial=np.inf))
        return 100.0 * float(nearer) / len(self.between)


def in_words(percentile: float, known: int) -> str:
    """What a percentile means."""
    if percentile >= FAR:
        return (
            f"unlike the pictures that this network knows (farther from them than {percentile:.0f} % of its "
            f"{known} held-out pictures), so its answer is a guess"
        )
    return (
        f"like the pictures that this network knows (nearer than {100 - percentile:.0f} % of its {known} held-out ones)"
    )


@torch.no_grad()
def _traits_of(model: Model, pictures: Pictures) -> Float[Array, "N F"]:
    images = normalised(torch.from_numpy(pictures).to(model.networks.device))
    parts = [encode_with_traits(model.networks, part)[1] for part in torch.split(images, 64)]
    return torch.cat(parts).cpu().numpy()


def encode_with_traits(
    networks: Networks, images: Float[Tensor, "B 3 S S"]
) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B F"]]:
    """The codes of single pictures, and what the first layers of E saw on the way."""
    assert networks.E is not None
    seen: list[Tensor] = []
    norms = [module for module in networks.E.modules() if isinstance(module, BatchNorm)][:NORMS]
    handles = [norm.register_forward_hook(lambda _module, _given, out: seen.append(F.relu(out))) for norm in norms]
    try:
        codes = networks.mean_code(images[:, None])
    finally:
        for handle in handles:
            handle.remove()
    means = [x.mean((2, 3)) for x in seen]
    deviations = [(x - m[:, :, None, None]).square().mean((2, 3)).sqrt() for x, m in zip(seen, means, strict=True)]
    return codes, torch.cat([*means, *deviations], dim=1)


def _distances(ones: Float[Array, "M F"], others: Float[Array, "N F"]) -> Float[Array, "M N"]:
    return np.stack([np.sqrt(np.square(others - one).sum(1)) for one in ones])
