"""A tiny world for the trainer: boxes of different sizes, drawn as their front silhouettes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.conventions import pack_grid
from pipeline.manifest import Record
from pipeline.pictures.camera import look_at_origin
from pipeline.seeds import generator
from pipeline.settings.training import Experiment
from pipeline.shards import KINDS, create
from pipeline.shards.index import write_index

SIZE_PX, RESOLUTION, VIEWS = 32, 16, 3
SPLITS = ("train", "train", "val", "test")


def box(number: int, resolution: int = RESOLUTION) -> np.ndarray[Any, Any]:
    """(R, R, R) bool, a box whose three sides depend on `number` alone."""
    half = generator(3, "box", number).integers(2, 8, 3) * resolution // RESOLUTION
    grid = np.zeros((resolution,) * 3, bool)
    grid[tuple(slice(resolution // 2 - h, resolution // 2 + h) for h in half)] = True
    return grid


def row(number: int, resolution: int = RESOLUTION, size_px: int = SIZE_PX) -> dict[str, Any]:
    """All arrays of one shape: the silhouette seen from the front, in a colour a view."""
    grid = box(number, resolution)
    silhouette = np.kron(box(number).any(2).T[::-1], np.ones((size_px // RESOLUTION,) * 2, bool))
    images = np.full((VIEWS, size_px, size_px, 3), 40, np.uint8)
    for view in range(VIEWS):
        images[view][silhouette] = 120 + 40 * view
    values: dict[str, Any] = {
        "images": images,
        "alpha": np.tile(silhouette * np.uint8(255), (VIEWS, 1, 1)),
        "voxels": pack_grid(grid),
        "K": np.tile([[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]], (VIEWS, 1, 1)),
        "camera_to_world": np.stack([look_at_origin(0.0, 0.0, 1.5)] * VIEWS),
        "azimuth_deg": np.zeros(VIEWS),
        "elevation_deg": np.zeros(VIEWS),
        "distance": np.full(VIEWS, 1.5),
        "roll_deg": np.zeros(VIEWS),
        "coverage": np.zeros(VIEWS),
        "truncation": np.zeros(VIEWS),
        "lights": np.zeros((VIEWS, 1, 8)),
        "background_id": np.zeros(VIEWS, np.int32),
        "background_crop": np.zeros((VIEWS, 5)),
        "background_look": np.tile([0.0, 0.0, 1.0, 1.0, 1.0], (VIEWS, 1)),
    }
    return {name: values[name] for name in KINDS["composite"]}


def write_world(
    folder: Path, count: int = 24, resolution: int = RESOLUTION, *, size_px: int = SIZE_PX, start: int = 0
) -> Path:
    """Write one shard of `count` boxes from number `start` on and its index; returns the index."""
    path = folder / "000.h5"
    with create(
        path,
        "composite",
        count=count,
        views=VIEWS,
        size_px=size_px,
        resolution=resolution,
        attributes={"compositing": "srgb"},
    ) as shard:
        for number in range(start, start + count):
            category, name = ("box", "crate")[number % 2], f"{number:04d}"
            record = Record(f"boxes/{category}/{name}", category, name, SPLITS[number // 2 % 4], {})
            shard.append(record, **row(number, resolution, size_px))
    index = folder / "index.json"
    write_index([path], index)
    return index


def fixed() -> torch.Generator:
    """Random numbers that are the same in every run of the tests."""
    return torch.Generator().manual_seed(1)


def settings(**changes: Any) -> Experiment:
    """A quick experiment; every test says what it changes."""
    quick: dict[str, Any] = {
        "datasets": ("boxes",),
        "seed": 5,
        "samples": 96,
        "batch": 8,
        "threads": 1,
        "device": "cpu",
        "latent": 8,
        "encoder_width": 0.0625,
        "width": 0.125,
        "adversarial_every": 2,
        "validate_every": 32,
        "checkpoint_every": 32,
        "log_every": 16,
    }
    return Experiment.model_validate({**quick, **changes})
