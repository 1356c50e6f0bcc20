"""Evaluation on cases with known answers, and the command line around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.formats.results import centre
from pipeline.settings.evaluation import Evaluation
from pipeline.state.files import read_state
from tests.figures import bare_numbers, figures
from tests.training.tiny_world import box, settings, write_world
from training import evaluate
from training.command.train import main
from training.data.shapes import ShapeData
from training.evaluation import baselines, reconstruction, tables
from training.inference import predict, validation
from training.inference.model import load_model
from training.inference.predict import mean_levels, truth
from training.loop import training_loop
from training.parallel import choose_device

FEW = Evaluation(samples=12, chamfer_shapes=4, points=64, views=(1, 2, 9), latent_shapes=20, interpolations=2, steps=3)
FILES = ("results.json", "results.md", "predictions.npz", "samples.npz", "latent.npz", "interpolations.npz")


@pytest.fixture(scope="module")
def trained(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained")
    training_loop(settings(samples=320, adversarial_every=8, validate_every=160), run, [boxes])
    return run


@pytest.fixture(scope="module")
def results(trained: Path, boxes: Path) -> dict[str, Any]:
    return evaluate.evaluate(trained, [boxes], trained / "results.json", FEW)


def test_results_say_what_was_measured_where(results: dict[str, Any], trained: Path) -> None:
    assert read_state(trained / "results.json") == results
    assert (results["measured_on"], results["tuned_on"]) == ("test", "val")
    assert results["shapes"] == {"train": 12, "val": 6, "test": 6}
    assert 0 < results["threshold"] <= 1
    assert sum(category["shapes"] for category in results["categories"].values()) == 6
    assert results["margin"]["mean_shape"]["mean"] == pytest.approx(
        results["iou"]["mean"] - results["baselines"]["mean_shape"]["iou"]["mean"], abs=2e-6
    )
    assert [line["samples"] for line in results["figures"]["looks"]] == [160, 320]
    assert "this network" in tables.table(results)


def test_predictions_are_sorted_and_whole(results: dict[str, Any], trained: Path) -> None:
    with np.load(trained / "predictions.npz") as file:
        assert file["image"].shape == (6, 32, 32, 3) and file["image"].dtype == np.uint8
        bits = np.unpackbits(file["truth"], axis=1).astype(bool)
        predicted = file["levels"] >= file["threshold"]
        again = (bits & predicted).sum(1) / (bits | predicted).sum(1)
        np.testing.assert_allclose(file["iou"], again, rtol=1e-6)
        assert (np.diff(file["iou"]) >= 0).all()
        for shape_id, row in zip(file["id"], bits, strict=True):
            assert np.array_equal(row, box(int(shape_id.split("/")[-1])).reshape(-1))
    with np.load(trained / "samples.npz") as file:
        assert np.unpackbits(file["bits"], axis=1).mean() == pytest.approx(
            results["samples"]["occupancy"]["mean"], abs=1e-6
        )


def test_evaluation_twice_gives_the_same_bytes(
    results: dict[str, Any], trained: Path, boxes: Path, tmp_path: Path
) -> None:
    evaluate.evaluate(trained, [boxes], tmp_path / "results.json", FEW)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_a_network_that_knows_the_answers_has_iou_one(
    trained: Path, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def oracle(_: object, data: ShapeData, objects: Any, __: object) -> Any:
        return np.where(truth(data, objects), 200, 50).astype(np.uint8)

    monkeypatch.setattr(reconstruction, "predict", oracle)
    perfect = evaluate.evaluate(trained, [boxes], tmp_path / "results.json", FEW)
    assert perfect["iou"]["mean"] == 1.0 and perfect["overfit"]["gap"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert 50 / 255 < perfect["threshold"] <= 200 / 255
    assert perfect["verdict"]["passed"] is True
    scores = perfect["surface"]["scores"]["network"]
    assert {name: one["mean"] for name, one in scores.items()} == {
        "chamfer": 0.0,
        "f_score": 1.0,
        "f_score_voxel": 1.0,
        "average_precision": 1.0,
    }
    assert perfect["r2n2"]["category_mean"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert set(perfect["iou_by_views"]) == {"1", "2"}, "there are three views, so nine are not shown"


def test_baselines_on_shapes_they_have_seen(boxes: Path) -> None:
    train = ShapeData.open([boxes], "train")
    # Two boxes of different depth may look the same from the front.
    assert (baselines.nearest_pixels(baselines.PictureBank(train), train, train).iou == 1.0).sum() >= len(train) - 2
    one = ShapeData.open([boxes], "train", categories=["box"])
    mean = mean_levels(one, np.array([0]))
    assert np.array_equal(mean > 0, truth(one, np.array([0]))[0])
    samples = truth(train, np.arange(3))
    assert [found.tolist() for found in baselines.nearest_training(samples, train)] == [[0, 1, 2], [1.0, 1.0, 1.0]]
    assert 0 < baselines.random_shape(train, train, 1).iou.mean() < 1
    assert baselines.class_mean_shape(train, train, train).iou.mean() > 0.3


def test_the_mean_shape_is_cut_where_validation_shapes_like_it(boxes: Path) -> None:
    train, val, test = (ShapeData.open([boxes], split) for split in ("train", "val", "test"))
    best = baselines.mean_shape(train, val, val)
    level = mean_levels(train, np.arange(len(train)))
    answers = truth(val, np.arange(len(val)))
    for threshold in (20, 90, 160, 230):
        cut = np.broadcast_to(level >= threshold, answers.shape)
        assert best.iou.mean() >= ((cut & answers).sum(1) / (cut | answers).sum(1)).mean()
    assert baselines.mean_shape(train, val, test).threshold == best.threshold


@pytest.mark.parametrize(
    ("margin", "where", "passed", "words"),
    [
        (0.15, "test", True, "has learned to see"),
        (0.05, "test", False, "has NOT learned enough"),
        (0.3, "val", None, "says nothing about new shapes"),
    ],
)
def test_verdict(margin: float, where: str, passed: bool | None, words: str) -> None:
    interval = {"mean": margin, "low": margin - 0.01, "high": margin + 0.01}
    said = evaluate.verdict(
        {
            "iou": {"mean": 0.2 + margin},
            "margin": {"mean_shape": interval},
            "measured_on": where,
            "baselines": {"mean_shape": {"iou": {"mean": 0.2}}},
            "shapes": {where: 9},
        }
    )
    assert said["passed"] is passed and words in said["sentence"]


def test_without_an_encoder_only_samples_are_measured(boxes: Path, tmp_path: Path) -> None:
    experiment = settings(preset="paper-3dgan", samples=32, width=0.125)
    training_loop(experiment, tmp_path, [boxes])
    results = evaluate.evaluate(tmp_path, [boxes], tmp_path / "results.json", FEW)
    assert "iou" not in results and results["verdict"]["passed"] is None and results["samples"]["count"] == 12
    assert results["classification"]["accuracy"]["discriminator"]["mean"] > 0
    assert "no encoder" in tables.table(results)
    # The files of the workflow are there all the same, without rows.
    for name, member in (("predictions", "id"), ("latent", "id"), ("interpolations", "ids")):
        with np.load(tmp_path / f"{name}.npz") as file:
            assert len(file[member]) == 0


def test_samples_come_with_their_nearest_training_shapes(results: dict[str, Any], trained: Path) -> None:
    with np.load(trained / "samples.npz") as file:
        assert len(file["levels"]) == 12
        one, other = (np.unpackbits(file[name], axis=1).astype(bool) for name in ("bits", "nearest_bits"))
        np.testing.assert_allclose(file["nearest_iou"], reconstruction.metrics.iou(one, other), rtol=1e-6)
        for shape_id, row in zip(file["nearest_id"], other, strict=True):
            assert np.array_equal(row, box(int(shape_id.split("/")[-1])).reshape(-1))
        assert results["samples"]["nearest_training"]["mean"] == pytest.approx(file["nearest_iou"].mean(), abs=1e-6)


def test_generation_is_measured_beside_training_shapes_and_the_mean_shape(results: dict[str, Any]) -> None:
    found = results["generation"]
    assert set(found) == {"network", "training_shapes", "mean_shape"}
    assert found["network"]["iou"]["shapes"] == 6 and found["network"]["chamfer"]["shapes"] == 4
    assert found["mean_shape"]["iou"]["cov"]["mean"] == pytest.approx(1 / 6, abs=1e-6)
    assert found["training_shapes"]["iou"]["cov"]["mean"] > found["mean_shape"]["iou"]["cov"]["mean"]


def test_which_shapes_are_compared_does_not_depend_on_their_order(boxes: Path) -> None:
    """Not the first of the alphabet: the same ones whatever the order of the shapes in the data set."""
    data, turned = ShapeData.open([boxes], "test"), ShapeData.open([boxes], "test")
    turned.records = turned.records[::-1]
    turned.voxels_bits = turned.voxels_bits[::-1].copy()
    one, other = (truth(one, predict.by_hash(one, "generation"))[:3] for one in (data, turned))
    assert np.array_equal(one, other)
    assert predict.by_hash(data, "generation").tolist() != sorted(range(len(data)))


def turned(data: ShapeData, order: Sequence[int]) -> ShapeData:
    """The same shapes in another order."""
    data.records = [data.records[i] for i in order]
    data.voxels_bits, data.labels = data.voxels_bits[list(order)], data.labels[list(order)]
    data._place = data._place[list(order)]
    assert data._pictures is not None
    data._pictures = data._pictures.reshape(len(order), -1)[list(order)].reshape(data._pictures.shape)
    return data


@settings_of_hypothesis(max_examples=5, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(12)))
def test_samples_are_compared_with_the_same_shapes_in_any_order(
    boxes: Path, few: Sequence[int], many: Sequence[int]
) -> None:
    """All of the Chamfer distances, JSD and 1-NNA, with fewer shapes compared than there are."""
    grids = np.stack([box(100 + number).reshape(-1) for number in range(8)])

    def measured(held_out: ShapeData, train: ShapeData) -> dict[str, Any]:
        splits = reconstruction.Splits(train, held_out, held_out, "test", "test")
        known = truth(held_out, predict.by_hash(held_out, "generation"))
        found: dict[str, Any] = evaluate._generation(grids, known, splits, FEW, 1, 1, None)
        return found

    test, train = (ShapeData.open([boxes], split) for split in ("test", "train"))
    wanted = measured(test, train)
    assert measured(turned(test, few), turned(train, many)) == wanted


def test_a_validation_compares_samples_with_the_same_shapes_in_any_order(
    trained: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More validation shapes than samples: which of them are compared is a question of their ids."""
    monkeypatch.setattr(validation, "SAMPLES", 3)
    networks = load_model(trained, choose_device("cpu")).networks
    found = []
    for order in (range(6), (5, 3, 1, 0, 2, 4)):
        data, train = turned(ShapeData.open([boxes], "val"), order), ShapeData.open([boxes], "train")
        found.append(validation.Validator(data, train, shapes=6, views=1)(networks).as_json())
    assert found[0] == found[1] and found[0]["mean_shape_iou"] > 0


