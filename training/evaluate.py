"""Measure a trained run on shapes it has never seen, beside baselines on the same shapes.

The protocol: the best checkpoint's averaged weights; the threshold is chosen on validation
shapes; every stored view of every test shape; mean over a shape's views, then over shapes;
confidence intervals resample shapes.  Nothing is chosen on the test shapes.  docs/metrics.md
defines every number.

    results.json         numbers, verdict, learning curve
    results.md           the same numbers as tables for people
    predictions.npz      one view of every test shape: id, category, view, image (S, S, 3) u8,
                         truth bits (P / 8,), levels (P,) u8, iou; sorted by IoU, worst first
    samples.npz          shapes from the prior: bits (P / 8,), levels (P,) u8, and of each the nearest
                         training shape: nearest_id, nearest_bits (P / 8,), nearest_iou
    latent.npz, interpolations.npz   see training/evaluation/latent.py
    photographs.npz      where photographs were given: see training/evaluation/photographs.py, `set` names the set
    (P = R^3 in C order x, y, z; a level is round(255 p); bits as conventions.pack_grid)

A run without an encoder gives the same files, without rows where pictures would be needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from pipeline.atomic import write_text
from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.npz import write_npz
from pipeline.progress import Log
from pipeline.settings.evaluation import Evaluation
from pipeline.state.files import write_state
from training.data.shapes import ShapeData
from training.evaluation import baselines, latent, tables
from training.evaluation.classify import classify, classify_shards
from training.evaluation.photographs import evaluate_photographs
from training.evaluation.reconstruction import Splits, empty_predictions, reconstruction
from training.inference.model import Model, load_model
from training.inference.predict import by_hash, chosen, mean_levels, sample, truth
from training.inference.terms import terms_of
from training.metrics import generation, intervals
from training.metrics import voxels as metrics
from training.metrics.distances import iou_matrix
from training.parallel import choose_device
from training.run import files as run_files

MOST_THREADS = 8  # as many as the rule `evaluate` asks for
REQUIRED_MARGIN = 0.12  # IoU over the mean shape that a trained reconstruction must reach


def evaluate(
    run: Path,
    shards: Sequence[Path],  # the indexes it was trained on
    output: Path,  # results.json; the other files go beside it
    settings: Evaluation = Evaluation(),  # noqa: B008 - frozen
    *,
    photographs: Sequence[Path] = (),  # files of `python -m pipeline photographs`
    classify_shards: Sequence[Path] = (),  # indexes to classify; empty: those it was trained on
    log: Log | None = None,
) -> dict[str, Any]:
    """Measure the run's best checkpoint; writes the files above beside `output` and returns the results."""
    config = run_files.read_config(run)
    device = choose_device("auto")
    model = load_model(run, device)
    experiment = model.settings
    torch.set_num_threads(min(MOST_THREADS, len(os.sched_getaffinity(0))))
    splits = open_splits(shards, experiment.categories, experiment.crop)
    _require_same_data(model, splits.train, run)
    timed = _Timed(log)

    results: dict[str, Any] = {
        "identity": model.header.identity,
        "preset": experiment.preset,
        "seed": experiment.seed,
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
        "views_per_prediction": experiment.views_per_shape,
        "evaluation": settings.model_dump(mode="json"),
    }

    if terms := terms_of(splits.train.records):
        results["licences"] = terms

    # From pictures of held-out shapes to shapes; the threshold comes from here.
    threshold = 128
    predictions = output.with_name("predictions.npz")
    if model.networks.E is not None:
        measured, threshold = timed("reconstruction", lambda: reconstruction(model, splits, settings, predictions))
        results |= measured
    else:
        empty_predictions(predictions, splits.held_out)

    # Shapes that are on both sides of the split, or nearly so: a memorised shape gives a high figure there.
    results["near_duplicates"] = near_duplicates(splits)

    # From the prior to shapes.
    results |= timed("samples", lambda: _samples(model, splits, settings, threshold, output, log))

    # What the discriminator has learned, and what the codes look like.
    if settings.classify:
        results["classification"] = timed("classification", lambda: _classification(model, splits, classify_shards))
    timed("latent", lambda: _latent(model, splits, settings, threshold, output))

    # Photographs of objects that are in no training set.
    if photographs:
        results["photographs"] = timed(
            "photographs", lambda: photograph_sets(model, splits.train, photographs, threshold, output, log)
        )
    results["verdict"] = verdict(results)
    results["figures"] = _figures(run)
    write_text(output.with_name("results.md"), tables.markdown(results, run.name))
    write_state(output, results)
    return results


