"""Measuring a network on validation shapes and on samples from the prior while it trains."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.seeds import stable_hash
from training.data.shapes import ShapeData
from training.inference.predict import Views, by_hash, chosen, mean_levels, predict, sample, truth
from training.metrics import voxels as metrics
from training.metrics.distances import iou_matrix
from training.metrics.generation import Pairs, own_neighbours
from training.metrics.voxels import Bits
from training.networks.build import Networks

SAMPLES = 256  # from the prior
MEAN_OF = 4096  # at most so many training shapes


@dataclass(frozen=True)
class Validation:
    """What was measured; shares and IoUs in [0, 1]."""

    iou: float | None  # mean over validation shapes at `threshold`; None without an encoder
    threshold: int  # level 1 ... 255; without an encoder the one at which samples are as occupied as the data
    pairwise: float | None  # IoU between predictions of different shapes
    occupancy: float | None  # mean share of occupied voxels in predictions
    box_fill: float | None
    data_occupancy: float
    data_pairwise: float
    sample_occupancy: float
    sample_pairwise: float
    sample_empty: float  # share of samples without a single voxel
    mean_shape_iou: float | None = None  # of one answer for all, the mean training shape at its best threshold
    sample_one_nna: float | None = None  # of samples and as many validation shapes, by IoU: 0.5 is best, 1 worst

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in self.__dict__.items()}


class Validator:
    """Validation shapes and views, fixed by the hashes of their ids, on which every validation measures."""

    def __init__(
        self,
        data: ShapeData,
        training: ShapeData,  # whose mean shape is to beat; they stand in where there are no validation shapes
        *,
        shapes: int,  # at most this many
        views: int,  # shown together
    ):
        self.held_out = len(data) > 0
        self.data = data if self.held_out else training
        self.objects = by_hash(self.data, "look")[:shapes]  # so are the first of them, where fewer are compared
        self.truth = truth(self.data, self.objects)
        self._together, self._training = views, training

    @functools.cached_property
    def mean_shape_iou(self) -> float:
        """Mean IoU of the mean training shape with the validation shapes, at the threshold that suits it best."""
        mean = mean_levels(self._training, chosen(self._training, MEAN_OF, "mean shape"))
        threshold = metrics.threshold_of_one(mean, self.truth)
        return float(metrics.iou(np.broadcast_to(mean >= threshold, self.truth.shape), self.truth).mean())

    def views(self, turn: int) -> Views:
        """(N, k) the views of turn 0 or 1: neighbouring ones, starting at a place of the shape's own."""
        k = self._together
        starts = [stable_hash("look views", self.data.records[i].shape_id) for i in self.objects]
        return np.array([[(start + turn * k + j) % self.data.views for j in range(k)] for start in starts], np.int64)

    def __call__(self, networks: Networks) -> Validation:
        iou = threshold = pairwise = occupancy = fill = None
        if networks.E is not None:
            levels = [predict(networks, self.data, self.objects, self.views(turn)) for turn in (0, 1)]
            curves = np.mean([metrics.iou_curve(one, self.truth) for one in levels], axis=0)
            threshold = metrics.best_threshold(curves)
            predicted = levels[0] >= threshold
            iou, pairwise = float(curves[:, threshold].mean()), metrics.pairwise_iou(predicted)
            occupancy, fill = float(predicted.mean()), metrics.box_fill(predicted)
        made = sample(networks, SAMPLES)
        samples = made >= (threshold or 128)
        if threshold is None:
            threshold = metrics.occupancy_threshold(made, float(self.truth.mean()))
        return Validation(
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
            None if networks.E is None else self.mean_shape_iou,
            self._one_nna(made >= threshold),
        )

    def _one_nna(self, samples: Bits) -> float | None:
        """How well samples can be told from as many validation shapes; None where there are fewer than two.

        The mean over all groups of that size: one group alone varies by .02 from draw to draw, more than two
        checkpoints of a training differ by.
        """
        count = min(len(samples), len(self.truth))
        if count < 2:
            return None
        theirs = np.packbits(self.truth[:count], axis=1)
        among_theirs = 1 - iou_matrix(theirs, theirs)
        scores = []
        for start in range(0, len(samples) - count + 1, count):
            ours = np.packbits(samples[start : start + count], axis=1)
            pairs = Pairs(1 - iou_matrix(ours, ours), 1 - iou_matrix(ours, theirs), among_theirs)
            scores.append(own_neighbours(pairs).mean())
        return float(np.mean(scores))
