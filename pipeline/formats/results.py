"""Figures of an evaluation: `results.json`, which docs/metrics.md defines.

A figure is {mean, low, high}, or {value, low, high} where it is no mean; a bare number where an
older evaluation left it without an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One figure by which experiments are compared; every table takes it from here."""

    title: str  # by which `training compare --columns` knows it
    place: str  # in results.json
    label: str = ""  # on the report's page, with the better direction; empty leaves it out there
    digits: int = 3


@dataclass(frozen=True)
class Score:
    """One measure of a reconstruction's surface."""

    title: str
    label: str  # short, with the better direction
    digits: int


SURFACE = {
    "chamfer": Score("Chamfer distance", "Chamfer ↓", 4),
    "f_score": Score("F-score, 1 %", "F-score ↑", 3),
    "f_score_voxel": Score("F-score, one voxel", "F-score, one voxel ↑", 3),
    "average_precision": Score("average precision", "AP ↑", 3),
}
COLUMNS = (
    Column("IoU", "iou", "held-out IoU ↑"),
    Column("margin over mean shape", "margin.mean_shape", "ahead of the mean shape by"),
    Column("category mean IoU", "r2n2.category_mean", "IoU at 0.4, mean over categories (R2N2) ↑"),
    Column("Chamfer", "surface.scores.network.chamfer", "Chamfer ↓", 4),
    Column("F-score", "surface.scores.network.f_score", "F-score ↑"),
    Column("AP", "surface.scores.network.average_precision", "AP ↑"),
    Column("mean shape IoU", "baselines.mean_shape.iou"),
    Column("overfit gap", "overfit.gap", "gap to training shapes ↓"),
    Column("1-NNA IoU", "generation.network.iou.one_nna", "samples: 1-NNA, IoU → 0.5"),
    Column("1-NNA Chamfer", "generation.network.chamfer.one_nna", "samples: 1-NNA, Chamfer → 0.5"),
    Column("COV", "generation.network.chamfer.cov", "samples: COV, Chamfer ↑"),
    Column("MMD", "generation.network.chamfer.mmd", "samples: MMD, Chamfer ↓", 4),
    Column("JSD", "generation.network.jsd", "samples: JSD ↓"),
    Column("nearest training IoU", "samples.nearest_training", "IoU with the nearest training shape"),
    Column("SVM accuracy", "classification.accuracy.discriminator", "SVM accuracy ↑"),
)
# `training compare` shows these only where they are asked for by name.
MORE_COLUMNS = (
    Column("R2N2 IoU", "r2n2.iou"),
    Column("F-score voxel", "surface.scores.network.f_score_voxel"),
    Column("training IoU", "overfit.train_iou"),
    Column("empty", "samples.empty_rate", "samples that are empty ↓"),
    Column("occupancy", "samples.occupancy"),
    Column("pairwise IoU", "samples.pairwise_iou"),
    Column("copies", "samples.memorised"),
    Column("voxels' SVM", "classification.accuracy.voxels"),
    Column("random features' SVM", "classification.accuracy.random_weights"),
    Column("samples/s", "speed.samples_per_s"),
)


def figure_at(results: dict[str, Any], place: str) -> Any | None:
    """What lies at a place like `generation.network.jsd`; None where this run has no such thing."""
    found: Any = results
    for key in place.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def centre(figure: Any) -> float:
    """The number of a figure without its interval."""
    if isinstance(figure, dict):
        return float(figure["mean"] if "mean" in figure else figure["value"])
    return float(figure)
