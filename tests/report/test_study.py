"""Pictures of several experiments side by side."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.study import pictures as study
from benchmarks.study.categories import one_nna
from benchmarks.study.warped import warped
from pipeline.errors import UserError
from tests.report.report_world import make_data, make_experiment


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_data(tmp_path_factory.mktemp("study"))
    for name in ("one", "two"):
        make_experiment(folder, name)
    make_experiment(folder, "gan", encoder=False)
    return folder


def test_every_experiment_has_its_curve_and_its_column(root: Path, tmp_path: Path) -> None:
    files = study.write_study(root, ["one", "two"], tmp_path / "docs" / "x")
    assert [path.name for path in files] == ["x-curves.svg", "x-shapes.png", "x-samples.png", "x-photographs.png"]
    svg = ET.fromstring(files[0].read_text(encoding="utf-8"))
    words = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"one", "two", "samples seen"} <= set(words)
    with np.load(root / "runs" / "one" / "predictions.npz") as table:
        rows = min(study.SHAPES, len(table["id"]))
    with Image.open(files[1]) as sheet:
        assert sheet.size == (
            4 * (study.TILE + 2 * study.GAP),
            study.HEAD + rows * (study.TILE + study.LABEL + study.GAP),
        )
        tile = np.asarray(sheet)[study.HEAD : study.HEAD + study.TILE, 2 * (study.TILE + 2 * study.GAP) :][
            :, : study.TILE
        ]
        assert (tile != 255).any(), "an answer is drawn"


def test_samples_are_the_first_of_each_and_photographs_those_of_the_one_judged(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[tuple[list[str], list[list[study.Tile]]]] = []
    monkeypatch.setattr(study, "_sheet", lambda heads, rows: sheets.append((heads, rows)) or Image.new("RGB", (1, 1)))
    study.write_study(root, ["one"], tmp_path / "x", sampled=["two", "gan"], judged="two")
    assert [heads[0] for heads, _ in sheets] == ["picture", "two", "best"]
    heads, rows = sheets[1]
    assert heads == ["two", "gan"] and len(rows) == study.SAMPLES
    for column, name in enumerate(heads):
        with np.load(root / "runs" / name / "samples.npz") as table:
            wanted = [f"nearest {value:.2f}" for value in table["nearest_iou"][: study.SAMPLES]]
        assert [row[column][1] for row in rows] == wanted
    with np.load(root / "runs" / "two" / "photographs.npz") as table:
        best = table[f"{table['sets'][0]}/ap_aligned"].max()
    assert f"aligned {best:.2f}" in sheets[2][1][0][2][1]


def test_shapes_go_from_the_best_to_the_worst_of_the_first_experiment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[list[list[study.Tile]]] = []
    monkeypatch.setattr(study, "_sheet", lambda heads, rows: sheets.append(rows))
    study.shapes([root / "runs" / "two", root / "runs" / "one"])
    found = [float(tiles[2][1].removeprefix("IoU ")) for tiles in sheets[0]]
    assert found == sorted(found, reverse=True) and len(found) > 1


@pytest.mark.parametrize(
    ("names", "category", "message"),
    [
        (["gan"], None, "none of these experiments has reconstructed"),
        (["one"] * 9, None, "at most 8 curves"),
        (["one"], "zeppelin", "no photographs of this category"),
        (["none"], None, "none/results.json"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    root: Path, tmp_path: Path, names: list[str], category: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        study.write_study(root, names, tmp_path / "x", category=category)


@pytest.mark.parametrize("seed", range(5))
def test_a_warped_shape_keeps_its_order_its_halves_alike_and_its_longest_side(seed: int) -> None:
    half = np.random.default_rng(0).uniform(-0.4, 0.4, (40, 3))
    points = np.concatenate([half, half * [-1, 1, 1]])
    found = warped(points, np.random.default_rng(seed))
    assert np.allclose(found[:40], found[40:] * [-1, 1, 1], atol=1e-6)
    assert all((np.argsort(found[:, axis]) == np.argsort(points[:, axis])).all() for axis in (1, 2))
    assert np.allclose(found.max(axis=0), -found.min(axis=0), atol=1e-6)
    assert np.ptp(found, axis=0).max() == pytest.approx(np.ptp(points, axis=0).max(), abs=1e-6)
    assert not np.allclose(found, points, atol=0.01)


def test_sets_within_a_category_are_told_apart_by_their_nearest_neighbours() -> None:
    near, far = np.zeros((2, 4, 64), bool)
    for number in range(4):
        near[number, : 8 + number] = far[number, 40 : 50 + number] = True
    assert (one_nna(near, far), one_nna(near, near)) == (1.0, 0.0)
