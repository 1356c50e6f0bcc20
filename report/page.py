"""The story of one run on one page: what was built, what was lost, what was learned."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from pipeline.atomic import write_text
from pipeline.conventions import unpack_grid
from pipeline.settings.stages import Report
from report import figures, gather
from report.gather import DatasetFacts, ExperimentFacts
from report.voxel_view import BLUE, GREEN, GREY

SHOWN = 6  # reconstructions in each group
SAMPLES = 24  # shapes from the prior

_BASELINES = {
    "mean_shape": ("mean training shape", "the same answer for every picture, at its best threshold"),
    "nearest_pixels": ("nearest neighbour in pixels", "the training shape whose view is closest to the picture"),
    "random_shape": ("a random training shape", "chance"),
    "class_mean_shape": ("mean shape of the true class", "is told the category, which the network is not"),
}
_LOSS_PLOTS = (
    ("reconstruction and KL, sums a sample", ("reconstruction", "kl"), True),
    ("game of generator and discriminator", ("d_loss", "g_loss"), False),
    ("discriminator: accuracy, skipped steps", ("d_accuracy", "d_skipped"), False),
)
_PACKAGES = ("torch", "numpy", "numba", "h5py", "trimesh", "snakemake")


def write_page(output: Path, page: Path, settings: Report) -> None:
    """Read what the stages left below `output` and publish one self-contained page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template("template.html").render(
        title=settings.title,
        datasets=[_dataset(facts) for facts in gather.datasets(output)],
        experiments=[_experiment(facts) for facts in gather.experiments(output)],
        timings=gather.timings(output),
        versions=_versions(),
    )
    write_text(page, text)


# ---- data ----------------------------------------------------------------------------------


def _dataset(facts: DatasetFacts) -> dict[str, Any]:
    index = facts.index
    counts = index["counts"]
    return {
        "name": facts.name,
        "summary": f"{sum(counts.values())} shapes of {len(index['categories'])} categories "
        f"({', '.join(index['categories'])}): {counts['train']} to train on, {counts['val']} to choose by, "
        f"{counts['test']} to measure on. {index['views']} views of {index['size_px']} px and "
        f"{index['resolution']}³ voxels a shape.",
        "funnel": facts.funnel,
        "reasons": facts.reasons,
        "repairs": _repairs(facts.ledger),
        "voxels": _voxels(facts.voxels, facts.voxel_seconds),
        "audit": _audit(facts.audit),
        "sheet": figures.contact_sheet(facts.sheet) if facts.sheet.exists() else None,
    }


def _voxels(records: list[dict[str, Any]], seconds: list[float]) -> str:
    """The voxelizer's quality records in a few sentences; published voxels have none."""
    made = [record for record in records if "thin_recall" in record]
    if not made:
        return ""
    tight = sum(record["watertight"] for record in made) / len(made)
    odd = np.mean([record["odd_lines"] for record in made], axis=0)
    whole = sum(record["parts"] <= record["surface_parts"] for record in made)
    worst = min(made, key=lambda record: (record["thin_recall"], record["shape_id"]))
    sparse, dense = (f(made, key=lambda record: record["occupancy"]) for f in (min, max))
    median = f"; {1000 * np.median(seconds):.1f} ms a shape (median, reading included)" if seconds else ""
    return (
        f"Mode {made[0]['mode']}, engine {made[0]['engine']}{median}. {tight:.0%} of the meshes are watertight (lines "
        f"with an odd number of crossings along x, y, z: {odd[0]:.1%}, {odd[1]:.1%}, {odd[2]:.1%}); "
        f"{sum(record['duplicate_faces'] > 0 for record in made)} have doubled faces. Surface with an occupied voxel "
        f"within one voxel: mean {np.mean([r['thin_recall'] for r in made]):.3f}, least {worst['thin_recall']:.3f} "
        f"({worst['shape_id']}). {whole} of {len(made)} have no more parts than their surface. Occupancy from "
        f"{sparse['occupancy']:.3f} ({sparse['shape_id']}) to {dense['occupancy']:.3f} ({dense['shape_id']})."
    )


