"""A run for the tests of report.html, written straight into its files: no network is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.conventions import pack_grid
from pipeline.formats.ledger import Row
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record
from pipeline.seeds import generator
from pipeline.settings.report import Report
from report.page import write_page
from tests.report.gallery_world import HOSTILE, Made, chairs, furniture, make_run

R, S, LATENT = 16, 24, 6
P = R**3
RNG = generator(9, "report world")
MOMENTS = (0, 400, 800)
CATEGORIES = ("chair", "stool")


def interval(name: str = "mean") -> dict[str, float]:
    """A figure with its interval that no other number on the page equals by chance."""
    low, value, high = sorted(RNG.uniform(0.1, 0.9, 3).round(6).tolist())
    return {name: value, "low": low, "high": high}


def make_data(root: Path, *, hostile: bool = False) -> Path:
    """A data set's files: shards, ledger, sheet, audit, voxels, benchmarks."""
    shapes = [Made(one.name, one.category, one.split, furniture(n, R * 2)) for n, one in enumerate(chairs(4))]
    if hostile:
        shapes[0].category = HOSTILE.replace("/", "|")
    rejected = [Row("demo/chair/torn", "chair", "train", "prepare", "rejected", "truncated", f"7 of 9 {HOSTILE}")]
    make_run(root, shapes, views=2, size_px=S, rejected=rejected)
    (root / "samples" / "demo").mkdir(parents=True)
    Image.fromarray(RNG.integers(0, 255, (40, 60, 3), np.uint8)).save(root / "samples" / "demo" / "sheet.png")
    axes = {"+x +y +z": 0.91, "-x +y +z": 0.83}
    write_json(
        root / "audits" / "demo.json",
        {
            "axes": axes,
            "mean_iou": 0.905,
            "flagged": {},
            "flagged_below": 0.55,
            "views": 8,
            "empty_views": 0,
            "black_views": 0,
            "cut_off_views": 0,
        },
    )
    facts = {
        "mode": "robust",
        "engine": "builtin",
        "watertight": True,
        "odd_lines": [0.0, 0.0, 0.0],
        "occupancy": 0.1,
        "thin_recall": 1.0,
        "parts": 1,
        "surface_parts": 2,
        "bounded_parts": 1,
        "duplicate_faces": 0,
    }
    with write_pack(root / "voxels" / "demo" / "000.zip", ".binvox") as pack:
        pack.add(Record("demo/chair/a", "chair", "a", "train", {"voxelize": facts}), b"")
    lines(root / "logs" / "voxelize" / "demo-000.jsonl", [{"event": "shape", "seconds": 0.0015}])
    for rule, row in (("render", "3.5\t120.5"), ("sheet", "0.2\tNA")):
        path = root / "benchmarks" / rule / "demo.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(f"s\tmax_rss\n{row}\n", encoding="utf-8")
    return root


def make_experiment(root: Path, name: str, *, encoder: bool = True, hostile: bool = False) -> dict[str, Any]:
    """A run's folder with everything that training and evaluation leave; returns its results."""
    run = root / "runs" / name
    results = made_results(encoder=encoder, hostile=hostile)
    write_json(run / "results.json", results)
    write_json(run / "config.json", {"settings": {"preset": "demo", "note": HOSTILE if hostile else ""}, "data": []})
    write_json(run / "train.json", {"versions": {"torch": "9.9.9"}})
    rollback = {"event": "rollback", "samples": 400, "skipped": [7], "why": "kl is not finite"}
    lines(run / "metrics.jsonl", [rollback])
    lines(run / "timing.jsonl", [{"samples": 400, "samples_per_s": 123.4}])
    lines(root / "logs" / "evaluate" / f"{name}.jsonl", [{"event": "measured", "part": "samples", "seconds": 12.4}])
    _write_shapes(run, encoder=encoder, hostile=hostile)
    return results


