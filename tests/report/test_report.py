"""The page's readers, pictures and charts."""

from __future__ import annotations

import base64
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.pictures.camera import look_at_origin
from pipeline.pictures.voxel_view import draw_voxels
from report import charts, dataset, experiment, figures, gather, latent, timeline
from report.charts import Alarm, Curve


def painted(grid: np.ndarray, **options: float) -> np.ndarray:
    """Where the picture is not white."""
    return np.asarray(draw_voxels(grid, 120, **options)).min(axis=2) < 250


def decoded(address: str) -> Image.Image:
    kind, _, text = address.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


# ---- pictures ------------------------------------------------------------------------------


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


def test_pictures_of_shapes_are_inline_and_stand_on_any_page() -> None:
    grid = np.zeros((8, 8, 8), bool)
    grid[2:6, 2:6, 2:6] = True
    alpha = np.asarray(decoded(figures.voxels(grid)).convert("RGBA"))[..., 3]
    assert alpha[0, 0] == 0 and alpha[56, 56] == 255
    on_white = np.asarray(draw_voxels(grid, 112)).min(axis=2) < 250
    assert ((alpha > 10) == on_white).mean() > 0.98


def test_a_strip_holds_one_shape_a_moment() -> None:
    empty, full = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    alpha = np.asarray(decoded(figures.strip([empty, full, empty])).convert("RGBA"))[..., 3]
    third = figures.SHAPE_PX
    assert alpha.shape == (third, 3 * third)
    assert [bool((alpha[:, n * third : (n + 1) * third] > 128).any()) for n in range(3)] == [False, True, False]


# ---- charts --------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.5, 2.1), (0.08, 0.14), (3, 3), (0, 0), (10, 64_000), (-7, -7)])
def test_ticks_are_round_and_around_everything(low: float, high: float) -> None:
    ticks = charts.round_steps(low, high, 5)
    steps = np.diff(ticks)
    assert ticks[0] <= low and high <= ticks[-1] and 2 <= len(ticks) <= 8
    assert np.allclose(steps, steps[0]) and f"{steps[0]:e}"[0] in "125"


def test_a_chart_puts_points_where_its_ticks_say() -> None:
    chart = charts.chart("IoU", [Curve("a", [0, 500, 1000], [0.2, 0.3, 0.4])], 1000, level=("mean", 0.3))
    x = {label: at for at, label in chart["x_ticks"]}
    y = {label: at for at, label in chart["y_ticks"]}
    assert chart["curves"][0]["points"] == [
        (x["0"], y["0.2"]),
        pytest.approx(((x["0"] + x["1,000"]) / 2, y["0.3"])),
        (x["1,000"], y["0.4"]),
    ]
    assert chart["level"] == ("mean", y["0.3"]) and y["0.4"] < y["0.2"], "up is more"
    assert chart["alt"] == "IoU: a from 0.2 after 0 samples to 0.4 after 1,000"


def test_a_logarithmic_axis_needs_positive_numbers_of_several_sizes() -> None:
    def ticks(*values: float) -> list[str]:
        chart = charts.chart("loss", [Curve("a", range(len(values)), values)], 10, log=True)
        return [label for _, label in chart["y_ticks"]]

    assert ticks(3, 4000) == ["1", "10", "100", "1,000", "10,000"]
    assert "0" in ticks(-3, 4000) and "0" in ticks(0, 4000)
    assert ticks(300, 400)[0] == "300"


def test_alarms_last_from_raised_to_cleared() -> None:
    found = [("cube", 80, True), ("collapse", 80, True), ("cube", 160, False), ("cube", 240, True), ("empty", 9, False)]
    spans = charts.spans([{"alarm": a, "samples": n, "raised": raised} for a, n, raised in found])
    assert spans == [Alarm("collapse", 80, None), Alarm("cube", 80, 160), Alarm("cube", 240, None)]
    assert charts.in_words(spans[1]) == "cube: raised after 80 samples, cleared after 160"
    chart = charts.chart("IoU", [Curve("a", [0, 320], [0, 1])], 320, alarms=spans, named=True)
    lanes = {alarm["name"]: alarm["y"] for alarm in chart["alarms"]}
    assert len(set(lanes.values())) == 2 and max(lanes.values()) + charts.LANE <= chart["top"]
    end = charts.WIDTH - charts.RIGHT
    assert chart["alarms"][0]["from"] + chart["alarms"][0]["width"] == pytest.approx(end), "still raised: to the end"


# ---- readers -------------------------------------------------------------------------------


def test_unfinished_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"', encoding="utf-8")
    assert gather.read_lines(path) == [{"a": 1}, {"a": 2}]
    path.write_text('{"a": 1}\n{"a\n{"a": 2}\n', encoding="utf-8")
    with pytest.raises(UserError, match="cannot read a result\n  where: .*metrics.jsonl"):
        gather.read_lines(path)


