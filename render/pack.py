"""``python -m render pack``: renders + voxels + backgrounds become one training shard.

A shape goes into the shard when it has both views and voxels.  Which background stands
behind a view, and which part of it, is a function of (seed, shape id, view).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from pipeline.conventions import Array, pack_grid
from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox
from pipeline.formats.clusters import read_splits
from pipeline.formats.pack import PackReader
from pipeline.manifest import Record, Rejection, shapes_from_tsv
from pipeline.pictures.bank import NOTHING, PLAIN, UNALTERED, Bank, background, composite, open_bank
from pipeline.progress import Log, progress, say
from pipeline.seeds import generator
from pipeline.settings.shards import PackSettings
from pipeline.shards import Shard, create, open_shard
from pipeline.shards.bulk import bank_mark

GAIN = (0.85, 1.15)  # range of the brightness of a background


def pack_shard(
    renders: Path,
    voxels: Path,
    bank_path: Path | None,
    out: Path,
    *,
    seed: int,
    settings: PackSettings,
    log: Log,
    shapes: Path | None = None,  # the shape list, which says the split of each; None keeps what the records say
    clusters: Path | None = None,  # near-duplicates, whose splits count more
) -> None:
    """Write the training shard of one shard of renders and its voxels."""
    listed = [] if shapes is None else shapes_from_tsv(shapes.read_text(encoding="utf-8"), str(shapes))
    splits = {shape.shape_id: shape.split for shape in listed} | read_splits(clusters)
    bank = open_bank(bank_path) if settings.background == "photo" and bank_path is not None else None
    if settings.background == "photo" and bank is None:
        raise UserError("photographs as backgrounds need a bank", do="give --bank, or set backgrounds.source to none")
    grids = PackReader(voxels)
    by_id = {record.shape_id: record for record in grids.records}
    with open_shard(renders) as views:
        both = [(row, record) for row, record in enumerate(views.records) if record.shape_id in by_id]
        resolution = _resolution(grids, by_id, both)
        attributes = {
            **views.attributes,
            "shards": settings.model_dump(mode="json"),
            "seed": seed,
            "compositing": settings.compositing,
            "voxels_dim": resolution,
            "bank": None if bank is None else bank_mark(bank),
        }
        with create(
            out,
            settings.storage,
            count=len(both),
            views=views.views,
            size_px=views.size_px,
            resolution=resolution,
            attributes=attributes,
        ) as shard:
            for row, record in progress(both, "pack", log=log):
                grid = read_binvox(grids.payload(by_id[record.shape_id])).grid
                facts = {**by_id[record.shape_id].facts, **record.facts}
                merged = dataclasses.replace(record, split=splits.get(record.shape_id, record.split), facts=facts)
                shard.append(merged, voxels=pack_grid(grid), **_pictures(views, row, record, bank, seed, settings))
            for rejection in _losses(views, grids):
                shard.reject(rejection)
            packed, lost = len(shard.records), len(shard.rejects)
    say(f"pack {renders.parent.name}/{renders.stem}: {packed} shapes" + (f", {lost} left out" if lost else ""))


def _resolution(grids: PackReader, by_id: dict[str, Record], both: list[tuple[int, Record]]) -> int:
    """Voxels a side, from the first shape; an empty shard holds none, any value fits."""
    if not both:
        return 32
    return int(read_binvox(grids.payload(by_id[both[0][1].shape_id])).grid.shape[0])


def _losses(views: Shard, grids: PackReader) -> list[Rejection]:
    """Every shape that is missing here, under the stage that lost it."""
    return sorted(set(views.rejects) | set(grids.rejects))


def _pictures(
    views: Shard, row: int, record: Record, bank: Bank | None, seed: int, settings: PackSettings
) -> dict[str, Array]:
    """The arrays of one shape, composited or in layers."""
    arrays = {name: views.array(name)[row] for name in views.fields if name not in ("rgba", "placement")}
    rgba = views.array("rgba")[row]
    choices = [
        choose_background(seed, record.shape_id, view, bank, settings.background, views.size_px)
        for view in range(views.views)
    ]
    arrays["background_id"] = np.array([number for number, _ in choices], np.int32)
    arrays["background_crop"] = np.stack([crop for _, crop in choices])
    arrays["background_look"] = np.stack([_look(bank, number) for number, _ in choices])
    if settings.storage == "layers":
        return {**arrays, "rgba": rgba}
    behind = np.stack([background(bank, number, crop, views.size_px) for number, crop in choices])
    return {**arrays, "images": composite(rgba, behind, settings.compositing), "alpha": rgba[..., 3]}


def choose_background(
    seed: int, shape_id: str, view: int, bank: Bank | None, kind: str, size_px: int
) -> tuple[int, Float32[Array, " 5"]]:
    """Bank row and crop (row, column, side, mirror, gain) behind one view; see pipeline/pictures/bank.py."""
    rng = generator(seed, "background", shape_id, view)
    if kind == "transparent":
        return NOTHING, np.array([0, 0, 0, 0, 1], np.float32)
    if bank is None:
        return PLAIN, np.array([*_plain_colour(kind, rng), 0, 1], np.float32)
    side = int(rng.integers(min(size_px, bank.size_px), bank.size_px + 1))
    row, column = rng.integers(0, bank.size_px - side + 1, 2)
    return int(rng.integers(len(bank))), np.array([row, column, side, rng.integers(2), rng.uniform(*GAIN)], np.float32)


def _plain_colour(kind: str, rng: np.random.Generator) -> tuple[int, ...]:
    """sRGB values of ``white``, ``#rrggbb`` or ``random``."""
    if kind == "random":
        return tuple(rng.integers(0, 256, 3).tolist())
    return (255, 255, 255) if kind == "white" else tuple(bytes.fromhex(kind.removeprefix("#")))


def _look(bank: Bank | None, number: int) -> Float32[Array, " 5"]:
    """How the bank altered a crop; a plain colour is not altered."""
    return np.array(UNALTERED, np.float32) if bank is None or number < 0 else np.asarray(bank.looks[number])
