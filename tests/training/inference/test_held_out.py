"""An exported folder proves itself: the pictures it was measured on, and the same figure from them again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline.state.digests import sha256_of
from pipeline.state.files import read_state, write_state
from tests.training.evaluation.test_evaluate import FEW
from tests.training.tiny_world import settings
from tests.world import ROOT
from training.command.train import main
from training.evaluate import evaluate
from training.inference.held_out import TOLERANCE
from training.loop import training_loop

DEMO = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def exported(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    training_loop(settings(samples=640, adversarial_every=8), run, [boxes])
    evaluate(run, [boxes], run / "results.json", FEW)
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "--run", str(run), "--no-onnx", "-o", str(folder)]) == 0
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return "".join(capsys.readouterr())


def test_a_copy_makes_what_it_made_when_exported(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
        "held-out.npz",
    }
    with np.load(exported / "held-out.npz") as file:
        stated = float(file["iou"].mean())
    assert main(["check", "--run", str(exported)]) == 0
    # One picture at a time rounds otherwise than a batch, so a voxel at the threshold may fall on the other side.
    found = re.search(r"IoU (\S+) on 6 held-out shapes, (\S+) when exported", said(capsys))
    assert found is not None and found[2] == f"{stated:.4f}" and float(found[1]) == pytest.approx(stated, abs=TOLERANCE)
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "held-out.npz" in card and "onnx" not in card


def test_an_export_of_an_export_loses_nothing(exported: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["export", "--run", str(exported), "--no-onnx", "-o", str(again)]) == 0
    for path in exported.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    assert "Measured: IoU 0." in (again / "README.md").read_text(encoding="utf-8")


def test_a_copy_with_other_weights_is_found_out(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    weights = load_file(other / "model.safetensors")
    first = next(name for name in weights if name.startswith("E.") and weights[name].ndim > 1)
    save_file({**weights, first: -weights[first]}, other / "model.safetensors")
    assert main(["check", "--run", str(other)]) == 1
    assert "this exported model is not whole" in said(capsys)
    config = read_state(other / "config.json")
    sums = config["sha256"] | {"model.safetensors": sha256_of(other / "model.safetensors")}
    write_state(other / "config.json", config | {"sha256": sums})
    assert main(["check", "--run", str(other)]) == 1
    text = said(capsys)
    assert "does not make what it made" in text and "Traceback" not in text


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK\x03\x04 half")])
def test_a_folder_without_its_pictures_says_so(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    damage(other / "held-out.npz")
    assert main(["check", "--run", str(other)]) == 1
    assert "nothing to check this model against" in said(capsys)
    assert main(["reconstruct", str(photo(other)), "--run", str(other), "-o", str(tmp_path / "x.npy")]) == 0


def photo(folder: Path) -> Path:
    Image.new("RGB", (40, 30), (90, 120, 150)).save(folder / "photo.png")
    return folder / "photo.png"


def test_the_demo_model_reproduces_its_stated_iou(capsys: pytest.CaptureFixture[str]) -> None:
    """models/demo is what `check`, `sample` and `reconstruct` use when no run is named."""
    assert main(["check"]) == 0
    text = said(capsys)
    stated = float(text.split(" held-out shapes, ")[1].split()[0])
    assert stated > 0.5, text
    assert "228 held-out shapes" in text
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 8e6
    assert json.loads((DEMO / "config.json").read_text(encoding="utf-8"))["settings"]["preset"] == "warm-start"


def test_the_demo_model_samples_and_reconstructs_before_anything_is_trained(tmp_path: Path) -> None:
    assert main(["sample", "--count", "4", "--format", "npy", "-o", str(tmp_path / "samples")]) == 0
    shapes = [np.load(path) for path in sorted((tmp_path / "samples").glob("*.npy"))]
    cut = 255 * json.loads((DEMO / "config.json").read_text(encoding="utf-8"))["threshold"]
    assert len(shapes) == 4 and all(0.02 < (shape >= cut).mean() < 0.4 for shape in shapes)
    assert main(["reconstruct", str(photo(tmp_path)), "-o", str(tmp_path / "x.glb")]) == 0
    assert (tmp_path / "x.glb").read_bytes()[:4] == b"glTF"


def test_a_picture_unlike_those_that_the_demo_model_knows_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A held-out picture is near the others; a plain colour and noise are not."""
    with np.load(DEMO / "held-out.npz") as file:
        known = file["image"][100]
    noise = np.random.default_rng(1).integers(0, 256, known.shape, dtype=np.uint8)
    words = []
    for pixels in (known, np.full_like(known, 90), noise):
        Image.fromarray(pixels).save(tmp_path / "photo.png")
        assert main(["reconstruct", str(tmp_path / "photo.png"), "-o", str(tmp_path / "x.npy")]) == 0
        words.append(said(capsys))
    assert "photo.png: like the pictures that this network knows (nearer than" in words[0]
    assert all(re.search(r"unlike the pictures .* than (9[5-9]|100) % of its 228 held-out", one) for one in words[1:])
