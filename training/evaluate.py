"""Measure a trained run on shapes it has never seen, beside baselines on the same shapes.

The protocol: the best checkpoint's averaged weights; the threshold is chosen on validation
shapes; every stored view of every test shape; mean over a shape's views, then over shapes;
confidence intervals resample shapes.  Nothing is chosen on the test shapes.

    results.json      numbers, verdict, learning curve
    predictions.npz   one view of every test shape: id, category, view, image (S, S, 3) u8,
                      truth bits (P / 8,), levels (P,) u8, iou; sorted by IoU, worst first
    samples.npz       shapes from the prior: bits (P / 8,), levels (P,) u8
    (P = R^3 in C order x, y, z; a level is round(255 p); bits as conventions.pack_grid)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.atomic import atomic_path, write_json
from pipeline.errors import UserError
from pipeline.seeds import stable_hash
from pipeline.settings.training import Experiment
from training import baselines, metrics, run_files
from training.data import ShapeData
from training.loop import choose_device
from training.measure import chosen, predict, sample, truth
from training.metrics import Floats
from training.model import Model, load_model

REQUIRED_MARGIN = 0.12  # IoU over the mean shape that a trained reconstruction must reach
TRAIN_SHAPES, TRAIN_VIEWS = 256, 2  # for the overfit gap
SAMPLES = 256  # shapes from the prior


@dataclass(frozen=True)
class Splits:
    """Where each number comes from; small data sets may lack validation or test shapes."""

    train: ShapeData
    tuning: ShapeData
    held_out: ShapeData
    tuned_on: str
    measured_on: str


def evaluate(run: Path, shards: Sequence[Path], output: Path) -> dict[str, Any]:
    """Measure the run's best checkpoint; writes the three files beside `output` and returns the results."""
    config = run_files.read_config(run)
    device = choose_device("auto")
    model = load_model(run, device)
    settings = model.settings
    torch.set_num_threads(settings.threads)
    splits = open_splits(shards, settings)
    _require_same_data(model, splits.train, run)

    results: dict[str, Any] = {
        "identity": model.header.identity,
        "preset": settings.preset,
        "checkpoint": {"samples": model.header.samples, "file": model.path.name},
        "data": config.get("data", []),
        "measured_on": splits.measured_on,
        "tuned_on": splits.tuned_on,
        "shapes": {
            "train": len(splits.train),
            splits.tuned_on: len(splits.tuning),
            splits.measured_on: len(splits.held_out),
        },
        "views": splits.held_out.views,
        "views_per_prediction": settings.views_per_shape,
    }
    threshold = 128
    if model.networks.E is not None:
        measured, threshold = _reconstruction(model, splits, output)
        results |= measured
    results["samples"] = _samples(model, splits, threshold, output)
    results["verdict"] = verdict(results)
    results["figures"] = _figures(run)
    write_json(output, results)
    return results


def open_splits(shards: Sequence[Path], settings: Experiment) -> Splits:
    """The three splits, with honest substitutes for the ones that are empty."""
    train, val, test = (
        ShapeData.open(shards, split, categories=settings.categories) for split in ("train", "val", "test")
    )
    tuning, tuned_on = (val, "val") if len(val) else (train, "train")
    held_out, measured_on = (test, "test") if len(test) else (tuning, tuned_on)
    return Splits(train, tuning, held_out, tuned_on, measured_on)


def _require_same_data(model: Model, train: ShapeData, run: Path) -> None:
    found, wanted = (train.size_px, train.resolution), (model.header.size_px, model.header.resolution)
    if found != wanted:
        raise UserError(
            "these shards do not fit the run",
            where=str(run),
            got=f"{found[0]} px, {found[1]}^3",
            wanted=f"{wanted[0]} px, {wanted[1]}^3",
            do="give the indexes it was trained on",
        )


def view_groups(views: int, together: int) -> npt.NDArray[np.int64]:
    """(V, k) every view with the k - 1 that follow it."""
    return (np.arange(views)[:, None] + np.arange(together)) % views


