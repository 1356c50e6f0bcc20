"""Judging a network on photographs whose answers are known."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from pipeline.conventions import Array
from pipeline.formats.photographs import load_photographs, write_photographs
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.photographs import PhotographSettings
from pipeline.stages.photographs import build
from tests.figures import bare_numbers
from tests.training.tiny_world import settings
from training.command.train import main
from training.data.shapes import ShapeData
from training.evaluation import photographs
from training.inference.model import Model
from training.loop import training_loop
from training.metrics import alignment
from training.metrics import pix3d as pix3d_scores


@pytest.fixture(scope="module")
def ikea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs of three objects in the IKEA set's layout."""
    folder = tmp_path_factory.mktemp("ikea")
    for name in ("Lists", "Images", "Voxels"):
        (folder / name).mkdir()
    for number, colour in enumerate(((200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90))):
        out = io.BytesIO()
        Image.new("RGB", (40, 30), colour).save(out, "PNG")
        (folder / "Images" / f"{number}.png").write_bytes(out.getvalue())
    for number in (1, 2, 3):
        grid = np.zeros((20, 20, 20), np.uint8)
        grid[2 : 6 + number, 4:9, 3 * number : 18] = 1
        scipy.io.savemat(folder / "Voxels" / f"{number}.mat", {"grid": grid})
    (folder / "Lists" / "Images.txt").write_text("0.png\n1.png\n2.png\n3.png\n")
    (folder / "Lists" / "Model.txt").write_text("IKEA_bed_A/x\nIKEA_bed_B/x\nIKEA_chair_C/x\nIKEA_chair_C/x\n")
    (folder / "Lists" / "ModelID.txt").write_text("1\n2\n3\n3\n")
    path = folder / "ikea.npz"
    with Log(None) as log:
        build(PhotographSettings(source="ikea", path=str(folder), size_px=32), path, log=log)
    return path


def test_volume_is_kept_between_resolutions() -> None:
    field = generator(1, "field").random((32, 32, 32)).astype(np.float32)
    for side in (20, 16, 40):
        assert photographs.to_side(field, side).mean() == pytest.approx(field.mean(), rel=1e-5)
    assert photographs.to_side(field, 32) is not None and np.array_equal(photographs.to_side(field, 32), field)
    half = np.zeros((32, 32, 32), np.float32)
    half[:, 8:] = 1
    smaller = photographs.to_side(half, 20)
    assert (smaller[:, :5] == 0).all() and smaller[:, 5:] == pytest.approx(1)


def test_shapes_in_the_middle_of_their_frame_grow_to_the_size_of_the_photographs_objects(boxes: Path) -> None:
    """3DShapeNets' objects are 24 voxels long in a frame of 30, IKEA's fill all 20."""
    truth = generator(1, "truth").random((20, 20, 20)).astype(np.float32)
    assert np.array_equal(photographs.to_side(np.pad(truth, 6), 20, 20), truth)
    fine = np.repeat(np.repeat(np.repeat(truth[:10, :10, :10], 2, 0), 2, 1), 2, 2)
    np.testing.assert_allclose(photographs.to_side(np.pad(fine, 4), 10, 20), truth[:10, :10, :10], rtol=1e-6)
    train = ShapeData.open([boxes], "train")
    grids = np.unpackbits(train.voxels_bits, axis=1).reshape(-1, 16, 16, 16)
    longest = [int((np.ptp(np.argwhere(grid), axis=0) + 1).max()) for grid in grids]
    assert photographs.filled_side(train) in (int(np.median(longest)), int(np.median(longest)) + 1)
    assert photographs.filled_side(train) % 2 == 0


