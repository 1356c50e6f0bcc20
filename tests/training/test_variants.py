"""Every preset of the table trains, and the table says what the model file says."""

from __future__ import annotations

import math
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import parse
from pipeline.errors import UserError
from pipeline.settings.training import Experiment, Preset
from pipeline.settings.training_presets import PRESETS
from tests.training.tiny_world import settings, write_world
from training import measure, metrics
from training.data import ShapeData
from training.loop import training_loop
from training.model import load_model
from training.run_files import read_metrics


def quick(preset: str, **changes: object) -> Experiment:
    """The preset at a tiny width; several views stay several."""
    views = {"views_per_shape": 2} if PRESETS[preset].get("views_per_shape", 1) > 1 else {}
    ema = {"ema": PRESETS[preset].get("ema", 0.98)}
    return settings(
        **{
            "preset": preset,
            "batch": 4,
            "width": 0.0625,
            "encoder_width": 0.0625,
            "samples": 16,
            "adversarial_every": 1,
            **views,
            **ema,
            **changes,
        }
    )


def test_the_table_and_the_type_name_the_same_presets() -> None:
    assert set(typing.get_args(Preset)) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_its_own_json(preset: str) -> None:
    one = Experiment(datasets=("a",), preset=preset)  # type: ignore[arg-type]
    assert Experiment.model_validate_json(one.model_dump_json()) == one
    for key, value in PRESETS[preset].items():
        assert getattr(one, key) == value
    assert Experiment.model_validate({"datasets": ["a"], "preset": preset, "batch": 7}).batch == 7


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"small"}))
def test_every_preset_trains_with_finite_numbers(preset: str, boxes: Path, tmp_path: Path) -> None:
    training_loop(quick(preset), tmp_path, [boxes])
    values = [value for line in read_metrics(tmp_path) for value in line.values() if isinstance(value, float)]
    assert len(values) > 10 and all(math.isfinite(value) for value in values)


def test_soft_labels_train_too(boxes: Path, tmp_path: Path) -> None:
    assert training_loop(quick("paper-3dvaegan", soft_labels=True), tmp_path, [boxes])["samples"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "mv-3dvaegan-max", "mv-3dvaegan-mean", "three-projections",
                                    "resnet-encoder"])  # fmt: skip
def test_a_variant_learns_eight_shapes_by_heart(preset: str, tmp_path: Path) -> None:
    index = write_world(tmp_path / "world", 16)
    together = 2 if preset.startswith("mv") else 1
    experiment = settings(
        preset=preset,
        samples=6000,
        encoder_width=0.125,
        width=0.25,
        kl_weight=0.05,
        ema=0.9,
        adversarial_weight=0,
        mirror=False,
        validate_every=6000,
        latent=32,
        views_per_shape=together,
    )
    training_loop(experiment, tmp_path / "run", [index])
    model = load_model(tmp_path / "run" / "checkpoints" / "000006000.safetensors", torch.device("cpu"))
    train = ShapeData.open([index], "train")
    objects = np.arange(len(train))
    views = np.tile(np.arange(together), (len(train), 1))
    levels = measure.predict(model.networks, model.settings, train, objects, views)
    curves = metrics.iou_curve(levels, measure.truth(train, objects))
    assert len(train) == 8 and curves[:, metrics.best_threshold(curves)].mean() >= 0.9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasets": []}, "name at least one data set"),
        ({"datasets": ["a"], "preset": "demoo"}, "preset"),
        ({"datasets": ["a"], "encoder": "none", "adversarial_weight": 0, "reconstruction_weight": 0},
         "nothing to learn from"),
        ({"datasets": ["a"], "encoder": "none"}, "cannot reconstruct"),
        ({"datasets": ["a"], "encoder_input": "projections", "views_per_shape": 2}, "set views_per_shape to 1"),
        ({"datasets": ["a"], "adversarial": "wgan-gp", "discriminator_norm": True}, "set discriminator_norm to false"),
        ({"datasets": ["a"], "sample": 5}, "did you mean 'samples'"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_before_any_job(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Experiment, values, "config.yaml")