def _reconstruction(model: Model, splits: Splits, output: Path) -> tuple[dict[str, Any], int]:
    """Single-view (or k-view) IoU with everything it must be seen beside; and the threshold."""
    seed, held_out = model.settings.seed, splits.held_out
    tuning = chosen(splits.tuning, 512, "tuning")
    threshold = metrics.best_threshold(_curves(model, splits.tuning, tuning, 4)[0])
    curves, shown = _curves(model, held_out, np.arange(len(held_out)), held_out.views)
    iou = curves[:, threshold]
    others = {
        "mean_shape": baselines.mean_shape(splits.train, splits.tuning, held_out),
        "nearest_pixels": baselines.nearest_pixels(splits.train, held_out),
        "random_shape": baselines.random_shape(splits.train, held_out, seed),
        "class_mean_shape": baselines.class_mean_shape(splits.train, splits.tuning, held_out),
    }
    known = chosen(splits.train, TRAIN_SHAPES, "overfit gap")
    train_iou = _curves(model, splits.train, known, TRAIN_VIEWS)[0][:, threshold]
    _write_predictions(output.with_name("predictions.npz"), held_out, threshold, *shown)
    return {
        "threshold": round(threshold / 255, 6),
        "iou": metrics.bootstrap(iou, seed).as_json(),
        "median_iou": round(float(np.median(iou)), 6),
        "baselines": {
            name: {
                "iou": metrics.bootstrap(one.iou, seed).as_json(),
                "privileged": name == "class_mean_shape",
                **({} if one.threshold is None else {"threshold": round(one.threshold / 255, 6)}),
            }
            for name, one in others.items()
        },
        "margin": {name: metrics.bootstrap(iou - one.iou, seed).as_json() for name, one in others.items()},
        "categories": {
            category: {
                "shapes": int(members.sum()),
                "iou": round(float(iou[members].mean()), 6),
                **{name: round(float(one.iou[members].mean()), 6) for name, one in others.items()},
            }
            for label, category in enumerate(held_out.categories)
            if (members := held_out.labels == label).any()
        },
        "overfit": {
            "train_iou": round(float(train_iou.mean()), 6),
            "train_shapes": len(known),
            "gap": round(float(train_iou.mean() - iou.mean()), 6),
        },
    }, threshold


