"""What the networks predict for held-out shapes and what they make from the prior.

Letters: N shapes, V views, S pixels, R voxels a side, P = R^3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training.data.batches import unpack_bits
from training.data.shapes import ShapeData
from training.metrics import voxels as metrics
from training.metrics.voxels import Bits, Levels
from training.networks.build import Networks
from training.run.step import POSTERIOR, mean_code, prior_codes, projections, sampling_source

BATCH = 64  # pictures or codes in one evaluation pass


def truth(data: ShapeData, objects: npt.NDArray[np.int64]) -> Bits:
    """(N, P) the stored voxels."""
    return np.unpackbits(data.voxels_bits[objects], axis=1, count=data.resolution**3).astype(bool)


@torch.no_grad()
def predict(
    networks: Networks,
    settings: Experiment,
    data: ShapeData,
    objects: npt.NDArray[np.int64],
    views: npt.NDArray[np.int64],
) -> Levels:
    """(N, P) occupancy levels of objects (N,) seen in views (N, k), from the mean code."""
    device = next(networks.parameters()).device
    networks.eval()
    out = np.empty((len(objects), data.resolution**3), np.uint8)
    share = max(1, BATCH // views.shape[1])
    for start in range(0, len(objects), share):
        part = slice(start, start + share)
        images = shown(settings, data, objects[part], views[part], device)
        codes = mean_code(networks, settings, images)
        out[part] = levels_of(networks, codes, POSTERIOR)
    return out


def shown(
    settings: Experiment,
    data: ShapeData,
    objects: npt.NDArray[np.int64],
    views: npt.NDArray[np.int64],
    device: torch.device,
) -> torch.Tensor:
    """(N, k, 3, S, S) what the encoder sees of objects (N,) in views (N, k)."""
    if settings.encoder_input == "projections":
        return projections(unpack_bits(torch.from_numpy(data.voxels_bits[objects])).to(device))
    pictures = torch.from_numpy(data.gather(objects, views)).to(device)
    return pictures.permute(0, 1, 4, 2, 3).float() / 127.5 - 1


@torch.no_grad()
def sample(networks: Networks, settings: Experiment, count: int, purpose: str = "look") -> Levels:
    """(count, P) occupancy levels from the prior; the same codes for the same seed and purpose."""
    device = next(networks.parameters()).device
    networks.eval()
    codes = prior_codes(settings, 0, count, device, purpose)
    return np.concatenate([levels_of(networks, part, sampling_source(settings)) for part in torch.split(codes, BATCH)])


@torch.no_grad()
def levels_of(networks: Networks, codes: torch.Tensor, source: int) -> Levels:
    """(B, Z) codes -> (B, P) occupancy levels 0 ... 255."""
    return metrics.quantise(networks.G(codes, source).sigmoid().flatten(1).cpu().numpy())


@dataclass(frozen=True)
class Look:
    """One look at a network during training; shares and IoUs in [0, 1]."""

    iou: float | None  # mean over validation shapes at `threshold`; None without an encoder
    threshold: int | None  # level 1 ... 255
    pairwise: float | None  # IoU between predictions of different shapes
    occupancy: float | None  # mean share of occupied voxels in predictions
    box_fill: float | None
    data_occupancy: float
    data_pairwise: float
    sample_occupancy: float
    sample_pairwise: float
    sample_empty: float  # share of samples without a single voxel

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in self.__dict__.items()}


class Looker:
    """Validation shapes and views, fixed by the seed, that every look measures."""

    def __init__(self, settings: Experiment, data: ShapeData | None, fallback: ShapeData):
        self.settings = settings
        # A tiny data set may have no validation shapes; then the collapse watch looks at training shapes.
        self.held_out = data is not None and len(data) > 0
        self.data = data if data is not None and len(data) > 0 else fallback
        order = sorted(range(len(self.data)), key=lambda i: stable_hash("look", self.data.records[i].shape_id))
        self.objects = np.array(sorted(order[: settings.validation_shapes]), np.int64)
        self.truth = truth(self.data, self.objects)

    def views(self, look: int) -> npt.NDArray[np.int64]:
        """(N, k) the views of look 0 or 1: neighbouring ones, starting at a place of the shape's own."""
        k = self.settings.views_per_shape
        starts = [stable_hash("look views", self.data.records[i].shape_id) for i in self.objects]
        return np.array([[(start + look * k + j) % self.data.views for j in range(k)] for start in starts], np.int64)

    def __call__(self, networks: Networks) -> Look:
        iou = threshold = pairwise = occupancy = fill = None
        if networks.E is not None:
            looks = [predict(networks, self.settings, self.data, self.objects, self.views(i)) for i in (0, 1)]
            curves = np.mean([metrics.iou_curve(levels, self.truth) for levels in looks], axis=0)
            threshold = metrics.best_threshold(curves)
            predicted = looks[0] >= threshold
            iou, pairwise = float(curves[:, threshold].mean()), metrics.pairwise_iou(predicted)
            occupancy, fill = float(predicted.mean()), metrics.box_fill(predicted)
        samples = sample(networks, self.settings, 64) >= (threshold or 128)
        return Look(
            iou,
            threshold,
            pairwise,
            occupancy,
            fill,
            float(self.truth.mean()),
            metrics.pairwise_iou(self.truth),
            float(samples.mean()),
            metrics.pairwise_iou(samples),
            float((~samples.any(1)).mean()),
        )


def chosen(data: ShapeData, count: int, purpose: str) -> npt.NDArray[np.int64]:
    """At most `count` shapes of a split, by the hash of their ids."""
    order: Sequence[int] = sorted(range(len(data)), key=lambda i: stable_hash(purpose, data.records[i].shape_id))
    return np.array(sorted(order[:count]), np.int64)
