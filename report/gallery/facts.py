"""What the gallery says of the whole data set: the verdict on its axes, the funnel, rejects, provenance."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats import ledger
from pipeline.meshes.orient import IDENTITY, ORIENTATIONS
from pipeline.shards.agreement import MARGIN, advice, name
from report.gallery.shapes import FLAGS, Checked

MOST_REJECTS = 500  # rows of the table; the ledger has all
_STAGES = {
    "index": "listed in the source",
    "prepare": "mesh read and repaired",
    "voxelize": "voxelized",
    "render": "rendered and packed",
}
_PACKAGES = ("numpy", "scipy", "h5py", "pillow", "fast-simplification")


def flag_counts(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """How many shapes have each flag, of the whole data set; flags that nobody has are left out."""
    counts = Counter(flag for one in checked for flag in one.flags)
    return [
        {
            "key": flag.key,
            "label": flag.label,
            "meaning": flag.meaning,
            "problem": flag.problem,
            "count": counts[flag.key],
        }
        for flag in FLAGS
        if counts[flag.key]
    ]


def verdict(checked: Sequence[Checked]) -> dict[str, Any]:
    """One sentence on the axes: do the voxels, as they are, fit the views best of all 48 ways?"""
    if not checked:
        return {"good": False, "text": "There are no shapes."}
    means = {way: float(np.mean([one.ways[name(way)] for one in checked])) for way in ORIENTATIONS}
    best = max(ORIENTATIONS, key=lambda way: means[way])
    if means[best] > means[IDENTITY] + MARGIN:
        text = (
            f"The voxels do not have the axes of the views: their silhouettes overlap with IoU {means[IDENTITY]:.2f} "
            f"as they are and {means[best]:.2f} read as {name(best)}; {advice(best)}."
        )
        return {"good": False, "text": text}
    text = (
        f"Voxels and views agree: their silhouettes overlap with IoU {means[IDENTITY]:.2f}, and no other of the 48 "
        "ways to exchange, turn or mirror the axes fits better."
    )
    return {"good": True, "text": text}


def funnel_rows(path: Path) -> list[dict[str, Any]]:
    """Stages with how many shapes came, passed and were refused, and why."""
    rows = _ledger(path)
    why: dict[str, Counter[str]] = {}
    for row in rows:
        if row.status == "rejected":
            why.setdefault(row.stage, Counter())[row.reason] += 1
    return [
        {
            "stage": _STAGES[stage],
            **counts,
            "share": counts["passed"] / max(len(rows), 1),
            "reasons": ", ".join(
                f"{reason.replace('_', ' ')} {count}" for reason, count in sorted(why.get(stage, Counter()).items())
            ),
        }
        for stage, counts in ledger.funnel(rows).items()
    ]


def rejects(path: Path) -> dict[str, Any]:
    """The shapes that were refused, with reason and detail."""
    rows = [row for row in _ledger(path) if row.status == "rejected"]
    return {"rows": rows[:MOST_REJECTS], "count": len(rows), "left_out": max(0, len(rows) - MOST_REJECTS)}


def _ledger(path: Path) -> list[ledger.Row]:
    return ledger.read_ledger(path)


def provenance(index: dict[str, Any], three: str | None) -> dict[str, Any]:
    """Where every picture on the page comes from, to the byte; `three` is the version that draws in 3D."""
    attributes = index["attributes"]
    settings = [
        (key, value if isinstance(value, (str, int, float)) else json.dumps(value, sort_keys=True))
        for key, value in sorted(attributes.items())
    ]
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in _PACKAGES)
    return {
        "rows": [
            ("data set", index["dataset"]),
            ("digest of its shards (SHA-256)", index["digest"]),
            *settings,
            ("page made with", f"Python {platform.python_version()}, {versions}"),
            *([("3D drawn by", f"three.js {three} (MIT licence)")] if three else []),
        ],
        "shards": [(entry["file"], entry["count"], entry["sha256"]) for entry in index["shards"]],
    }
