"""The discriminator as a classifier."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.seeds import generator
from tests.training.tiny_world import fixed, settings
from training.command.train import main
from training.data.shapes import ShapeData
from training.evaluation import classify
from training.inference.model import Model, load_model
from training.loop import training_loop
from training.networks.build import initialise
from training.networks.volumes import Discriminator
from training.parallel import choose_device


def test_the_papers_network_has_7168_features() -> None:
    """128 @ 16^3, 256 @ 8^3, 512 @ 4^3 pooled with kernels 8, 4, 2; training.md's count."""
    discriminator = Discriminator(64, 1.0).eval()
    initialise(discriminator, 1)
    layers = discriminator.features((torch.rand(1, 1, 64, 64, 64, generator=fixed()) < 0.1).float(), 0)[1:]
    assert [tuple(x.shape[1:]) for x in layers] == [(128, 16, 16, 16), (256, 8, 8, 8), (512, 4, 4, 4)]
    pooled = [torch.nn.functional.max_pool3d(x, kernel).flatten(1) for x, kernel in zip(layers, (8, 4, 2))]
    own = [torch.nn.functional.adaptive_max_pool3d(x, classify.CELLS).flatten(1) for x in layers]
    assert sum(x.shape[1] for x in own) == 7168
    assert all(torch.equal(one, other) for one, other in zip(pooled, own, strict=True))


def test_features_are_those_of_the_checkpoint_and_not_of_the_batch(
    model: Model, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ShapeData.open([boxes], "train")
    discriminator = classify.load_discriminator(model)
    assert discriminator is not None
    whole = classify.features(discriminator, data)
    assert whole.shape[0] == 12 and len(np.unique(whole.round(6), axis=0)) > 6
    monkeypatch.setattr(classify, "BATCH", 5)
    np.testing.assert_allclose(classify.features(discriminator, data), whole, rtol=1e-3, atol=1e-4 * whole.max())


def test_svm_separates_what_a_line_separates() -> None:
    rng = generator(1, "svm")
    centres = rng.normal(size=(3, 20)) * 4
    labels = np.array(list("abc"))[np.arange(90) % 3]
    rows = (centres[np.arange(90) % 3] + rng.normal(size=(90, 20))).astype(np.float32)
    predicted, penalty = classify.svm(rows[:60], labels[:60], rows[60:], rows[30:60], labels[30:60])
    assert (predicted == labels[60:]).all() and penalty == min(classify.PENALTIES)
    assert classify.svm(rows[:60], labels[:60], rows[60:])[1] == 1.0


def test_accuracy_comes_with_its_baselines(model: Model, boxes: Path) -> None:
    train, val, test = (ShapeData.open([boxes], split) for split in ("train", "val", "test"))
    found = classify.classify(model, train, val, test)
    assert set(found["accuracy"]) == {"majority", "voxels", "random_weights", "discriminator"}
    assert found["accuracy"]["majority"]["mean"] == 0.5, "boxes and crates take turns"
    assert found["shapes"] == {"train": 12, "tuning": 6, "test": 6}
    for one in found["accuracy"].values():
        assert 0 <= one["low"] <= one["mean"] <= one["high"] <= 1
    # On shapes it was fitted to, an SVM on the voxels makes no mistake.
    assert classify.classify(model, train, train, train)["accuracy"]["voxels"]["mean"] == 1.0
    assert found["unseen"] == 0
    alone = ShapeData.open([boxes], "train", categories=["box"])
    assert "at least two are needed" in classify.classify(model, alone, None, test)["skipped"]


def test_command_line(run: Path, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "classes.json"
    assert main(["classify", "--run", str(run), "--shards", str(boxes), "-o", str(out)]) == 0
    assert json.loads(out.read_text())["accuracy"]["discriminator"]["numbers"] > 0
    assert "majority 50.0%" in capsys.readouterr().err


def test_runs_without_a_discriminator_are_classified_by_voxels(boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(samples=16, adversarial_weight=0.0), tmp_path, [boxes])
    found = classify.classify_shards(load_model(tmp_path, choose_device("cpu")), [boxes])
    assert set(found["accuracy"]) == {"majority", "voxels"} and found["measured_on"] == "test"