def test_near_duplicates_of_training_shapes_are_counted(boxes: Path, results: dict[str, Any]) -> None:
    train = ShapeData.open([boxes], "train")
    splits = reconstruction.Splits(train, train, train, "train", "train")
    assert evaluate.near_duplicates(splits) == {"shapes": 12, "of": 12, "iou": 0.95}
    assert results["near_duplicates"]["of"] == 6


def test_results_md_says_every_number_with_its_baselines(results: dict[str, Any], trained: Path) -> None:
    text = (trained / "results.md").read_text(encoding="utf-8")
    assert f"| this network | {results['iou']['mean']:.3f} (" in text
    for words in (
        "mean shape",
        "nearest pixels",
        "class mean shape (privileged)",
        "1-NNA, Chamfer",
        "## Surfaces",
        "## Classification",
        "majority",
        "R2N2",
        "2 pictures",
    ):
        assert words in text


def test_every_figure_has_its_interval(results: dict[str, Any], trained: Path) -> None:
    """Of what has none, nothing is a statistic over shapes: settings, thresholds and the training's own curves."""
    measured = {key: value for key, value in results.items() if key not in ("evaluation", "figures")}
    settled = {
        "threshold",
        "samples.threshold",
        "near_duplicates.iou",
        "baselines.mean_shape.threshold",
        "r2n2.threshold",
        "surface.tau",
        "verdict.required",
    }
    penalties = {f"classification.accuracy.{name}.C" for name in ("voxels", "random_weights", "discriminator")}
    assert set(bare_numbers(measured)) == settled | penalties
    text = (trained / "results.md").read_text(encoding="utf-8")
    forms = ("{:.3f}", "{:.4f}", "{:+.3f}", "{:.1%}")
    found = list(figures(measured))
    missing = [one for one in found if not any(tables.interval(one, form) in text for form in forms)]
    assert len(found) > 60 and missing == []
    assert all(one["low"] <= centre(one) <= one["high"] for one in found)


