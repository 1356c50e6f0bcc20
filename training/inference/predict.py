"""What the networks predict for shapes of a data set and what they make from the prior.

Letters: N shapes, k views shown together, S pixels, R voxels a side, P = R^3, Z numbers in a code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from pipeline.conventions import Array
from pipeline.seeds import stable_hash
from training.data.batches import unpack_bits
from training.data.pictures import normalised
from training.data.shapes import ShapeData
from training.metrics import voxels as metrics
from training.metrics.voxels import Bits, Level, Levels
from training.networks.build import Networks
from training.networks.codes import POSTERIOR

BATCH = 64  # pictures or codes in one pass

Objects = Int64[Array, " N"]  # places in `ShapeData.records`
Views = Int64[Array, "N k"]


def by_hash(data: ShapeData, purpose: str) -> Objects:
    """All shapes of a split in the order of a hash of their ids, another one for each purpose.

    Whatever is measured on some shapes only takes the first of these, so it depends on no other order.
    """
    order = sorted(range(len(data)), key=lambda i: stable_hash(purpose, data.records[i].shape_id))
    return np.array(order, np.int64)


def chosen(data: ShapeData, count: int, purpose: str) -> Objects:
    """At most `count` shapes of a split, by the hash of their ids, in the split's own order."""
    return np.sort(by_hash(data, purpose)[:count])


def first_views(data: ShapeData, objects: Objects, purpose: str = "shown") -> Objects:
    """One view of each shape, by the hash of its id."""
    return np.array([stable_hash(purpose, data.records[i].shape_id) % data.views for i in objects], np.int64)


def neighbouring_views(data: ShapeData, objects: Objects, together: int) -> Views:
    """(N, k) neighbouring views of each shape, beginning with the one that `first_views` gives."""
    return (first_views(data, objects).reshape(-1, 1) + np.arange(together)) % data.views


def truth(data: ShapeData, objects: Objects) -> Bits:
    """(N, P) the stored voxels."""
    return np.unpackbits(data.voxels_bits[objects], axis=1, count=data.resolution**3).astype(bool)


def mean_levels(data: ShapeData, objects: Objects) -> Level:
    """(P,) mean occupancy of the given shapes as levels 0 ... 255."""
    total = np.zeros(data.resolution**3, np.int64)
    for start in range(0, len(objects), 1024):
        total += truth(data, objects[start : start + 1024]).sum(0)
    return metrics.quantise((total / max(len(objects), 1)).astype(np.float32))


def pictures_of(data: ShapeData, objects: Objects, views: Objects) -> UInt8[Array, "N S S 3"]:
    """One picture of each object; N may be 0."""
    return data.gather(objects, views) if len(objects) else np.zeros((0, data.size_px, data.size_px, 3), np.uint8)


def encoder_pictures(networks: Networks, data: ShapeData, objects: Objects, views: Views) -> Float[Tensor, "N W C ..."]:
    """What the encoder is shown of objects (N,) in views (N, k)."""
    if networks.coding.takes != "picture":
        return networks.coding.view_of(unpack_bits(torch.from_numpy(data.voxels_bits[objects])).to(networks.device))
    return normalised(torch.from_numpy(data.gather(objects, views)).to(networks.device))


@torch.no_grad()
def predict(networks: Networks, data: ShapeData, objects: Objects, views: Views) -> Levels:
    """(N, P) occupancy levels of objects (N,) seen in views (N, k): `Networks.answer`."""
    networks.eval()
    out = np.empty((len(objects), data.resolution**3), np.uint8)
    share = max(1, BATCH // views.shape[1])
    for start in range(0, len(objects), share):
        part = slice(start, start + share)
        answer = networks.answer(encoder_pictures(networks, data, objects[part], views[part]))
        out[part] = metrics.quantise(answer.flatten(1).cpu().numpy())
    return out


@torch.no_grad()
def codes_of(networks: Networks, data: ShapeData, objects: Objects, views: Views) -> Float[Array, "N Z"]:
    """Posterior means of objects (N,) seen in views (N, k)."""
    out = [np.zeros((0, networks.coding.latent), np.float32)]
    for start in range(0, len(objects), BATCH):
        part = slice(start, start + BATCH)
        out.append(networks.mean_code(encoder_pictures(networks, data, objects[part], views[part])).cpu().numpy())
    return np.concatenate(out)


@torch.no_grad()
def sample(networks: Networks, count: int, purpose: str = "look", *, seed: int | None = None) -> Levels:
    """(count, P) occupancy levels from the prior; the same codes for the same seed and purpose.

    seed : another seed than the experiment's gives other codes.
    """
    networks.eval()
    codes = networks.prior_codes(count, purpose=purpose, seed=seed)
    return np.concatenate([levels_of(networks, part, networks.sampling_source) for part in torch.split(codes, BATCH)])


def decode(networks: Networks, codes: Sequence[Float[Array, " Z"]], resolution: int) -> Levels:
    """(N, P) occupancy levels of codes that come from pictures."""
    out = [np.zeros((0, resolution**3), np.uint8)]
    for start in range(0, len(codes), BATCH):
        batch = torch.from_numpy(np.stack(codes[start : start + BATCH]).astype(np.float32)).to(networks.device)
        out.append(levels_of(networks, batch, POSTERIOR))
    return np.concatenate(out)


@torch.no_grad()
def levels_of(networks: Networks, codes: Float[Tensor, "N Z"], source: int) -> Levels:
    """(N, Z) codes -> (N, P) occupancy levels 0 ... 255."""
    return metrics.quantise(networks.G(codes, source).sigmoid().flatten(1).cpu().numpy())
