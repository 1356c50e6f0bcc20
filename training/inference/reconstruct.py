"""Use a trained network: shapes from the prior, from photographs, and between two photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.progress import progress
from training.data.pictures import normalised
from training.inference.model import Model
from training.inference.photograph import Box, ReadPhoto, read_photo
from training.inference.predict import BATCH, levels_of
from training.metrics.voxels import Level, Levels, quantise
from training.networks.codes import POSTERIOR

Photo = UInt8[Array, "S S 3"]
SAMPLED = 8  # shapes from the prior in one pass


def photo_of(
    model: Model, path: Path, read: ReadPhoto = read_photo, *, crop: Box | None = None, mask: Path | None = None
) -> Photo:
    """A photograph as this network's pictures are: `read_photo` in its size, at the object where they are."""
    at_object = model.settings.crop == "alpha"
    return read(path, model.header.size_px, crop=crop, mask=mask, at_object=at_object)


@torch.no_grad()
def code_of(model: Model, photos: Sequence[Photo]) -> Float[torch.Tensor, "1 Z"]:
    """(1, Z) the mean code of one object seen in one or more photographs (S, S, 3)."""
    return model.networks.mean_code(_shown(model, photos))


@torch.no_grad()
def reconstruct(model: Model, photos: Sequence[Photo]) -> Level:
    """(P,) occupancy levels of the object in the photographs."""
    return np.asarray(quantise(model.networks.answer(_shown(model, photos)).flatten(1).cpu().numpy())[0])


@torch.no_grad()
def reconstruct_each(model: Model, photos: UInt8[Array, "N S S 3"]) -> Levels:
    """(N, P) occupancy levels of the object in each photograph."""
    require_pictures(model)
    levels = [np.zeros((0, model.header.resolution**3), np.uint8)]
    for start in range(0, len(photos), BATCH):
        images = normalised(torch.from_numpy(photos[start : start + BATCH]).to(model.networks.device))
        levels.append(quantise(model.networks.answer(images[:, None]).flatten(1).cpu().numpy()))
    return np.concatenate(levels)


def _shown(model: Model, photos: Sequence[Photo]) -> Float[torch.Tensor, "1 V 3 S S"]:
    """The photographs as the encoder takes them; a UserError for a network that cannot."""
    require_pictures(model)
    if len(photos) > 1 and model.networks.coding.views == 1:
        raise UserError(
            "this network was trained on single views",
            got=f"{len(photos)} photographs of one object",
            do="give one photograph, or train with views_per_shape above 1",
        )
    images = normalised(torch.from_numpy(np.stack(photos)).to(model.networks.device))
    return images[None]


def require_pictures(model: Model) -> None:
    """A UserError for a network without an encoder for pictures."""
    if not model.networks.reads_pictures:
        raise UserError(
            "this network cannot look at photographs",
            where=str(model.path),
            got=f"encoder {model.settings.encoder}, encoder_input {model.settings.encoder_input}",
            do="give a run whose encoder reads pictures, or train one",
        )


@torch.no_grad()
def code_named(model: Model, name: str, read: ReadPhoto = read_photo) -> Float[torch.Tensor, "1 Z"]:
    """(1, Z) the code of a photograph, or of what `sample` makes: ``seed:7`` its first, ``seed:7/3`` its 003."""
    if not name.startswith("seed:"):
        return code_of(model, [photo_of(model, Path(name), read)])
    seed, _, number = name.removeprefix("seed:").partition("/")
    if not (seed.isdigit() and (number or "0").isdigit()):
        raise UserError("this names no code", got=name, wanted="a photograph, seed:NUMBER or seed:NUMBER/NUMBER")
    return _sampled_code(model, int(number or 0), int(seed))


def _sampled_code(model: Model, number: int, seed: int, category: str | None = None) -> Float[torch.Tensor, "1 Z"]:
    known = model.header.categories
    if category is not None and model.settings.condition == "none":
        raise UserError(
            "this network was not told categories, so it cannot be asked for one",
            where=str(model.path),
            got=category,
            do="train with condition: category, or leave --category out",
        )
    if category is not None and category not in known:
        raise UserError("the network does not know this category", got=category, wanted=", ".join(known))
    label = number % len(known) if category is None else known.index(category)
    labels = torch.tensor([label], device=model.networks.device)
    return model.networks.prior_codes(1, labels=labels, purpose=f"sample {number}", seed=seed)


def source_of(model: Model, names: Sequence[str]) -> int:
    """Which statistics of G fit a mixture of these codes: those of the encoder as soon as one comes from a picture."""
    return model.networks.sampling_source if all(name.startswith("seed:") for name in names) else POSTERIOR


@torch.no_grad()
def interpolate(model: Model, first: str, last: str, steps: int, read: ReadPhoto = read_photo) -> Levels:
    """(steps, P) occupancy levels on the straight line between two codes (section 4.3 and figure 7 of the paper)."""
    ends = code_named(model, first, read), code_named(model, last, read)
    weights = torch.linspace(0, 1, steps, device=ends[0].device)[:, None]
    return levels_of(model.networks, torch.lerp(*ends, weights), source_of(model, (first, last)))


@torch.no_grad()
def arithmetic(model: Model, plus: Sequence[str], minus: Sequence[str], read: ReadPhoto = read_photo) -> Level:
    """(P,) occupancy levels of a sum and difference of codes (section 4.3 and figure 8 of the paper)."""
    code = sum((code_named(model, name, read) for name in plus), torch.zeros(()))
    code = code - sum((code_named(model, name, read) for name in minus), torch.zeros(()))
    return np.asarray(levels_of(model.networks, code, source_of(model, (*plus, *minus)))[0])


@torch.no_grad()
def samples(model: Model, count: int, seed: int, category: str | None = None) -> Levels:
    """(count, P) occupancy levels from the prior; sample i is the same for every count.

    category : of all of them, for a network that is told categories; None takes these in turn.
    """
    # Batches of one size, the last one filled up: another size rounds otherwise.
    numbers = range(-(-count // SAMPLED) * SAMPLED)
    codes = [_sampled_code(model, number, seed, category) for number in numbers]
    batches = progress(torch.split(torch.cat(codes), SAMPLED), "sample", unit="batch")
    return np.concatenate([levels_of(model.networks, part, model.networks.sampling_source) for part in batches])[:count]