def test_predictions_do_not_depend_on_the_batch_of_evaluation(
    trained: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = evaluate.load_model(trained, evaluate.choose_device("cpu"))
    data = ShapeData.open([boxes], "val")
    views = np.zeros((len(data), 1), np.int64)
    whole = predict.predict(model.networks, data, np.arange(len(data)), views)
    monkeypatch.setattr(predict, "BATCH", 1)
    single = predict.predict(model.networks, data, np.arange(len(data)), views)
    assert np.abs(whole.astype(int) - single.astype(int)).max() <= 1


def test_shards_that_do_not_fit_are_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = write_world(tmp_path, 8)
    monkeypatch.setattr(evaluate, "open_splits", lambda *_: _other_size(index))
    with pytest.raises(UserError, match="these shards do not fit the run"):
        evaluate.evaluate(trained, [index], tmp_path / "results.json")


def _other_size(index: Path) -> evaluate.Splits:
    data = ShapeData.open([index], "train")
    data.size_px = 64
    return evaluate.Splits(data, data, data, "train", "train")


def test_command_line_trains_and_evaluates(boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = settings(samples=16).model_dump_json()
    run = str(tmp_path / "run")
    assert main(["train", "--name", "x", "--seed", "1", "--settings", text, "--shards", str(boxes), "--run", run]) == 0
    assert main(["evaluate", "--run", run, "--shards", str(boxes), "-o", f"{run}/results.json"]) == 0
    out = capsys.readouterr()
    assert "train x: 16 samples, best validation IoU" in out.err and "held-out IoU" in out.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--run", "{tmp}", "--shards", "{boxes}", "-o", "{tmp}/r.json"], "holds no training run"),
        (
            ["train", "--settings", '{"datasets": ["a"], "presett": 1}', "--shards", "{boxes}", "--run", "{tmp}"],
            "unknown key `presett`; did you mean 'preset'",
        ),
        (
            [
                "train",
                "--settings",
                '{"datasets": ["a"], "device": "cpu"}',
                "--shards",
                "{tmp}/none.json",
                "--run",
                "{tmp}/x",
            ],
            "none.json",
        ),
        (
            [
                "train",
                "--settings",
                '{"datasets": ["a"], "views_per_shape": 9}',
                "--shards",
                "{boxes}",
                "--run",
                "{tmp}/y",
            ],
            "views",
        ),
    ],
)
def test_bad_input_is_one_clear_message(
    arguments: list[str], message: str, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([text.replace("{tmp}", str(tmp_path)).replace("{boxes}", str(boxes)) for text in arguments]) == 1
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if not line.startswith(("  ", "run: on the "))]
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in err
