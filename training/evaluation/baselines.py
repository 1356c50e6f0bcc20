"""What a network must beat, measured on the same held-out shapes.

Letters: N held-out shapes, V views, M training shapes, P = R^3 voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from pipeline.conventions import Array
from pipeline.seeds import generator
from training.data.shapes import ShapeData
from training.inference.predict import Objects, chosen, mean_levels, truth
from training.metrics import voxels as metrics
from training.metrics.distances import iou_matrix
from training.metrics.voxels import Bits, Floats

MAX_PICTURES = 20_000  # training pictures that the nearest neighbour looks at
PIXELS = 16  # side of the pictures in which neighbours are searched


@dataclass(frozen=True)
class Baseline:
    """IoU of one baseline for every held-out shape, and the threshold it needed, if any."""

    iou: Floats  # (N,) mean over views
    threshold: int | None = None


def mean_shape(train: ShapeData, tuning: ShapeData, held_out: ShapeData) -> Baseline:
    """The same answer for every picture: the mean training shape, cut where `tuning` shapes like it best."""
    level = mean_levels(train, np.arange(len(train)))
    threshold = metrics.threshold_of_one(level, truth(tuning, np.arange(len(tuning))))
    answers = truth(held_out, np.arange(len(held_out)))
    return Baseline(metrics.iou(np.broadcast_to(level >= threshold, answers.shape), answers), threshold)


def class_mean_shape(train: ShapeData, tuning: ShapeData, held_out: ShapeData) -> Baseline:
    """Privileged: the mean shape of the true category, which no picture tells by itself."""
    out = np.zeros(len(held_out))
    for label in np.unique(held_out.labels):
        members = np.flatnonzero(held_out.labels == label)
        level = mean_levels(train, np.flatnonzero(train.labels == label))
        tuners = np.flatnonzero(tuning.labels == label)
        threshold = metrics.threshold_of_one(level, truth(tuning, tuners)) if len(tuners) else 128
        answers = truth(held_out, members)
        out[members] = metrics.iou(np.broadcast_to(level >= threshold, answers.shape), answers)
    return Baseline(out)


class PictureBank:
    """Small copies of training pictures, to find the nearest one to any other picture."""

    def __init__(self, train: ShapeData):
        shapes = chosen(train, max(1, MAX_PICTURES // train.views), "nearest pixels")
        self._bank = np.concatenate([_small(train.gather(np.array([i]), _every(train))[0]) for i in shapes])  # (M V, F)
        self._owners = np.repeat(shapes, train.views)
        self._lengths = 0.5 * np.square(self._bank).sum(1)

    def nearest(self, pictures: UInt8[Array, "N S S 3"]) -> Objects:
        """(V,) the training shape whose picture is nearest to each of (V, S, S, 3)."""
        # |a - b|^2 is smallest where |b|^2 / 2 - a b is.
        return np.asarray(self._owners[(self._lengths - _small(pictures) @ self._bank.T).argmin(1)])


def nearest_pixels(bank: PictureBank, train: ShapeData, held_out: ShapeData) -> Baseline:
    """The training shape whose picture is nearest in squared pixel differences, for every held-out view."""
    out = np.zeros(len(held_out))
    for i in range(len(held_out)):
        nearest = bank.nearest(held_out.gather(np.array([i]), _every(held_out))[0])
        answer = np.broadcast_to(truth(held_out, np.array([i])), (held_out.views, held_out.resolution**3))
        out[i] = metrics.iou(truth(train, nearest), answer).mean()
    return Baseline(out)


def random_shape(train: ShapeData, held_out: ShapeData, seed: int) -> Baseline:
    """Training shapes drawn blindly, one for each view."""
    out = np.zeros(len(held_out))
    for i, record in enumerate(held_out.records):
        drawn = generator(seed, "random shape", record.shape_id).integers(0, len(train), held_out.views)
        answer = np.broadcast_to(truth(held_out, np.array([i])), (held_out.views, held_out.resolution**3))
        out[i] = metrics.iou(truth(train, drawn), answer).mean()
    return Baseline(out)


def nearest_training(grids: Bits, train: ShapeData, *, threads: int = 1) -> tuple[Objects, Floats]:
    """The training shape (N,) with the highest IoU with each grid (N, P), and that IoU: near 1 says memorised."""
    best, place = np.full(len(grids), -1.0), np.zeros(len(grids), np.int64)
    packed = np.packbits(grids, axis=1)
    for start in range(0, len(train), 4096):
        found = iou_matrix(packed, train.voxels_bits[start : start + 4096], threads=threads)
        nearest = found.argmax(1)
        value = found[np.arange(len(grids)), nearest]
        place = np.where(value > best, start + nearest, place)
        best = np.maximum(best, value)
    return place, best


def _every(data: ShapeData) -> Int64[Array, "1 V"]:
    """(1, V) all views of one shape."""
    return np.arange(data.views)[None]


def _small(pictures: UInt8[Array, "V S S 3"]) -> Float32[Array, "V F"]:
    """(V, F) pictures (V, S, S, 3) averaged down to PIXELS a side, in [-0.5, 0.5]."""
    size_px = pictures.shape[1]
    factor = max(1, size_px // PIXELS)
    side = size_px // factor
    cut = pictures[:, : side * factor, : side * factor].astype(np.float32)
    small = cut.reshape(len(cut), side, factor, side, factor, 3).mean((2, 4))
    return np.asarray((small / 255 - 0.5).reshape(len(cut), -1), np.float32)