def test_timings_are_summed_over_jobs(tmp_path: Path) -> None:
    for shard, row in (("000", "1.5\t100"), ("001", "2.5\t90"), ("002", "NA\tNA")):
        path = tmp_path / "benchmarks" / "render" / f"d-{shard}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\n{row}\n", encoding="utf-8")
    (tmp_path / "benchmarks" / "report.tsv").write_text("s\tmax_rss\n0.1\t-\n", encoding="utf-8")
    assert gather.timings(tmp_path) == [
        {"rule": "render", "jobs": 3, "seconds": 4.0, "longest": 2.5, "peak_mb": 100.0},
        {"rule": "report", "jobs": 1, "seconds": 0.1, "longest": 0.1, "peak_mb": None},
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_a_damaged_archive_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "samples.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read a result\n  where: .*samples.npz"):
        gather.arrays(path)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "shards" / "d"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="cannot read a result\n  where: .*index.json"):
        gather.datasets(tmp_path)
    (folder / "index.json").write_text(json.dumps({}), encoding="utf-8")
    assert [facts.name for facts in gather.datasets(tmp_path)] == ["d"]


# ---- sentences and places ------------------------------------------------------------------


def test_voxel_quality_names_the_worst_shape_and_counts_parts_exactly() -> None:
    record = {
        "mode": "robust",
        "engine": "builtin",
        "watertight": True,
        "odd_lines": [0.0, 0.02, 0.0],
        "parts": 1,
        "surface_parts": 2,
        "bounded_parts": 1,
        "duplicate_faces": 0,
    }
    good = {**record, "shape_id": "d/c/good", "thin_recall": 1.0, "occupancy": 0.2}
    bad = {**record, "shape_id": "d/c/bad", "thin_recall": 0.5, "occupancy": 0.01, "parts": 3, "watertight": False}
    grown = {**good, "shape_id": "d/c/grown", "parts": 1, "bounded_parts": 2}
    found = dataset.voxels([good, bad, grown, {"shape_id": "d/c/given", "mode": "given"}], [0.002, 0.004])
    rows = {row["title"]: row for row in found}
    assert list(rows) == ["made by", "meshes", "thin parts", "parts", "occupancy"]
    assert "2 of 3 are watertight" in rows["meshes"]["words"] and "3.0 ms a shape" in rows["made by"]["words"]
    assert rows["meshes"]["words"].endswith("0 meshes have doubled faces")
    assert "mean 0.833, least 0.500" in rows["thin parts"]["words"]
    assert rows["thin parts"]["shapes"] == [{"id": "c/bad", "hash": "shape=c%2Fbad"}], (
        "as the gallery's address says it"
    )
    assert rows["parts"]["words"] == "1 of 3 hang together exactly as their surfaces do; 2 not"
    assert [shape["id"] for shape in rows["parts"]["shapes"]] == ["c/bad", "c/grown"]
    assert [shape["id"] for shape in rows["occupancy"]["shapes"]] == ["c/bad", "c/good"]
    assert dataset.voxels([], []) == []


def test_moments_are_spread_with_both_ends() -> None:
    paths = [Path(str(n)) for n in range(100)]
    some = timeline.spread(paths, 24)
    assert len(set(some)) == 24 and (some[0], some[-1]) == (paths[0], paths[-1])
    assert timeline.spread(paths[:5], 24) == paths[:5]


def test_groups_are_the_middle_and_both_ends() -> None:
    found = {title.split(",")[0]: list(rows) for title, rows in experiment.groups(9, 3)}
    assert found == {"the median": [3, 4, 5], "the best": [8, 7, 6], "the worst": [0, 1, 2]}
    assert [list(rows) for _, rows in experiment.groups(3, 3)] == [[2, 1, 0]]


def test_categories_of_a_map_all_look_different() -> None:
    looks = [tuple(latent._look(kind).values()) for kind in range(latent.COLOURS * latent.MARKS)]
    assert len(set(looks)) == len(looks)
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(looks))


def test_a_map_keeps_proportions_and_stays_inside() -> None:
    points = np.array([[0, 0], [10, 0], [0, 2], [10, 2]], np.float32)
    places = np.array(latent._places(points))
    assert (places >= 0).all() and (places[:, 0] <= latent.WIDTH).all() and (places[:, 1] <= latent.HEIGHT).all()
    across, up = places[1] - places[0], places[2] - places[0]
    assert across[1] == up[0] == 0 and across[0] == pytest.approx(-5 * up[1], rel=0.01), "y up, one scale"
