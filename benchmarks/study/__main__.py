"""``python -m benchmarks.study``: the tables and pictures of docs/results.md from the runs of presets/real-chairs.yaml.

    snakemake --cores 2 evaluate_all report --configfile presets/real-chairs.yaml
    python -m benchmarks.study --output-dir results/real-chairs

Runs that were not evaluated are left out; seeds of one experiment are one line.  The pictures show
the experiments named by --show.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.study.pictures import write_study
from benchmarks.workflow import fill
from pipeline.errors import UserError, run_command
from pipeline.formats.results import figure_at
from training.evaluation.compare import Row, chosen, compare

ROOT = Path(__file__).resolve().parents[2]
PRESET, DOCUMENT = ROOT / "presets" / "real-chairs.yaml", ROOT / "docs" / "results.md"
PICTURES = ROOT / "docs" / "img" / "real-chairs"
TABLES = {
    "reconstruction": ["IoU", "training IoU", "AP", "F-score", "Chamfer", "samples/s"],
    "samples": [
        "empty",
        "occupancy",
        "pairwise IoU",
        "1-NNA IoU",
        "1-NNA Chamfer",
        "COV",
        "MMD",
        "nearest training IoU",
        "copies",
    ],
    "photographs": ["ikea chair AP", "ikea chair AP aligned"],
}
BASELINES = {
    "mean_shape": "mean training shape",
    "nearest_pixels": "nearest training picture",
    "nearest_training": "nearest training shape (privileged)",
    "random_shape": "random training shape",
    "chance": "chance",
}
SHOWN = ["balanced", "resnet", "mean-12", "max-12", "projections", "long", "long-paint", "longest-paint"]
SAMPLED = ["balanced", "no-game", "mean-12", "long", "gan", "hinge-gan", "balanced-gan", "long-gan"]
JUDGED = "long-paint"


def main() -> int:
    """Fill the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--output-dir", type=Path, default=Path("results/real-chairs"))
    parser.add_argument("--show", nargs="+", default=SHOWN, help="experiments to draw, at most eight")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    names = yaml.safe_load(PRESET.read_text(encoding="utf-8"))["experiments"]
    runs = [arguments.output_dir / "runs" / name for name in names]
    runs = [run for run in runs if (run / "results.json").exists()]
    if not runs:
        raise UserError(
            "nothing was evaluated here",
            where=str(arguments.output_dir),
            do=f"snakemake --cores 2 evaluate_all --configfile {PRESET.relative_to(ROOT)}",
        )
    rows, first = compare(runs), json.loads((runs[0] / "results.json").read_text(encoding="utf-8"))
    for name, columns in TABLES.items():
        block = chosen([row for row in rows if set(columns[:1]) & row.mean.keys()], columns)
        fill(arguments.output, name, block + beside(name, first, rows))
    there = {run.name for run in runs}
    show, sampled = ([name for name in names if name in there] for names in (arguments.show, SAMPLED))
    judged = JUDGED if JUDGED in there else None
    write_study(arguments.output_dir, show, PICTURES, sampled=sampled, judged=judged, category="chair")
    return 0


def beside(name: str, results: dict[str, Any], rows: Sequence[Row]) -> str:
    """Baselines on the same shapes or photographs, as a sentence; they are the same for every row."""
    places = {
        "reconstruction": ["baselines.{}.iou"],
        "photographs": [
            "photographs.ikea.scores.{}.ap.classes.chair",
            "photographs.ikea.scores.{}.ap_aligned.classes.chair",
        ],
    }.get(name, [])
    words = []
    for key, title in BASELINES.items():
        found = [figure_at(results, place.format(key)) for place in places]
        if places and None not in found:
            words.append(f"{title} {' / '.join(_number(one) for one in found)}")
    return f"\nBeside it: {'; '.join(words)}." if words else ""


def _number(figure: Any) -> str:
    if not isinstance(figure, dict):
        return f"{figure:.3f}"
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


if __name__ == "__main__":
    sys.exit(run_command(main))