def _curves(
    model: Model, data: ShapeData, objects: npt.NDArray[np.int64], views: int
) -> tuple[Floats, tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """(N, 256) IoU at every threshold, the mean over the first `views` views; and one shown view of each shape.

    The shown views (N,), chosen by hash, come with their levels (N, P).
    """
    total = np.zeros((len(objects), 256))
    shown = np.array([stable_hash("shown", data.records[i].shape_id) % views for i in objects], np.int64)
    kept = np.zeros((len(objects), data.resolution**3), np.uint8)
    answers = truth(data, objects)
    for number, group in enumerate(view_groups(data.views, model.settings.views_per_shape)[:views]):
        levels = predict(model.networks, model.settings, data, objects, np.tile(group, (len(objects), 1)))
        total += metrics.iou_curve(levels, answers)
        kept[shown == number] = levels[shown == number]
    return total / views, (shown, kept)


def _write_predictions(
    path: Path, data: ShapeData, threshold: int, shown: npt.NDArray[np.int64], levels: npt.NDArray[np.uint8]
) -> None:
    iou = metrics.iou(levels >= threshold, truth(data, np.arange(len(data))))
    order = np.argsort(iou, kind="stable")
    _write_npz(
        path,
        id=np.array([data.records[i].shape_id for i in order]),
        category=np.array([data.records[i].category for i in order]),
        view=shown[order],
        image=data.gather(order, shown[order]),
        truth=data.voxels_bits[order],
        levels=levels[order],
        iou=iou[order].astype(np.float32),
        threshold=np.array(threshold, np.uint8),
    )


def _samples(model: Model, splits: Splits, threshold: int, output: Path) -> dict[str, Any]:
    """What the generator makes from the prior, as it is."""
    levels = sample(model.networks, model.settings, SAMPLES, "evaluate")
    grids = levels >= threshold
    data = truth(splits.train, chosen(splits.train, 512, "occupancy"))
    _write_npz(
        output.with_name("samples.npz"),
        bits=np.packbits(grids, axis=1),
        levels=levels,
        threshold=np.array(threshold, np.uint8),
    )
    numbers = {
        "occupancy": float(grids.mean()),
        "data_occupancy": float(data.mean()),
        "empty_rate": float((~grids.any(1)).mean()),
        "pairwise_iou": metrics.pairwise_iou(grids),
        "data_pairwise_iou": metrics.pairwise_iou(data),
        "largest_component": metrics.largest_component(grids),
        "data_largest_component": metrics.largest_component(data),
        "nearest_training_iou": baselines.nearest_training_iou(grids, splits.train),
    }
    return {"count": SAMPLES, **{name: round(value, 6) for name, value in numbers.items()}}


def verdict(results: dict[str, Any]) -> dict[str, Any]:
    """Whether the network has learned to see shapes, in one honest sentence."""
    if "iou" not in results:
        return {"passed": None, "sentence": "no encoder, so nothing is reconstructed; look at the samples"}
    margin, iou = results["margin"]["mean_shape"], results["iou"]["mean"]
    base = results["baselines"]["mean_shape"]["iou"]["mean"]
    where = f"{results['shapes'][results['measured_on']]} {results['measured_on']} shapes"
    passed = margin["mean"] >= REQUIRED_MARGIN
    numbers = (
        f"IoU {iou:.3f} against {base:.3f} for the mean shape on {where}: "
        f"{margin['mean']:+.3f} ({margin['low']:+.3f} to {margin['high']:+.3f})"
    )
    if results["measured_on"] != "test":
        passed, note = None, "no test shapes, so this says nothing about new shapes"
    elif passed:
        note = f"it has learned to see shapes (at least {REQUIRED_MARGIN:.2f} above the mean shape)"
    else:
        note = f"it has NOT learned enough (less than {REQUIRED_MARGIN:.2f} above the mean shape)"
    return {"passed": passed, "margin": margin["mean"], "required": REQUIRED_MARGIN, "sentence": f"{numbers}; {note}"}


def _figures(run: Path) -> dict[str, Any]:
    """The learning curve and the alarms, for the report."""
    lines = run_files.read_metrics(run)
    return {
        name: [
            {key: value for key, value in line.items() if key != "event"} for line in lines if line["event"] == event
        ]
        for name, event in (("looks", "look"), ("losses", "losses"), ("alarms", "alarm"))
    }


def _write_npz(path: Path, **arrays: npt.NDArray[Any]) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def table(results: dict[str, Any]) -> str:
    """The results for a person at the terminal."""
    if "iou" not in results:
        return str(results["verdict"]["sentence"])
    lines = [f"{'held-out IoU':<18}{'mean':>7}   95 % interval"]
    rows = {"this network": results["iou"], **{name: one["iou"] for name, one in results["baselines"].items()}}
    lines += [
        f"{name.replace('_', ' '):<18}{one['mean']:>7.3f}   {one['low']:.3f} to {one['high']:.3f}"
        for name, one in rows.items()
    ]
    lines += [
        f"  {name:<16}{one['iou']:>7.3f}   {one['shapes']} shapes, mean shape {one['mean_shape']:.3f}"
        for name, one in results["categories"].items()
    ]
    lines.append(
        f"{'on training shapes':<18}{results['overfit']['train_iou']:>7.3f}   gap {results['overfit']['gap']:.3f}"
    )
    samples = results["samples"]
    lines.append(
        f"samples from the prior: occupancy {samples['occupancy']:.3f} (data {samples['data_occupancy']:.3f}),"
        f" empty {samples['empty_rate']:.0%}, pairwise IoU {samples['pairwise_iou']:.2f}"
    )
    return "\n".join(lines)
