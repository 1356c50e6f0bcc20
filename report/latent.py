"""The map of the codes, and the shapes between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import markupsafe
import numpy as np

from pipeline.conventions import Array
from pipeline.formats.html import script_json
from pipeline.pictures.voxel_view import BLUE, GREEN
from report import figures, gather
from report.gather import Arrays

WIDTH, HEIGHT, MARGIN = 640, 460, 14
COLUMNS = 25  # thumbnails side by side in their sheet
# Seven colours that colour-blind readers tell apart (Okabe and Ito 2008) and six marks: neither number
# divides the other, so 42 categories in a row look different, and neighbours differ in both.
COLOURS, MARKS = 7, 6
PROJECTIONS = {
    "pca": ("PCA", "the two directions in which the codes differ most; distances mean something"),
    "tsne": ("t-SNE", "near codes are near; distances between groups and the sizes of groups mean nothing"),
    "umap": ("UMAP", "near codes are near; distances between groups mean little"),
}
SHOWN = 4  # interpolations, and sums


def latent_map(path: Path) -> dict[str, Any] | None:
    """Places, colours and thumbnails of the codes; None where there are none."""
    table = gather.arrays(path) if path.exists() else {}
    # A run without an encoder has no rows; a map of too few codes has all of them in one place.
    maps = {name: table[name] for name in PROJECTIONS if len(table.get(name, ())) and np.ptp(table[name], axis=0).any()}
    if not maps:
        return None
    categories = sorted(set(table["category"].tolist()))
    kinds = [categories.index(category) for category in table["category"].tolist()]
    places = {name: _places(points) for name, points in maps.items()}
    thumbnails = table["thumbnail"]
    facts = {
        "places": places,
        "names": table["id"].tolist(),
        "lines": [f"{category}, {split}" for category, split in zip(table["category"], table["split"], strict=True)],
        "tile": int(thumbnails.shape[1]),
        "columns": COLUMNS,
    }
    first = places[next(iter(places))]
    return {
        "projections": [{"key": name, "label": PROJECTIONS[name][0], "note": PROJECTIONS[name][1]} for name in maps],
        "points": [{"x": x, "y": y, **_look(kind)} for (x, y), kind in zip(first, kinds, strict=True)],
        "legend": [{"name": name, "count": kinds.count(kind), **_look(kind)} for kind, name in enumerate(categories)],
        "thumbnails": figures.sheet(thumbnails, COLUMNS),
        "data": markupsafe.Markup(script_json(facts)),
        "count": len(kinds),
        "width": WIDTH,
        "height": HEIGHT,
    }


def _look(kind: int) -> dict[str, int]:
    return {"colour": kind % COLOURS, "mark": kind % MARKS}


def _places(points: Array) -> list[tuple[float, float]]:
    """(N, 2) -> pixels of the map: one scale for both axes, y up."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN
    spans = (high - low).astype(float)
    scale = float((room[spans > 0] / spans[spans > 0]).min())
    moved = (points - (low + high) / 2) * [scale, -scale] + np.array([WIDTH, HEIGHT]) / 2
    return [(round(float(x), 1), round(float(y), 1)) for x, y in moved]


def interpolations(path: Path) -> dict[str, Any] | None:
    """Rows of shapes between two pictures, and sums of codes; None where there are none."""
    table = gather.arrays(path) if path.exists() else {}
    if not len(table.get("bits", ())) and not len(table.get("sum_bits", ())):
        return None
    return {
        "rows": [_between(table, row) for row in range(min(SHOWN, len(table["bits"])))],
        "sums": [_sum(table, row) for row in range(min(SHOWN, len(table["sum_bits"])))],
    }


def _between(table: Arrays, row: int) -> dict[str, Any]:
    steps = [figures.voxels(figures.grid_of(bits), BLUE) for bits in table["bits"][row]]
    return {
        "ids": [gather.short(one, 2) for one in table["ids"][row].tolist()],
        "pictures": [figures.photograph(pixels) for pixels in table["image"][row]],
        "shapes": [
            {"picture": step, "share": f"{place / max(len(steps) - 1, 1):.0%}"} for place, step in enumerate(steps)
        ],
        "iou": [f"{value:.2f}" for value in table["iou_ends"][row]],
    }


def _sum(table: Arrays, row: int) -> dict[str, Any]:
    """a - b + c: three pictures with their reconstructions, and the shape of the sum."""
    *terms, result = (figures.grid_of(bits) for bits in table["sum_bits"][row])
    ids, pictures = table["sum_ids"][row].tolist(), table["sum_image"][row]
    return {
        "terms": [
            {"id": gather.short(one, 2), "picture": figures.photograph(pixels), "shape": figures.voxels(grid, BLUE)}
            for one, pixels, grid in zip(ids, pictures, terms, strict=True)
        ],
        "result": figures.voxels(result, GREEN),
    }
