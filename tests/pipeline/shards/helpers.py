"""Small shards for tests: random content that depends on the row alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import Grid, pack_grid, voxel_centres
from pipeline.manifest import Record, Rejection
from pipeline.pictures.bank import write_bank
from pipeline.pictures.camera import look_at_origin, project
from pipeline.seeds import generator
from pipeline.shards import KINDS, create

SPLIT = ("train", "train", "val", "test")


def record(number: int, category: str = "chair", dataset: str = "demo") -> Record:
    """The record of shape `number`; splits take turns."""
    name = f"{category}_{number:04d}"
    placement = {"scale": 0.5 + number, "translation": [0.0, 0.25, 0.0], "rotation": np.eye(3).reshape(-1).tolist()}
    facts = {"prepare": {"mesh_sha256": f"{number:064x}", "placement": placement}}
    return Record(f"{dataset}/{category}/{name}", category, name, SPLIT[number % 4], facts)


def arrays(kind: str, number: int, *, views: int = 3, size_px: int = 16, resolution: int = 16) -> dict[str, Any]:
    """One row of every array of `kind`."""
    rng = generator(7, "row", number)
    azimuth = rng.uniform(0, 360, views)
    values: dict[str, Any] = {
        "rgba": rng.integers(0, 256, (views, size_px, size_px, 4), np.uint8),
        "images": rng.integers(0, 256, (views, size_px, size_px, 3), np.uint8),
        "alpha": rng.integers(0, 256, (views, size_px, size_px), np.uint8),
        "voxels": rng.integers(0, 256, resolution**3 // 8, np.uint8),
        "K": np.tile([[20.0, 0, size_px / 2 + 1], [0, 20.0, size_px / 2], [0, 0, 1]], (views, 1, 1)),
        "camera_to_world": np.stack([look_at_origin(a, 30.0, 1.5) for a in azimuth]),
        "azimuth_deg": azimuth,
        "elevation_deg": np.full(views, 30.0),
        "distance": np.full(views, 1.5),
        "roll_deg": np.zeros(views),
        "coverage": rng.uniform(0, 1, views),
        "truncation": np.zeros(views),
        "lights": rng.uniform(0, 1, (views, 2, 8)),
        "background_id": np.arange(views) % 2,
        "background_crop": np.tile([1.0, 2.0, size_px, 0.0, 1.0], (views, 1)),
        "background_look": np.tile([0.0, 0.0, 1.0, 1.0, 1.0], (views, 1)),
    }
    return {name: values[name] for name in KINDS[kind]}


def write_shard(
    path: Path,
    kind: str = "composite",
    numbers: range = range(8),
    *,
    views: int = 3,
    size_px: int = 16,
    resolution: int = 16,
    categories: tuple[str, ...] = ("chair", "table"),
    dataset: str = "demo",
) -> Path:
    """Write one shard of the shapes `numbers`; categories take turns."""
    with create(
        path,
        kind,
        count=len(numbers),
        views=views,
        size_px=size_px,
        resolution=None if kind == "renders" else resolution,
        attributes={"compositing": "srgb"},
    ) as shard:
        for number in numbers:
            row = arrays(kind, number, views=views, size_px=size_px, resolution=resolution)
            shard.append(record(number, categories[number % len(categories)], dataset), **row)
        shard.reject(Rejection(f"{dataset}/chair/broken", "render", "empty", "nothing to see"))
    return path


def write_test_bank(path: Path, size_px: int = 20) -> Path:
    """A bank of two random pictures."""
    crops = generator(7, "bank").integers(0, 256, (2, size_px, size_px, 3), np.uint8)
    write_bank(path, crops, {"names": ["a", "b"], "counts": {}, "settings": {}})
    return path


def l_shape(resolution: int = 16) -> Grid:
    """Differs from each of its mirror images and turns."""
    grid = np.zeros((resolution,) * 3, bool)
    grid[2:14, 2:5, 3:6] = grid[2:5, 2:14, 3:6] = grid[2:5, 2:5, 3:13] = True
    return grid


def aligned_arrays(number: int, grid: Grid, size_px: int = 48) -> dict[str, Any]:
    """A row of a composite shard whose alpha is the projection of `grid`, each voxel filled by 6^3 points."""
    K = np.array([[1.25 * size_px, 0, size_px / 2], [0, 1.25 * size_px, size_px / 2], [0, 0, 1]])
    poses = np.stack([look_at_origin(azimuth, 25, 1.8) for azimuth in (20, 140, 260)])
    step = (np.stack(np.meshgrid(*[voxel_centres(6)] * 3, indexing="ij"), -1) / len(grid)).reshape(-1, 3)
    centres = np.stack([voxel_centres(len(grid))[axis] for axis in np.nonzero(grid)], 1)
    alpha = np.zeros((3, size_px, size_px), np.uint8)
    for view, pose in enumerate(poses):
        column, row = np.floor(project((centres[:, None] + step).reshape(-1, 3), K, pose)[0]).astype(int).T
        alpha[view, row, column] = 255
    return {
        **arrays("composite", number, size_px=size_px),
        "alpha": alpha,
        "voxels": pack_grid(grid),
        "K": np.tile(K, (3, 1, 1)),
        "camera_to_world": poses,
    }
