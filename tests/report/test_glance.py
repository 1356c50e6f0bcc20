"""The first screen of the report: it says what the numbers say, in words, and nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from report import glossary
from report.gather import experiments, read_json
from report.glance import discriminator, glance, in_plain_words, numbers, typical_shapes
from report.tables import figure
from report.words import counted
from tests.report.report_world import make_data, make_experiment


def interval(mean: float, half: float = 0.01) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def results(margin: float, *, passed: bool | None = True, measured_on: str = "test") -> dict[str, Any]:
    return {
        "iou": interval(0.44),
        "baselines": {name: {"iou": interval(iou)} for name, iou in (("mean_shape", 0.22), ("class_mean_shape", 0.45))},
        "margin": {"mean_shape": interval(0.22), "class_mean_shape": interval(margin)},
        "verdict": {"passed": passed},
        "measured_on": measured_on,
        "shapes": {"test": 1, "val": 3},
    }


@pytest.mark.parametrize(
    "margin, words",
    [
        (0.05, "does better (+0.050) than the mean shape of the true category: it sees more than the kind of object"),
        (0.005, "does no better than the mean shape of the true category (+0.005)"),
        (-0.005, "does no better than the mean shape of the true category (-0.005)"),
        (-0.05, "does worse than the mean shape of the true category (-0.050)"),
    ],
)
def test_the_privileged_mean_of_the_category_is_named_and_an_interval_across_zero_is_no_success(
    margin: float, words: str
) -> None:
    said = in_plain_words(results(margin))
    assert "rebuilds a shape 2.0 times as well as an answer that never looks" in said[0]
    assert words in said[1]
    assert ("mostly the kind of object" in said[1]) == (margin < 0.01)


def test_a_network_that_failed_is_not_praised_and_one_without_test_shapes_is_not_measured() -> None:
    assert "little better than an answer that never looks" in in_plain_words(results(0.0, passed=False))[0]
    assert "nothing here says" in in_plain_words(results(0.0, passed=None, measured_on="val"))[0]
    assert [n["value"] for n in numbers(results(0.0))] == ["0.44", "0.22", "0.45"]
    assert numbers(results(0.0))[0]["note"] == "mean of 1 shape it has never seen"


def losses(*accuracy: float | None) -> dict[str, Any]:
    lines = [{"samples": 100 * (n + 1), "d_accuracy": one} for n, one in enumerate(accuracy)]
    return {"figures": {"losses": lines}}


@pytest.mark.parametrize(
    "accuracy, since",
    [
        ([0.5, *[1.0] * 39], "from 5% of the training on"),
        ([0.5, *[1.0] * 20, 0.98, *[1.0] * 18], "from 5% of the training on"),  # one weak moment is none
        ([*[0.6] * 19, *[1.0] * 21], "from 50% of the training on"),
        ([0.995] * 200, "from the start"),
    ],
)
def test_a_discriminator_that_is_always_right_is_called_so(accuracy: list[float], since: str) -> None:
    (said,) = discriminator(losses(*accuracy))
    assert f"always right {since} (accuracy" in said and "little left to teach" in said


@pytest.mark.parametrize(
    "accuracy", [[], [None] * 4, [0.8] * 40, [*[1.0] * 20, *[0.8] * 20], [*[0.7] * 30, *[1.0] * 10]]
)
def test_a_discriminator_that_is_sometimes_wrong_is_not(accuracy: list[float | None]) -> None:
    assert discriminator(losses(*accuracy)) == []


def test_one_shape_has_no_interval() -> None:
    assert figure({"mean": 0.5, "low": 0.5, "high": 0.5}) == {"text": "0.500", "small": ""}
    assert figure(interval(0.5))["small"] == "0.490 – 0.510"


def test_six_shapes_at_most_are_shown_a_median_of_each_category_first(tmp_path: Path) -> None:
    root = make_data(tmp_path)
    make_experiment(root, "full")
    make_experiment(root, "prior", encoder=False)
    runs = experiments(root)
    found = glance(runs)
    assert found is not None and found["name"] == "full" and found["iou"].startswith("IoU (intersection")
    captions = [shape["caption"] for shape in found["shapes"]]
    assert 1 < len(captions) <= 6 and captions[0].partition(" · ")[0].endswith(", the median one")
    prior = next(run for run in runs if run.name == "prior")
    assert typical_shapes(prior) == [] and glance([]) is None
    assert "draws shapes and reads no pictures" in in_plain_words(read_json(prior.folder / "results.json"))[0]
    assert [n["title"] for n in numbers(prior.results)][0].startswith("IoU of a sample")


def test_the_glossary_is_the_document(tmp_path: Path) -> None:
    parts = {part["title"]: dict(part["words"]) for part in glossary.glossary()}
    assert parts["Reconstruction"]["iou"].startswith("intersection over union")
    assert ".cov" in parts["Samples from the prior"] and "`" not in str(parts)
    assert glossary.glossary(tmp_path / "absent.md") == []


def test_counts_have_their_number() -> None:
    assert [counted(n, "shape") for n in (0, 1, 2)] == ["0 shapes", "1 shape", "2 shapes"]
    assert counted(1, "category", "categories") == "1 category"