class _Timed:
    """Runs one part and logs how long it took; the time goes to the log alone, never into the results."""

    def __init__(self, log: Log | None):
        self._log = log

    def __call__(self, name: str, part: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        out = part()
        if self._log is not None:
            self._log.write("measured", part=name, seconds=round(time.perf_counter() - start, 2))
        return out


def open_splits(shards: Sequence[Path], categories: Sequence[str] | None, crop: str) -> Splits:
    """The three splits, with honest substitutes for the ones that are empty."""
    train, val, test = (
        ShapeData.open(shards, split, categories=categories, crop=crop) for split in ("train", "val", "test")
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


def photograph_sets(
    model: Model, train: ShapeData | None, paths: Sequence[Path], threshold: int, output: Path, log: Log | None
) -> dict[str, Any]:
    """Every set by the name of its file; writes photographs.npz beside `output`, without rows where nothing is read."""
    out: dict[str, Any] = {}
    rows = []
    for path in paths:
        if not model.networks.reads_pictures:
            out[path.stem] = {"skipped": "the network reads no pictures"}
            continue
        out[path.stem], arrays = evaluate_photographs(model, path, train, threshold, log=log)
        rows.append((path.stem, arrays))
    # Sets of other voxels cannot share one array: each member carries the name of its set.
    members = {f"{name}/{key}": value for name, arrays in rows for key, value in arrays.items()}
    write_npz(output.with_name("photographs.npz"), sets=np.array([name for name, _ in rows], np.str_), **members)
    return out


def near_duplicates(splits: Splits) -> dict[str, Any]:
    """How many held-out shapes have a training shape that is almost the same."""
    everything = np.arange(len(splits.held_out))
    _, iou = baselines.nearest_training(
        truth(splits.held_out, everything), splits.train, threads=torch.get_num_threads()
    )
    return {"shapes": int((iou >= generation.MEMORISED).sum()), "of": len(everything), "iou": generation.MEMORISED}


def _samples(
    model: Model, splits: Splits, settings: Evaluation, threshold: int, output: Path, log: Log | None
) -> dict[str, Any]:
    """What the generator makes from the prior, as it is, and how it compares with held-out shapes."""
    seed, threads = model.settings.seed, torch.get_num_threads()
    levels = sample(model.networks, settings.samples, "evaluate")
    data = truth(splits.train, chosen(splits.train, 512, "occupancy"))
    if model.networks.E is None:  # no reconstruction has chosen one
        threshold = metrics.occupancy_threshold(levels, float(data.mean()))
    grids = levels >= threshold
    nearest, nearest_iou = baselines.nearest_training(grids, splits.train, threads=threads)
    write_npz(
        output.with_name("samples.npz"),
        bits=np.packbits(grids, axis=1),
        levels=levels,
        threshold=np.array(threshold, np.uint8),
        nearest_id=np.array([splits.train.records[i].shape_id for i in nearest], np.str_),
        nearest_bits=splits.train.voxels_bits[nearest],
        nearest_iou=nearest_iou.astype(np.float32),
    )
    pairwise, data_pairwise = (_pairwise(one, seed, threads) for one in (grids, data))
    shapes = {
        "occupancy": grids.mean(1),
        "data_occupancy": data.mean(1),
        "empty_rate": 1.0 - grids.any(1),
        "largest_component": metrics.largest_component(grids),
        "data_largest_component": metrics.largest_component(data),
        "nearest_training": nearest_iou,
        "memorised": 1.0 * (nearest_iou > generation.MEMORISED),
    }
    # In the order of a hash: where only some are compared (`chamfer_shapes`), they are not the first of the alphabet.
    held_out = truth(splits.held_out, by_hash(splits.held_out, "generation")[: settings.samples])
    return {
        "samples": {
            "count": settings.samples,
            "threshold": round(threshold / 255, 6),
            "threshold_by": "reconstruction" if model.networks.E is not None else "occupancy",
            **{name: intervals.bootstrap(values, seed).as_json() for name, values in shapes.items()},
            "pairwise_iou": pairwise.as_json(),
            "data_pairwise_iou": data_pairwise.as_json(),
            "diversity": pairwise.complement().as_json(),
            "data_diversity": data_pairwise.complement().as_json(),
        },
        "generation": _generation(grids, held_out, splits, settings, seed, threads, log),
    }


def _pairwise(grids: metrics.Bits, seed: int, threads: int) -> intervals.Interval:
    """IoU between two different shapes."""
    packed = np.packbits(grids, axis=1)
    return intervals.bootstrap_pairs(iou_matrix(packed, packed, threads=threads), seed)


def _generation(
    grids: metrics.Bits,
    held_out: Bool[Array, "M P"],
    splits: Splits,
    settings: Evaluation,
    seed: int,
    threads: int,
    log: Log | None,
) -> dict[str, Any]:
    """The samples, and beside them as many training shapes, which is what a perfect generator would make."""
    few = len(held_out) < 2 or len(grids) < 2
    if few:
        return {"skipped": f"{len(held_out)} held-out shapes; at least two are needed"}
    known = truth(splits.train, by_hash(splits.train, "generation")[: len(held_out)])
    mean = mean_levels(splits.train, np.arange(len(splits.train))) >= 128
    sets = {"network": grids, "training_shapes": known, "mean_shape": np.broadcast_to(mean, known.shape)}
    reference = generation.Reference(
        held_out, points=settings.points, chamfer_shapes=settings.chamfer_shapes, seed=seed, threads=threads, log=log
    )
    return {name: reference.measure(one, name.replace("_", " ")) for name, one in sets.items()}


def _classification(model: Model, splits: Splits, shards: Sequence[Path]) -> dict[str, Any]:
    """On the experiment's own shapes, or on those of other data sets (the paper's ModelNet)."""
    if shards:
        return classify_shards(model, shards)
    validation = splits.tuning if splits.tuned_on == "val" else None
    return {**classify(model, splits.train, validation, splits.held_out), "measured_on": splits.measured_on}


def _latent(model: Model, splits: Splits, settings: Evaluation, threshold: int, output: Path) -> None:
    reads = model.networks.E is not None
    named = {"train": splits.train, splits.tuned_on: splits.tuning, splits.measured_on: splits.held_out}
    write_npz(output.with_name("latent.npz"), **latent.latent_map(model, named, settings.latent_shapes if reads else 0))
    pairs = settings.interpolations if reads else 0
    write_npz(
        output.with_name("interpolations.npz"),
        **latent.interpolations(model, splits.held_out, pairs, settings.steps, threshold),
    )


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
    if category := results["baselines"].get("class_mean_shape"):
        numbers += (
            f"; the mean shape of the true category, which is told the category, has {category['iou']['mean']:.3f}"
        )
    if results["measured_on"] != "test":
        passed, note = None, "no test shapes, so this says nothing about new shapes"
    elif passed:
        note = f"it has learned to see shapes (at least {REQUIRED_MARGIN:.2f} above the mean shape)"
    else:
        note = f"it has NOT learned enough (less than {REQUIRED_MARGIN:.2f} above the mean shape)"
    return {"passed": passed, "margin": margin, "required": REQUIRED_MARGIN, "sentence": f"{numbers}; {note}"}


def _figures(run: Path) -> dict[str, Any]:
    """The learning curve and the alarms, for the report."""
    lines = run_files.read_metrics(run)
    return {
        name: [
            {key: value for key, value in line.items() if key != "event"} for line in lines if line["event"] == event
        ]
        for name, event in (("looks", "look"), ("losses", "losses"), ("alarms", "alarm"))
    }
