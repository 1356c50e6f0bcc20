"""Surfaces of cubes, whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import surfaces as surface


def cube(side: int, corner: tuple[int, int, int] = (0, 0, 0), of: int = 16) -> np.ndarray[tuple[int, ...], np.dtype]:
    grid = np.zeros((of,) * 3, bool)
    grid[tuple(slice(c, c + side) for c in corner)] = True
    return grid


def test_faces_of_a_cube() -> None:
    middles, axes = surface.faces(cube(4, (2, 2, 2)))
    assert len(middles) == 6 * 16 and np.bincount(axes).tolist() == [32, 32, 32]
    on_plane = middles[np.arange(len(middles)), axes]
    assert set(np.unique(on_plane)) == {2 / 16 - 0.5, 6 / 16 - 0.5}
    assert len(surface.faces(cube(16))[0]) == 6 * 256  # the border of the grid is a surface too


def test_drawn_points_lie_evenly_on_the_surface() -> None:
    grid = cube(8, (0, 4, 4))
    points = surface.drawn_points(grid, 600, 1, "test")
    off = points.astype(np.float64) - np.array([4 / 16 - 0.5, 8 / 16 - 0.5, 8 / 16 - 0.5])
    assert np.abs(off).max(1) == pytest.approx(np.full(600, 4 / 16), abs=1e-6)
    sides = np.bincount(3 * (off.max(1) > 0.2499) + np.abs(off).argmax(1), minlength=6)
    assert sides == pytest.approx(np.full(6, 100), abs=2)
    assert np.array_equal(points, surface.drawn_points(grid, 600, 1, "test"))
    assert not np.array_equal(points, surface.drawn_points(grid, 600, 1, "other"))


def test_equal_shapes_are_at_distance_zero() -> None:
    grids = np.stack([cube(5), cube(3, (7, 7, 7))]).reshape(2, -1)
    scores = surface.surface_scores(grids, grids)
    assert scores.chamfer.tolist() == [0, 0] and scores.f_score.tolist() == scores.f_score_voxel.tolist() == [1, 1]


def test_a_slab_moved_by_one_voxel() -> None:
    """A slab over the whole width, moved up by one: its two large faces are one voxel off, the rest moves along."""
    slab, moved = np.zeros((16, 16, 16), bool), np.zeros((16, 16, 16), bool)
    slab[:, 4:8], moved[:, 5:9] = True, True
    scores = surface.surface_scores(slab.reshape(1, -1), moved.reshape(1, -1))
    # In voxels: the outermost points of the face inside the other slab are nearest to that one's rim.
    near = 0.5**0.5
    inner, outer, rim = 60 * near + 196, 256, 64 * near
    assert scores.chamfer[0] == pytest.approx(2 * (inner + outer + rim) / 16 / (2 * 256 + 256))
    assert scores.f_score[0] == pytest.approx((4 * 16 * 3) / (2 * 256 + 256))
    assert scores.f_score_voxel[0] == 1.0


def test_empty_predictions_are_the_worst_and_not_an_error() -> None:
    empty, full = np.zeros((1, 4096), bool), cube(4).reshape(1, -1)
    scores = surface.surface_scores(empty, full)
    assert scores.chamfer[0] == surface.WORST and scores.f_score[0] == 0.0
    assert surface.surface_scores(empty, empty).f_score[0] == 1.0
    assert (surface.drawn_points(empty.reshape(16, 16, 16), 9, 1) == 0.5).all()


def test_f_score_of_known_distances() -> None:
    there, back = np.array([0.0, 0.01, 0.02, 0.5]), np.array([0.0, 0.3])
    assert surface.f_score(there, back, 0.01) == pytest.approx(0.5)
    assert surface.f_score(there + 1, back + 1, 0.01) == 0.0
    assert surface.f_score(there, back, 0.02) == pytest.approx(2 * 0.75 * 0.5 / 1.25)


def test_boxed_points_fill_the_unit_box() -> None:
    points = np.array([[1, 1, 1], [5, 2, 3]], np.float32)
    assert surface.boxed(points).tolist() == [[-0.5, -0.125, -0.25], [0.5, 0.125, 0.25]]
