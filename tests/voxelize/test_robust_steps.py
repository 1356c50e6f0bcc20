"""`robust` is what its four steps say, on triangles at random: what it leaves out for speed changes no voxel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from pipeline.conventions import Grid
from pipeline.errors import Reject
from tests.voxelize.solids import Mesh
from voxelize.engines.builtin import surface_of, voxelize
from voxelize.kernels.frame import Frame
from voxelize.options import UNIT_BOX_BOUNDS, Options

UNIT_BOX = Frame((-0.5, -0.5, -0.5), 1.0)
AROUND = np.ones((3, 3, 3), dtype=bool)


def near(grid: Grid) -> Grid:
    return np.asarray(ndimage.binary_dilation(grid, AROUND))


def several(labels: np.ndarray) -> Grid:
    """Voxels with two different labels above 0 among themselves and their neighbours."""
    most = ndimage.maximum_filter(labels, size=3, mode="constant")
    least = ndimage.minimum_filter(np.where(labels > 0, labels, labels.max() + 1), size=3, mode="nearest")
    return np.asarray((most > 0) & (least < most))


def by_the_steps(mesh: Mesh, size: int) -> tuple[Grid, set[str]]:
    """The grid, from whole grids and scipy alone, and which steps did something."""
    steps = set()
    solid = voxelize(*mesh, Options(resolution=size, box=UNIT_BOX_BOUNDS)).grid
    surface = surface_of(UNIT_BOX, *mesh, size)
    labels, _ = ndimage.label(solid)
    thick = solid & (np.bincount(labels.ravel()) >= 8)[labels]
    grid = solid | surface & ~near(thick)
    labels, parts = ndimage.label(grid, AROUND)
    if parts > 1:
        touching = np.unique(labels[grid & near(surface)])
        if len(touching) < parts:
            steps.add("specks")
        grid = np.isin(labels, touching[touching > 0])
    for pairs in (False, True):
        while True:
            labels, _ = ndimage.label(grid, AROUND)
            candidates = surface & ~grid
            if pairs:
                touched = np.where(candidates & ~several(labels), ndimage.maximum_filter(labels, size=3), 0)
                found = several(touched) & (touched > 0)
            else:
                found = candidates & several(labels)
            if not found.any():
                break
            steps.add("pairs" if pairs else "singles")
            grid = grid | found
    return grid, steps


def triangles() -> Iterator[tuple[Mesh, int]]:
    """Small and large ones, and pieces of a few crossing quads, at sizes below and above a machine word."""
    rng = np.random.default_rng(3)
    for number in range(150):
        many, extent = int(rng.integers(2, 60)), rng.choice([0.04, 0.1, 0.3])
        corners = rng.uniform(-0.45, 0.45, (many, 1, 3)) + rng.normal(size=(many, 3, 3)) * extent
        yield (
            (corners.reshape(-1, 3).clip(-0.5, 0.5), np.arange(3 * many).reshape(many, 3)),
            (16, 24, 32, 70)[number % 4],
        )


def test_robust_is_what_its_steps_say() -> None:
    seen: set[str] = set()
    for mesh, size in triangles():
        try:
            wanted, steps = by_the_steps(mesh, size)
        except Reject:
            continue
        found = voxelize(*mesh, Options(resolution=size, mode="robust", box=UNIT_BOX_BOUNDS)).grid
        assert np.array_equal(found, wanted)
        seen |= steps
    assert seen == {"specks", "singles", "pairs"}
