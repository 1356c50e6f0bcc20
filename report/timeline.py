"""The slider over training time: what fixed codes and fixed pictures became, moment by moment.

Each shape is a strip of pictures, one for each moment; the page shows one of them and, where
scripts do not run, the last.  The files: see training/timeline.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import Grid
from pipeline.pictures.voxel_view import BLUE, GREEN, GREY
from report import figures, gather
from report.gather import Arrays

MOST = 24  # moments shown; of more, these many spread evenly, the first and the last among them


def timeline(run: Path, looks: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Strips of fixed codes and of fixed pictures; None for a run that kept no timeline."""
    folder = run / "timeline"
    paths = spread(sorted(folder.glob("[0-9]*.npz")), MOST)
    moments = [gather.arrays(path) for path in paths]
    if not moments:
        return None
    seen = [int(path.stem) for path in paths]
    return {
        "moments": [_moment(samples, looks) for samples in seen],
        "codes": [
            {"strip": _strip(moments, "samples", row, GREEN), "name": f"code {row + 1}"}
            for row in range(len(moments[-1]["samples"]))
        ],
        "pictures": _pictures(folder / "inputs.npz", moments),
    }


def spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most `most` of them, evenly, both ends among them."""
    if len(paths) <= most:
        return list(paths)
    return [paths[round(place * (len(paths) - 1) / (most - 1))] for place in range(most)]


def _moment(samples: int, looks: Sequence[dict[str, Any]]) -> str:
    """What the slider says: `8,000 samples seen, validation IoU 0.305`."""
    look = next((look for look in looks if look["samples"] == samples), {})
    iou = f", validation IoU {look['iou']:.3f}" if look.get("iou") is not None else ""
    return f"{samples:,} samples seen{iou}" if samples else "before training"


def _pictures(path: Path, moments: Sequence[Arrays]) -> list[dict[str, Any]]:
    """Each fixed picture with its truth, its strip and its IoU at every moment; none without an encoder."""
    if not path.exists() or any("reconstructions" not in moment for moment in moments):
        return []
    inputs = gather.arrays(path)
    out = []
    for row, shape_id in enumerate(inputs["shape_ids"].tolist()):
        truth = figures.grid_of(inputs["truth"][row])
        answers = [figures.grid_of(moment["reconstructions"][row]) for moment in moments]
        out.append(
            {
                "id": gather.short(shape_id),
                "picture": figures.photograph(inputs["pictures"][row]),
                "truth": figures.voxels(truth, GREY),
                "strip": figures.strip(answers, BLUE),
                "values": [f"{iou(answer, truth):.2f}" for answer in answers],
            }
        )
    return out


def _strip(moments: Sequence[Arrays], name: str, row: int, colour: tuple[int, int, int]) -> str:
    return figures.strip([figures.grid_of(moment[name][row]) for moment in moments], colour)


def iou(one: Grid, other: Grid) -> float:
    """Voxels in both over voxels in either; 1 where both are empty."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0
