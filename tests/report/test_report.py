"""The page's pictures and readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.camera import look_at_origin
from pipeline.errors import UserError
from report import gather, page
from report.figures import curves, data_address
from report.voxel_view import draw_voxels


def painted(grid: np.ndarray, **options: float) -> np.ndarray:
    """Where the picture is not white."""
    return np.asarray(draw_voxels(grid, 120, **options)).min(axis=2) < 250


def test_an_empty_grid_is_a_white_picture() -> None:
    assert not painted(np.zeros((8, 8, 8), bool)).any()


def test_every_view_is_the_silhouette_of_the_projected_corners() -> None:
    """One voxel in a corner of the grid lands where the camera of conventions.py says."""
    for corner in [(0, 0, 0), (7, 0, 0), (0, 7, 0), (0, 0, 7), (7, 7, 7)]:
        for azimuth in (0.0, 35.0, 130.0, 250.0):
            grid = np.zeros((8, 8, 8), bool)
            grid[corner] = True
            rows, columns = np.nonzero(painted(grid, azimuth_deg=azimuth, elevation_deg=20.0))
            centre = (np.array(corner) + 0.5) / 8 - 0.5
            local = centre @ look_at_origin(azimuth, 20.0, 1.0)[:3, :3]
            expected = (local[:2] * [1, -1] / 1.45 + 0.5) * 120
            assert np.abs(np.array([columns.mean() + 0.5, rows.mean() + 0.5]) - expected).max() < 1.5


def test_hidden_voxels_change_nothing() -> None:
    solid = np.zeros((8, 8, 8), bool)
    solid[2:6, 2:6, 2:6] = True
    hollow = solid.copy()
    hollow[3:5, 3:5, 3:5] = False
    assert (np.asarray(draw_voxels(solid, 96)) == np.asarray(draw_voxels(hollow, 96))).all()


def test_plots_are_inline() -> None:
    assert curves([("a", [1, 2, 3], [0.1, 0.2, 0.3])], "IoU").startswith("data:image/png;base64,")
    assert data_address(draw_voxels(np.ones((2, 2, 2), bool), 16), "JPEG").startswith("data:image/jpeg;base64,")


def test_unfinished_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"', encoding="utf-8")
    assert gather.read_lines(path) == [{"a": 1}, {"a": 2}]


def test_timings_are_summed_over_jobs(tmp_path: Path) -> None:
    for shard, seconds in (("000", "1.5"), ("001", "2.5"), ("002", "NA")):
        path = tmp_path / "benchmarks" / "render" / f"d-{shard}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{seconds}\t100\n", encoding="utf-8")
    assert gather.timings(tmp_path) == [{"rule": "render", "jobs": 3, "seconds": 4.0, "peak_mb": 100.0}]


def test_funnel_counts_every_shape_once() -> None:
    ledger = [
        {"shape_id": "d/c/1", "stage": "render", "status": "accepted", "reason": "", "detail": ""},
        {"shape_id": "d/c/2", "stage": "prepare", "status": "rejected", "reason": "truncated", "detail": "7 of 9"},
        {"shape_id": "d/c/3", "stage": "index", "status": "rejected", "reason": "empty", "detail": ""},
    ]
    assert gather._funnel(ledger) == [("listed", 3), ("index", 2), ("prepare", 1), ("voxelize", 1), ("render", 1)]
    assert [row[:3] for row in gather._reasons(ledger)] == [("index", "empty", 1), ("prepare", "truncated", 1)]


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "shards" / "d"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="cannot read a result\n  where: .*index.json"):
        gather.datasets(tmp_path)
    (folder / "index.json").write_text(json.dumps({}), encoding="utf-8")
    assert [facts.name for facts in gather.datasets(tmp_path)] == ["d"]


def test_voxel_quality_names_the_worst_shape() -> None:
    record = {"mode": "robust", "engine": "builtin", "watertight": True, "odd_lines": [0.0, 0.02, 0.0], "parts": 1,
              "surface_parts": 1, "duplicate_faces": 0}  # fmt: skip
    good = {**record, "shape_id": "d/c/good", "thin_recall": 1.0, "occupancy": 0.2}
    bad = {**record, "shape_id": "d/c/bad", "thin_recall": 0.5, "occupancy": 0.01, "parts": 3, "watertight": False}
    text = page._voxels([good, bad, {"shape_id": "d/c/given", "mode": "given"}], [0.002, 0.004])
    assert "50% of the meshes are watertight" in text and "3.0 ms a shape" in text
    assert "mean 0.750, least 0.500 (d/c/bad)" in text and "1 of 2 have no more parts" in text
    assert page._voxels([], []) == ""