def made_results(*, encoder: bool, hostile: bool) -> dict[str, Any]:
    """What training/evaluate.py writes, with drawn numbers."""
    categories = [HOSTILE if hostile else CATEGORIES[0], CATEGORIES[1]]
    sentence = f"it has learned <b>{name_of(hostile)}</b>" if encoder else "no encoder, so nothing is reconstructed"
    samples = (
        "occupancy",
        "data_occupancy",
        "pairwise_iou",
        "data_pairwise_iou",
        "diversity",
        "data_diversity",
        "largest_component",
        "data_largest_component",
        "empty_rate",
        "memorised",
        "nearest_training",
    )
    out: dict[str, Any] = {
        "preset": "demo",
        "checkpoint": {"samples": 800},
        "measured_on": "test",
        "tuned_on": "val",
        "shapes": {"train": 40, "val": 5, "test": 6},
        "views": 2,
        "verdict": {"sentence": sentence, "passed": True if encoder else None},
        "samples": {"count": 8, **{key: interval() for key in samples}},
        "generation": {name: _generation() for name in ("network", "training_shapes", "mean_shape")},
        "classification": {
            "categories": categories,
            "shapes": {"train": 40, "tuning": 5, "test": 6},
            "measured_on": "test",
            "accuracy": {
                "majority": interval(),
                **{
                    name: {**interval(), "numbers": 3584, "C": 0.1}
                    for name in ("voxels", "random_weights", "discriminator")
                },
            },
        },
        "figures": _figures(encoder),
    }
    return out | (_reconstruction(categories) if encoder else {})


def name_of(hostile: bool) -> str:
    return HOSTILE if hostile else "shapes"


def _generation() -> dict[str, Any]:
    def scores() -> dict[str, Any]:
        return {"mmd": interval(), "cov": interval(), "one_nna": interval()}

    return {
        "iou": {"shapes": 6, **scores()},
        "chamfer": {"shapes": 6, "points": 64, **scores()},
        "jsd": {"shapes": 6, "points": 64, **interval("value")},
    }


def _reconstruction(categories: list[str]) -> dict[str, Any]:
    baselines = ("mean_shape", "nearest_pixels", "random_shape", "class_mean_shape")
    kinds = ("chamfer", "f_score", "f_score_voxel", "average_precision")
    scores = ("ap", "ap_aligned", "iou", "iou_aligned")

    def summary() -> dict[str, Any]:
        return {"class_mean": interval(), "photograph_mean": interval(), "classes": {c: interval() for c in categories}}

    ikea = {
        "photographs": 4,
        "objects": 3,
        "rejected": 1,
        "voxels": R,
        "aligned": True,
        "threshold": 0.5,
        "occupancy": interval(),
        "scores": {
            name: {"privileged": False, **{kind: summary() for kind in scores}}
            for name in ("network", "chance", "nearest_training")
        },
    }
    pix3d = {**ikea, "aligned": False, "pix3d": {kind: summary() for kind in ("iou_boxed", "cd", "emd")}}
    pix3d["pix3d"]["iou_threshold"] = 0.17
    return {
        "iou": interval(),
        "threshold": 0.43,
        "baselines": {name: {"iou": interval(), "privileged": name == "class_mean_shape"} for name in baselines},
        "margin": {name: interval() for name in baselines},
        "categories": {c: {"shapes": 3, "iou": interval(), **{b: interval() for b in baselines}} for c in categories},
        "median_iou": interval("value"),
        "overfit": {"train_iou": interval(), "gap": interval(), "train_shapes": 40},
        "r2n2": {"threshold": 0.4, "iou": interval(), "category_mean": interval()},
        "iou_by_views": {"1": interval(), "20": interval(), "5": interval()},
        "surface": {
            "shapes": 6,
            "tau": 0.01,
            "scores": {name: {kind: interval() for kind in kinds} for name in ("network", *baselines[:3])},
            "categories": {c: {"shapes": 3, **{kind: interval() for kind in kinds}} for c in categories},
        },
        "photographs": {"ikea": ikea, "pix3d": pix3d, "other": {"skipped": "the network reads no pictures"}},
    }


def _figures(encoder: bool) -> dict[str, Any]:
    numbers = {"sample_pairwise": 0.5, "data_pairwise": 0.1, "sample_occupancy": 0.1, "data_occupancy": 0.1}
    ious = {400: 0.2113, 800: 0.3274} if encoder else {400: None, 800: None}
    losses = [{"samples": n, "reconstruction": 9000.0 / n, "kl": 3.0 * n, "d_loss": -0.5} for n in (200, 400, 800)]
    return {
        "looks": [{"samples": samples, "iou": iou, **numbers} for samples, iou in ious.items()],
        "losses": losses,
        "alarms": [
            {"samples": 400, "alarm": "collapse", "raised": True},
            {"samples": 400, "alarm": "cube", "raised": True},
            {"samples": 800, "alarm": "cube", "raised": False},
        ],
    }