def _audit(audit: dict[str, Any]) -> str:
    """What the check of voxels against views found, in a sentence or two."""
    if not audit:
        return ""
    others = {name: iou for name, iou in audit["axes"].items() if name != "+x +y +z"}
    second = max(others, key=lambda name: others[name])
    flagged = ", ".join(sorted(audit["flagged"])[:5]) or "none"
    return (
        f"Voxels and views agree: silhouettes of the voxels from the stored cameras overlap the views with IoU "
        f"{audit['mean_iou']:.3f}; the next best of the 47 other axis orders ({second}) reaches {others[second]:.3f}. "
        f"Shapes below {audit['flagged_below']}: {flagged}. Of {audit['views']} views {audit['empty_views']} are "
        f"empty, {audit['black_views']} black, {audit['cut_off_views']} cut off."
    )


def _repairs(ledger: list[dict[str, str]]) -> str:
    """How many shapes each repair touched, as one sentence."""
    touched = Counter(part.split("=")[0] for row in ledger for part in row.get("repairs", "").split())
    return ", ".join(f"{name.replace('_', ' ')} in {count} shapes" for name, count in touched.most_common())


# ---- experiments ---------------------------------------------------------------------------


def _experiment(facts: ExperimentFacts) -> dict[str, Any]:
    results = facts.results
    reconstructs = "iou" in results
    return {
        "name": facts.name,
        "verdict": {
            "text": _sentence(results["verdict"]["sentence"]),
            "good": results["verdict"]["passed"] is not False,
        },
        "alarms": _alarms(results["figures"]["alarms"]),
        "table": _table(results) if reconstructs else [],
        "protocol": _protocol(results) if reconstructs else "",
        "category_columns": ["this network", *(label for label, _ in _BASELINES.values())],
        "categories": _categories(results) if reconstructs else [],
        "reconstructions": _reconstructions(facts.folder / "predictions.npz") if reconstructs else [],
        "samples": _samples(facts.folder / "samples.npz"),
        "samples_note": _samples_note(results["samples"]),
        "plots": _plots(results),
        "settings": json.dumps(gather.read_json(facts.folder / "config.json")["settings"], indent=1),
    }


def _table(results: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [_row("this network", results["iou"], "one picture in, one shape out", ours=True)]
    rows += [_row(label, results["baselines"][key]["iou"], note) for key, (label, note) in _BASELINES.items()]
    overfit = results["overfit"]
    note = f"a gap of {overfit['gap']:.3f} to shapes it has not seen"
    return [*rows, {"name": "this network on training shapes", "iou": f"{overfit['train_iou']:.3f}", "interval": "",
                    "note": note, "ours": False}]  # fmt: skip


def _row(name: str, iou: dict[str, float], note: str, ours: bool = False) -> dict[str, Any]:
    interval = f"{iou['low']:.3f} – {iou['high']:.3f}"
    return {"name": name, "iou": f"{iou['mean']:.3f}", "interval": interval, "note": note, "ours": ours}


def _protocol(results: dict[str, Any]) -> str:
    return (
        f"Measured on {results['shapes'][results['measured_on']]} {results['measured_on']} shapes, "
        f"{results['views']} views each: the mean over a shape's views, then over shapes; intervals resample shapes. "
        f"Checkpoint and threshold ({results['threshold']:.2f}) were chosen on {results['tuned_on']} shapes."
    )


def _categories(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shapes": row["shapes"],
         "cells": [f"{row['iou']:.3f}", *(f"{row[key]:.3f}" for key in _BASELINES)]}
        for name, row in results["categories"].items()
    ]  # fmt: skip


