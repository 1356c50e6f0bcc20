"""An experiment's section: verdict, curves, what fixed inputs became, reconstructions, samples, codes, numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.pictures.voxel_view import GREEN, GREY
from report import charts, figures, gather, latent, tables, timeline
from report.charts import Alarm, Curve
from report.gather import ExperimentFacts
from report.glance import discriminator
from report.triples import solid, triple

SHOWN = 6  # reconstructions in each group
SAMPLES = 18  # shapes from the prior
PHOTOGRAPHS = 3  # photographs in each group

_LOSS_PLOTS = (
    ("reconstruction and KL, sums over a sample", ("reconstruction", "kl"), True),
    ("losses of generator and discriminator", ("d_loss", "g_loss"), False),
    ("discriminator: accuracy, skipped steps", ("d_accuracy", "d_skipped"), False),
)
_LABELS = {
    "iou": "validation IoU",
    "kl": "KL",
    "d_loss": "discriminator",
    "g_loss": "generator",
    "d_accuracy": "accuracy",
    "d_skipped": "skipped steps",
    "sample_pairwise": "IoU between two samples",
    "data_pairwise": "between two shapes of the data",
    "sample_occupancy": "share of the box, samples",
    "data_occupancy": "data",
}


def section(facts: ExperimentFacts) -> dict[str, Any]:
    """What the template shows of one experiment."""
    results, folder = facts.results, facts.folder
    alarms = charts.spans(results["figures"]["alarms"])
    return {
        "name": facts.name,
        "page": facts.page,
        "verdict": verdict(results),
        "discriminator": discriminator(results),
        "alarms": [f"Alarm: {charts.in_words(alarm)}" for alarm in alarms] + _rollbacks(facts.metrics),
        "plots": _plots(results, alarms),
        "looks": _looks(results["figures"]["looks"]),
        "timeline": timeline.timeline(folder, results["figures"]["looks"]),
        "reconstructions": _reconstructions(folder / "predictions.npz", results),
        "samples": _samples(folder / "samples.npz"),
        "map": latent.latent_map(folder / "latent.npz"),
        "between": latent.interpolations(folder / "interpolations.npz"),
        "photographs": _photographs(folder / "photographs.npz", results),
        "tables": tables.tables(results),
        "cost": _cost(facts),
        "settings": _settings(facts),
    }


def verdict(results: dict[str, Any]) -> dict[str, str]:
    """The sentence of the evaluation, and whether it is a good one."""
    sentence, passed = results["verdict"]["sentence"], results["verdict"]["passed"]
    kind = {True: "yes", False: "no"}.get(passed, "open")  # open: nothing was asked, or nothing new was shown
    return {"text": sentence[:1].upper() + sentence[1:], "kind": kind}


# ---- the course of the training ------------------------------------------------------------


def _rollbacks(metrics: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"Went back to {line['samples']:,} samples: {line['why']}"
        for line in metrics
        if line.get("event") == "rollback"
    ]


def _plots(results: dict[str, Any], alarms: Sequence[Alarm]) -> list[dict[str, Any]]:
    """Learning curves; all of them mark the alarms, the first one names them."""
    looks, losses = results["figures"]["looks"], results["figures"]["losses"]
    last = max((line["samples"] for line in (*looks, *losses)), default=0)
    plots: list[dict[str, Any]] = []

    def add(title: str, lines: Sequence[dict[str, Any]], wanted: Sequence[str], **how: Any) -> None:
        curves = [_curve(name, lines) for name in wanted]
        if curves := [curve for curve in curves if curve.x]:
            plots.append(charts.chart(title, curves, last, alarms=alarms, named=not plots, **how))

    level = None
    if "baselines" in results:
        level = (f"mean shape, {results['measured_on']}", results["baselines"]["mean_shape"]["iou"]["mean"])
    add("validation IoU", looks, ("iou",), level=level)
    for title, wanted, log in _LOSS_PLOTS:
        add(title, losses, wanted, log=log)
    add("samples: are they all the same?", looks, ("sample_pairwise", "data_pairwise"))
    add("samples: how full are they?", looks, ("sample_occupancy", "data_occupancy"))
    return plots


def _curve(name: str, lines: Sequence[dict[str, Any]]) -> Curve:
    present = [line for line in lines if line.get(name) is not None]
    return Curve(_LABELS.get(name, name), [line["samples"] for line in present], [line[name] for line in present])


def _looks(looks: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The numbers behind the first curve."""
    return [
        {"samples": f"{line['samples']:,}", "iou": f"{line['iou']:.3f}"}
        for line in looks
        if line.get("iou") is not None
    ]


# ---- shapes --------------------------------------------------------------------------------