def _write_shapes(run: Path, *, encoder: bool, hostile: bool) -> None:
    """The .npz files, in which every shape is another one."""
    held_out = 9 if encoder else 0
    grids = np.stack([furniture(n, R * 2)[::2, ::2, ::2] for n in range(12)])
    bits = np.stack([pack_grid(grid) for grid in grids])
    levels = (grids.reshape(12, -1) * 200).astype(np.uint8)
    name = HOSTILE if hostile else "shape"
    ids = np.array([f"demo/chair/{name}{n}" for n in range(12)])

    def pictures(*count: int) -> npt.NDArray[np.uint8]:
        return RNG.integers(0, 255, (*count, S, S, 3), np.uint8)

    save(
        run / "predictions.npz",
        id=ids[:held_out],
        category=ids[:held_out],
        view=np.zeros(held_out),
        image=pictures(held_out),
        truth=bits[:held_out],
        levels=levels[:held_out],
        iou=np.linspace(0.1, 0.9, held_out),
        threshold=np.array(128, np.uint8),
    )
    save(
        run / "samples.npz",
        bits=bits[:5],
        levels=levels[:5],
        threshold=np.array(128),
        nearest_id=ids[:5],
        nearest_bits=bits[1:6],
        nearest_iou=np.linspace(0.2, 0.6, 5),
    )
    if encoder:
        save(run / "timeline" / "inputs.npz", pictures=pictures(3), truth=bits[:3], shape_ids=ids[:3])
    for place, samples in enumerate(MOMENTS):
        answers = {"reconstructions": bits[place : place + 3], "reconstruction_levels": levels[:3]} if encoder else {}
        save(
            run / "timeline" / f"{samples:09d}.npz",
            samples=bits[place : place + 2],
            sample_levels=levels[:2],
            threshold=np.array(128),
            **answers,
        )
    codes = 12 if encoder else 0
    category = np.array([name if hostile else CATEGORIES[n % 2] for n in range(codes)], np.str_)
    save(
        run / "latent.npz",
        id=ids[:codes],
        category=category,
        split=np.array(["test"] * codes, np.str_),
        code=RNG.normal(size=(codes, LATENT)),
        pca=RNG.normal(size=(codes, 2)),
        tsne=RNG.normal(size=(codes, 2)),
        thumbnail=RNG.integers(0, 255, (codes, 10, 10, 3), np.uint8),
    )
    pairs = 2 if encoder else 0
    save(
        run / "interpolations.npz",
        ids=ids[:4].reshape(2, 2)[:pairs],
        image=pictures(pairs, 2),
        bits=np.stack([bits[:5], bits[1:6]])[:pairs],
        iou_ends=np.full((pairs, 2), 0.625),
        sum_ids=ids[:3][None][:pairs],
        sum_image=pictures(min(pairs, 1), 3),
        sum_bits=bits[:4][None][:pairs],
    )
    if encoder:
        rows = {
            "picture": ids[:4],
            "category": ids[:4],
            "object": ids[:4],
            "image": pictures(4),
            "truth": bits[:4],
            "levels": levels[:4],
            "aligned_levels": levels[:4],
            "threshold": np.array(128),
            "ap": np.full(4, 0.375),
            "ap_aligned": np.full(4, 0.875),
        }
        save(run / "photographs.npz", sets=np.array(["ikea"]), **{f"ikea/{key}": rows[key] for key in rows})


def make_page(root: Path) -> Path:
    """Build the page."""
    write_page(root, root / "report.html", Report())
    return root / "report.html"


def two_experiments(root: Path) -> Path:
    """A run with two experiments, one of them without an encoder, and its page."""
    make_data(root)
    make_experiment(root, "full")
    make_experiment(root, "prior", encoder=False)
    make_page(root)
    return root


def save(path: Path, **arrays: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def lines(path: Path, values: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