def _reconstructions(path: Path) -> list[dict[str, Any]]:
    """The best, the median and the worst held-out shapes; predictions are sorted, worst first."""
    with np.load(path, allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    count = len(table["iou"])
    middle = max(0, (count - SHOWN) // 2)
    groups = [
        ("The median: what to expect", range(middle, min(count, middle + SHOWN))),
        ("The best", range(count - 1, max(-1, count - 1 - SHOWN), -1)),
        ("The worst", range(min(count, SHOWN))),
    ]
    return [{"title": title, "shapes": [_triple(table, row) for row in rows]} for title, rows in groups]


def _triple(table: dict[str, npt.NDArray[Any]], row: int) -> dict[str, str]:
    resolution = round(table["levels"].shape[1] ** (1 / 3))
    predicted = (table["levels"][row] >= table["threshold"]).reshape((resolution,) * 3)
    return {
        "id": _short(str(table["id"][row])),
        "iou": f"{table['iou'][row]:.2f}",
        "picture": figures.photograph(table["image"][row]),
        "truth": figures.voxels(unpack_grid(table["truth"][row], resolution), colour=GREY),
        "prediction": figures.voxels(predicted, colour=BLUE),
    }


def _short(shape_id: str) -> str:
    """An id that fits under a picture: ShapeNet's names are 32 hexadecimal digits."""
    folder, _, name = shape_id.rpartition("/")
    return shape_id if len(name) <= 16 else f"{folder}/{name[:8]}…"


def _samples(path: Path) -> list[dict[str, str]]:
    with np.load(path, allow_pickle=False) as file:
        bits = file["bits"][:SAMPLES]
    resolution = round((bits.shape[1] * 8) ** (1 / 3))
    grids = [unpack_grid(row, resolution) for row in bits]
    return [{"picture": figures.voxels(g, 110, GREEN), "note": "empty" if not g.any() else f"{int(g.sum())} voxels"}
            for g in grids]  # fmt: skip


def _samples_note(samples: dict[str, Any]) -> str:
    return (
        f"Of {samples['count']} samples {samples['empty_rate']:.1%} are empty. Mean occupancy "
        f"{samples['occupancy']:.3f} (data {samples['data_occupancy']:.3f}); IoU between two samples "
        f"{samples['pairwise_iou']:.2f} (data {samples['data_pairwise_iou']:.2f}; 1 would mean that all are the same); "
        f"largest part {samples['largest_component']:.2f} of a sample (data {samples['data_largest_component']:.2f}); "
        f"IoU with the nearest training shape {samples['nearest_training_iou']:.2f} (1 would be a copy). "
        "A good reconstruction does not make good samples; both are shown."
    )


def _alarms(lines: list[dict[str, Any]]) -> list[str]:
    return [f"{line['alarm']} {'raised' if line['raised'] else 'cleared'} after {line['samples']:,} samples"
            for line in lines]  # fmt: skip


def _plots(results: dict[str, Any]) -> list[dict[str, str]]:
    looks, losses = results["figures"]["looks"], results["figures"]["losses"]
    plots = []
    seen = [line for line in looks if line.get("iou") is not None]
    if seen:
        marks = [("mean shape (test)", results["baselines"]["mean_shape"]["iou"]["mean"])]
        curve = ("validation IoU", [line["samples"] for line in seen], [line["iou"] for line in seen])
        plots.append(
            {"picture": figures.curves([curve], "IoU", marks=marks), "alt": "Validation IoU over samples seen"}
        )
    for title, wanted, log in _LOSS_PLOTS:
        lines = [
            (
                name,
                [line["samples"] for line in losses if name in line],
                [line[name] for line in losses if name in line],
            )
            for name in wanted
            if any(name in line for line in losses)
        ]
        if lines:
            plots.append({"picture": figures.curves(lines, title, log=log), "alt": f"{title} over samples seen"})
    return plots


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _versions() -> str:
    """Versions that matter, without importing anything heavy."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return f"Python {platform.python_version()}, {', '.join(found)}, {platform.machine()}."