def groups(count: int, shown: int) -> list[tuple[str, range]]:
    """Rows of the median, the best and the worst of `count` that are sorted, worst first; all where they are few."""
    if count <= shown:
        return [("all of them, best first", range(count - 1, -1, -1))]
    middle = max(0, (count - shown) // 2)
    return [
        ("the median, what to expect", range(middle, min(count, middle + shown))),
        ("the best", range(count - 1, max(-1, count - 1 - shown), -1)),
        ("the worst", range(min(count, shown))),
    ]


def _reconstructions(path: Path, results: dict[str, Any]) -> list[dict[str, Any]]:
    """The best, the median and the worst of the shapes that were measured."""
    table = gather.arrays(path) if path.exists() else {}
    if not len(table.get("iou", ())):
        return []
    return [
        {
            "title": f"Reconstructions of {tables.SPLITS[results['measured_on']]} shapes: {title}",
            "shapes": [
                {
                    **triple(table, row, "image", "levels"),
                    "caption": f"{gather.short(str(table['id'][row]))} · IoU with the truth {table['iou'][row]:.2f}",
                }
                for row in rows
            ],
        }
        for title, rows in groups(len(table["iou"]), SHOWN)
    ]


def _samples(path: Path) -> list[dict[str, Any]]:
    """The first shapes from the prior, each with the training shape nearest to it."""
    table = gather.arrays(path) if path.exists() else {}
    out = []
    for row, bits in enumerate(table.get("bits", ())[:SAMPLES]):
        grid = figures.grid_of(bits)
        nearest = figures.voxels(figures.grid_of(table["nearest_bits"][row]), GREY) if "nearest_bits" in table else None
        out.append(
            {
                "picture": figures.voxels(grid, GREEN),
                "note": f"{int(grid.sum()):,} voxels" if grid.any() else "empty",
                "nearest": nearest,
                "id": gather.short(str(table["nearest_id"][row])) if nearest else None,
                "iou": f"{table['nearest_iou'][row]:.2f}" if nearest else None,
                "solid": solid(
                    table["nearest_bits"][row] if nearest else None, table["levels"][row], int(table["threshold"])
                )
                if "levels" in table  # an older evaluation kept the bits alone
                else None,
            }
        )
    return out


def _photographs(path: Path, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every set of photographs some of the median, the best and the worst, aligned where the set's protocol is."""
    members = gather.arrays(path) if path.exists() else {}
    out = []
    for name in members.get("sets", ()):
        if name not in results.get("photographs", {}):  # the file is an older evaluation's
            continue
        table = {key.removeprefix(f"{name}/"): value for key, value in members.items() if key.startswith(f"{name}/")}
        aligned = results["photographs"][name]["aligned"]
        for title, rows in groups(len(table["picture"]), PHOTOGRAPHS):
            shapes = [
                {
                    **triple(table, row, "image", "aligned_levels"),
                    "caption": f"{table['category'][row]} · AP {table['ap'][row]:.2f}"
                    + (f", aligned {table['ap_aligned'][row]:.2f}" if aligned else ""),
                }
                for row in rows
            ]
            out.append({"title": f"Photographs of {name}: {title}", "shapes": shapes})
    return out


# ---- settings and cost ---------------------------------------------------------------------


def _settings(facts: ExperimentFacts) -> list[dict[str, str]]:
    """What was asked for, as the run wrote it down."""
    config = facts.folder / "config.json"
    found = gather.read_json(config) if config.exists() else {}
    parts = [
        ("Experiment", found.get("settings")),
        ("Data it was trained on", found.get("data")),
        ("Evaluation", facts.results.get("evaluation")),
    ]
    return [
        {"title": title, "text": json.dumps(value, indent=1, ensure_ascii=False)} for title, value in parts if value
    ]


def _cost(facts: ExperimentFacts) -> str:
    """Versions and speed of the training and the time of each part of the evaluation, as sentences."""
    stamp = facts.folder / "train.json"
    versions = gather.read_json(stamp).get("versions", {}) if stamp.exists() else {}
    words = [f"Trained with {', '.join(f'{name} {one}' for name, one in versions.items())}."] if versions else []
    speeds = sorted(line["samples_per_s"] for line in facts.timing if "samples_per_s" in line)
    words += [f"{speeds[len(speeds) // 2]:,.0f} samples a second (median)."] if speeds else []
    parts = {line["part"]: line["seconds"] for line in facts.measured}  # of several evaluations the last
    if parts:
        words.append("Evaluation: " + ", ".join(f"{part} {seconds:.0f} s" for part, seconds in parts.items()) + ".")
    return " ".join(words)