def test_a_network_that_knows_the_answers(
    model: Model, ikea: Path, boxes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truths = np.load(ikea)["voxels"]
    turned = [alignment.oriented(truth, 11).astype(np.float32) for truth in truths]
    monkeypatch.setattr(photographs, "network_fields", lambda *_: np.stack(turned))
    monkeypatch.setattr(photographs, "filled_side", lambda _: 20)  # those of the answers
    scores, arrays = photographs.evaluate_photographs(model, ikea, ShapeData.open([boxes], "train"), 128)
    network = scores["scores"]["network"]
    assert network["ap_aligned"]["class_mean"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert network["iou_aligned"]["photograph_mean"]["mean"] == 1.0 and network["ap"]["photograph_mean"]["high"] < 1.0
    assert (scores["photographs"], scores["objects"], scores["voxels"], scores["aligned"]) == (4, 3, 20, True)
    again = arrays["aligned_levels"] >= 128
    assert np.array_equal(np.packbits(again, axis=1), arrays["truth"])


def test_a_network_of_cropped_pictures_sees_photographs_with_their_margin(
    model: Model, ikea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs end at the box of their object: the square is 1.15 times as wide, and the border is repeated."""
    stored = generator(1, "photographs").integers(0, 256, (4, 32, 32, 3), np.uint8)
    write_photographs(tmp_path / "p.npz", dataclasses.replace(load_photographs(ikea), images=stored))
    wide = np.pad(stored, ((0, 0), (3, 2), (3, 2), (0, 0)), mode="edge")  # 37 = 1.15 x 32, rounded up
    wanted = [np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.HAMMING)) for one in wide]
    seen: list[Array] = []

    def fields(_: Model, images: Array) -> Array:
        seen.append(images)
        return np.zeros((4, 16, 16, 16), np.float32)

    monkeypatch.setattr(photographs, "network_fields", fields)
    for crop in ("none", "alpha"):
        changed = model.settings.model_copy(update={"crop": crop})
        photographs.evaluate_photographs(dataclasses.replace(model, settings=changed), tmp_path / "p.npz", None, 128)
    np.testing.assert_array_equal(seen[0], stored)
    np.testing.assert_array_equal(seen[1], wanted)


def test_everything_is_seen_beside_chance_and_training_shapes(model: Model, ikea: Path, boxes: Path) -> None:
    scores, arrays = photographs.evaluate_photographs(model, ikea, ShapeData.open([boxes], "train"), 128)
    found = scores["scores"]
    assert set(found) == {"network", "chance", "mean_shape", "random_shape", "nearest_pixels", "nearest_training"}
    assert found["chance"]["ap"]["photograph_mean"]["mean"] == pytest.approx(scores["occupancy"]["mean"], abs=0.02)
    for name, one in found.items():
        assert one["ap_aligned"]["photograph_mean"]["mean"] >= one["ap"]["photograph_mean"]["mean"]
        assert one["privileged"] == (name == "nearest_training")
        assert set(one["ap"]["classes"]) == {"bed", "chair"}
        both = [figure["mean"] for figure in one["ap"]["classes"].values()]
        assert one["ap"]["class_mean"]["mean"] == pytest.approx(np.mean(both), abs=2e-6)
    assert (np.diff(arrays["ap_aligned"]) >= 0).all() and arrays["image"].shape == (4, 32, 32, 3)
    assert list(bare_numbers(scores)) == ["threshold"], "every other figure has its interval"
    alone, _ = photographs.evaluate_photographs(model, ikea, None, 128)
    assert set(alone["scores"]) == {"network", "chance"}
    assert alone["scores"]["network"] == found["network"]


def test_command_line_writes_json_and_arrays(
    run: Path, ikea: Path, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate-photographs", "--run", str(run), "--photographs", str(ikea), "-o", str(tmp_path / "o.json")]
    assert main([*arguments, "--shards", str(boxes)]) == 0
    out = capsys.readouterr()
    assert "average precision, aligned" in out.out and "4 of 3 objects" in out.err
    found = json.loads((tmp_path / "o.json").read_text())["ikea"]
    assert 0 <= found["scores"]["network"]["ap"]["class_mean"]["mean"] <= 1
    with np.load(tmp_path / "photographs.npz") as file:
        assert file["sets"].tolist() == ["ikea"] and len(file["ikea/ap"]) == 4


def test_wrong_photographs_are_one_clear_message(
    run: Path, boxes: Path, ikea: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log(None) as log:
        other = PhotographSettings(source="ikea", path=str(ikea.parent), size_px=64)
        build(other, tmp_path / "large.npz", log=log)
    arguments = ["evaluate-photographs", "--run", str(run), "-o", str(tmp_path / "o.json"), "--photographs"]
    assert main([*arguments, str(tmp_path / "large.npz")]) == 1
    assert "another size" in (err := capsys.readouterr().err) and "32 px" in err
    assert main([*arguments, str(boxes)]) == 1
    assert "cannot read a file of photographs" in capsys.readouterr().err
    training_loop(settings(preset="paper-3dgan", samples=16, width=0.125), tmp_path / "gan", [boxes])
    arguments[2] = str(tmp_path / "gan")
    assert main([*arguments, str(ikea)]) == 1
    assert "cannot look at photographs" in capsys.readouterr().err


def test_real_photographs(shared_data: Path, model: Model, tmp_path: Path) -> None:
    """Three of the real IKEA crops through the whole protocol."""
    path = tmp_path / "ikea.npz"
    with Log(None) as log:
        build(PhotographSettings(source="ikea", path=str(shared_data / "ikea" / "IKEA"), size_px=32), path, log=log)
    whole = photographs.load_photographs(path)
    assert len(whole.picture) == 94
    few: dict[str, Any] = {name: getattr(whole, name)[:3] for name in ("images", "voxels")}
    texts = {name: np.array(getattr(whole, name)[:3]) for name in ("category", "object", "picture")}
    np.savez(tmp_path / "few.npz", **few, **texts, rejects=np.array([], np.str_))
    scores, _ = photographs.evaluate_photographs(model, tmp_path / "few.npz", None, 128)
    assert 0 < scores["scores"]["network"]["ap"]["photograph_mean"]["mean"] <= 1


# ---- Pix3D's own scores --------------------------------------------------------------------


def test_boxes_are_cut_out_and_scaled() -> None:
    grid = np.zeros((32, 32, 32), np.float32)
    grid[4:12, 6:10, 20:22] = 1
    moved = np.zeros((32, 32, 32), np.float32)
    moved[10:26, 10:18, 3:7] = 1
    one, other = pix3d_scores.in_box(grid), pix3d_scores.in_box(moved)
    assert one.any(axis=(1, 2)).all(), "the longest side fills the box"
    assert pix3d_scores.iou_curve(one, pix3d_scores.in_box(np.roll(grid, 5, 2))).min() == 1.0, "where does not matter"
    assert pix3d_scores.iou_curve(one, other).max() > 0.6, "nor how large, but for the samples at the border"
    assert pix3d_scores.iou_curve(one, one).min() == 1.0
    assert not pix3d_scores.in_box(np.zeros((32, 32, 32), np.float32)).any()


def test_distances_of_known_points() -> None:
    one = np.array([[0, 0, 0], [1, 0, 0]], np.float32)
    other = np.array([[0, 0, 0], [0, 2, 0]], np.float32)
    assert pix3d_scores.chamfer(one, other) == pytest.approx((0 + 1) / 2 + (0 + 2) / 2)
    assert pix3d_scores.earth_movers(one, other) == pytest.approx((0 + 5**0.5) / 2)
    assert pix3d_scores.earth_movers(one, one[::-1]) == 0.0


def test_perfect_predictions_at_32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pix3d_scores, "POINTS", 64)
    grids = [np.zeros((32, 32, 32), bool) for _ in range(2)]
    grids[0][3:20, 3:9, 5:28], grids[1][8:16, 2:30, 8:12] = True, True
    scores = pix3d_scores.scores([grid.astype(np.float32) for grid in grids], grids, 1)
    assert scores.rows["iou_boxed"].tolist() == [1.0, 1.0]
    assert (scores.rows["cd"] < 0.3).all() and (scores.rows["emd"] < 0.25).all()
    empty = pix3d_scores.scores([np.zeros((32, 32, 32), np.float32)] * 2, grids, 1)
    assert empty.rows["iou_boxed"].tolist() == [0.0, 0.0] and (empty.rows["cd"] > scores.rows["cd"]).all()
