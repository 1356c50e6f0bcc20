"""What a network makes of pictures of held-out shapes, beside baselines on the same shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from pipeline.conventions import Array
from pipeline.formats.npz import write_npz
from pipeline.seeds import generator
from pipeline.settings.evaluation import Evaluation
from training.data.shapes import ShapeData
from training.evaluation import baselines
from training.inference.model import Model
from training.inference.predict import (
    Objects,
    chosen,
    first_views,
    mean_levels,
    neighbouring_views,
    pictures_of,
    predict,
    truth,
)
from training.metrics import intervals
from training.metrics import voxels as metrics
from training.metrics.alignment import average_precision
from training.metrics.surfaces import TAU, surface_scores
from training.metrics.voxels import Curves, Floats, Levels

TRAIN_SHAPES, TRAIN_VIEWS = 256, 2  # for the overfit gap
R2N2_THRESHOLD = 102  # 0.4, fixed in the evaluation of Choy et al. 2016 (arXiv 1604.00449)


@dataclass(frozen=True)
class Splits:
    """Where each number comes from; small data sets may lack validation or test shapes."""

    train: ShapeData
    tuning: ShapeData
    held_out: ShapeData
    tuned_on: str
    measured_on: str


@dataclass(frozen=True)
class Examples:
    """One view of each shape, chosen by hash, and what the network makes of it."""

    views: Objects
    levels: Levels


def view_groups(views: int, together: int) -> Int64[Array, "V k"]:
    """(V, k) every view with the k - 1 that follow it."""
    return (np.arange(views)[:, None] + np.arange(together)) % views


def reconstruction(model: Model, splits: Splits, settings: Evaluation, predictions: Path) -> tuple[dict[str, Any], int]:
    """Single-view (or k-view) scores with the baselines beside them; and the threshold.

    Writes one view of every held-out shape to `predictions`.
    """
    seed, held_out = model.settings.seed, splits.held_out
    tuning = chosen(splits.tuning, 512, "tuning")
    threshold = metrics.best_threshold(_curves(model, splits.tuning, tuning, 4)[0])
    everything = np.arange(len(held_out))
    curves, examples = _curves(model, held_out, everything, held_out.views)
    iou = curves[:, threshold]
    bank = baselines.PictureBank(splits.train)
    others = {
        "mean_shape": baselines.mean_shape(splits.train, splits.tuning, held_out),
        "nearest_pixels": baselines.nearest_pixels(bank, splits.train, held_out),
        "random_shape": baselines.random_shape(splits.train, held_out, seed),
        "class_mean_shape": baselines.class_mean_shape(splits.train, splits.tuning, held_out),
    }
    known = chosen(splits.train, TRAIN_SHAPES, "overfit gap")
    train_iou = _curves(model, splits.train, known, TRAIN_VIEWS)[0][:, threshold]
    _write_predictions(predictions, held_out, threshold, examples)
    mean_threshold = others["mean_shape"].threshold or 128
    return {
        "threshold": round(threshold / 255, 6),
        "iou": intervals.bootstrap(iou, seed).as_json(),
        "median_iou": intervals.bootstrap(iou, seed, np.median).as_json("value"),
        "baselines": {
            name: {
                "iou": intervals.bootstrap(one.iou, seed).as_json(),
                "privileged": name == "class_mean_shape",
                **({} if one.threshold is None else {"threshold": round(one.threshold / 255, 6)}),
            }
            for name, one in others.items()
        },
        "margin": {name: intervals.bootstrap(iou - one.iou, seed).as_json() for name, one in others.items()},
        "categories": {
            category: {
                "shapes": int(members.sum()),
                "iou": intervals.bootstrap(iou[members], seed).as_json(),
                **{name: intervals.bootstrap(one.iou[members], seed).as_json() for name, one in others.items()},
            }
            for label, category in enumerate(held_out.categories)
            if (members := held_out.labels == label).any()
        },
        "overfit": {
            "train_iou": intervals.bootstrap(train_iou, seed).as_json(),
            "train_shapes": len(known),
            "gap": intervals.bootstrap_difference(train_iou, iou, seed).as_json(),
        },
        "r2n2": r2n2_protocol(curves[:, R2N2_THRESHOLD], held_out, seed),
        "iou_by_views": _by_views(model, held_out, settings.views, threshold),
        "surface": _surface(splits, bank, settings, examples, (threshold, mean_threshold), seed),
    }, threshold


def r2n2_protocol(iou: Floats, held_out: ShapeData, seed: int) -> dict[str, Any]:
    """IoU at the fixed threshold 0.4 over all views: mean over shapes, and over categories (Choy et al. 2016)."""
    names = [record.category for record in held_out.records]
    return {
        "threshold": R2N2_THRESHOLD / 255,
        "iou": intervals.bootstrap(iou, seed).as_json(),
        "category_mean": intervals.class_mean(iou, [r.shape_id for r in held_out.records], names, seed).as_json(),
    }


def empty_predictions(path: Path, data: ShapeData) -> None:
    """What a run without an encoder has to show: no rows."""
    none = np.zeros(0, np.int64)
    _write_predictions(path, data, 128, Examples(none, np.zeros((0, data.resolution**3), np.uint8)), none)


def _by_views(model: Model, data: ShapeData, counts: tuple[int, ...], threshold: int) -> dict[str, Any]:
    """IoU with 1, 2 ... pictures of a shape shown together, starting at a view chosen by hash."""
    out = {}
    everything = np.arange(len(data))
    for count in counts:
        if count <= data.views:
            views = neighbouring_views(data, everything, count)
            levels = predict(model.networks, data, everything, views)
            iou = metrics.iou(levels >= threshold, truth(data, everything))
            out[str(count)] = intervals.bootstrap(iou, model.settings.seed).as_json()
    return out


def _surface(
    splits: Splits,
    bank: baselines.PictureBank,
    settings: Evaluation,
    examples: Examples,  # of every held-out shape
    thresholds: tuple[int, int],  # of the network and of the mean shape
    seed: int,
) -> dict[str, Any]:
    """Chamfer distance, F-scores and average precision of the examples, of the network and of baselines."""
    held_out, train = splits.held_out, splits.train
    objects = chosen(held_out, settings.surface_shapes, "surface")
    answers = truth(held_out, objects)
    mean = mean_levels(train, np.arange(len(train)))
    pictures = held_out.gather(objects, examples.views[objects])
    drawn = [
        int(generator(seed, "random surface", held_out.records[i].shape_id).integers(0, len(train))) for i in objects
    ]
    candidates = {
        "network": (examples.levels[objects], thresholds[0]),
        "mean_shape": (np.broadcast_to(mean, answers.shape), thresholds[1]),
        "nearest_pixels": (truth(train, bank.nearest(pictures)).astype(np.uint8) * np.uint8(255), 128),
        "random_shape": (truth(train, np.array(drawn, np.int64)).astype(np.uint8) * np.uint8(255), 128),
    }
    names = np.array([held_out.records[i].category for i in objects])
    rows = {}
    for name, (guess, cut) in candidates.items():
        scores = surface_scores(guess >= cut, answers)
        precisions = [average_precision(g.astype(np.float32), a) for g, a in zip(guess, answers, strict=True)]
        rows[name] = {**scores.__dict__, "average_precision": np.array(precisions)}
    return {
        "shapes": len(objects),
        "tau": TAU,
        "scores": {
            name: {score: intervals.bootstrap(values, seed).as_json() for score, values in found.items()}
            for name, found in rows.items()
        },
        "categories": {
            str(category): {
                "shapes": int((names == category).sum()),
                **{
                    score: intervals.bootstrap(values[names == category], seed).as_json()
                    for score, values in rows["network"].items()
                },
            }
            for category in np.unique(names)
        },
    }


def _curves(model: Model, data: ShapeData, objects: Objects, views: int) -> tuple[Curves, Examples]:
    """(N, 256) IoU at every threshold, the mean over the first `views` views; and an example of each shape."""
    total = np.zeros((len(objects), 256))
    picked = first_views(data, objects) % views
    examples = np.zeros((len(objects), data.resolution**3), np.uint8)
    answers = truth(data, objects)
    for number, group in enumerate(view_groups(data.views, model.networks.coding.views)[:views]):
        levels = predict(model.networks, data, objects, np.tile(group, (len(objects), 1)))
        total += metrics.iou_curve(levels, answers)
        examples[picked == number] = levels[picked == number]
    return total / views, Examples(picked, examples)


def _write_predictions(
    path: Path,
    data: ShapeData,
    threshold: int,
    examples: Examples,
    objects: Objects | None = None,
) -> None:
    objects = np.arange(len(data)) if objects is None else objects
    iou = metrics.iou(examples.levels >= threshold, truth(data, objects))
    order = np.argsort(iou, kind="stable")
    write_npz(
        path,
        id=np.array([data.records[i].shape_id for i in objects[order]], np.str_),
        category=np.array([data.records[i].category for i in objects[order]], np.str_),
        view=examples.views[order],
        image=pictures_of(data, objects[order], examples.views[order]),
        truth=data.voxels_bits[objects[order]],
        levels=examples.levels[order],
        iou=iou[order].astype(np.float32),
        threshold=np.array(threshold, np.uint8),
    )
