"""Pictures cropped at their objects: the same in every tier, on any number of threads, in use as in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.pictures.at_object import cropped, window_of
from pipeline.shards.index import write_index
from tests.pipeline.shards.helpers import write_shard, write_test_bank
from tests.training.tiny_world import SIZE_PX, VIEWS, row, settings
from training.data.crop import crop_intrinsics
from training.data.shapes import ShapeData
from training.inference.model import load_model
from training.inference.photograph import read_photo
from training.inference.reconstruct import photo_of
from training.loop import training_loop
from training.parallel import choose_device


@pytest.mark.parametrize("tier", ["ram", "map"])
def test_every_picture_is_cropped_at_its_object(tier: str, boxes: Path) -> None:
    data = ShapeData.open([boxes], "train", crop="alpha", tier=tier, masks=True, threads=1)
    many = ShapeData.open([boxes], "train", crop="alpha", tier=tier, masks=True, threads=16)
    plain = ShapeData.open([boxes], "train")
    everything = np.arange(len(data))[:, None], np.tile(np.arange(VIEWS), (len(data), 1))
    pictures, alpha = data.gather(everything[0][:, 0], everything[1]), data.alpha()
    np.testing.assert_array_equal(pictures, many.gather(everything[0][:, 0], everything[1]))
    np.testing.assert_array_equal(pictures, data.gather(everything[0][:, 0], everything[1]))  # not cropped twice
    assert alpha is not None and many.alpha() is not None
    moved = 0
    for place, record in enumerate(data.records):
        stored = row(int(record.name))
        for view in range(VIEWS):
            window = window_of(stored["alpha"][view])
            wanted = cropped(stored["images"][view], window, SIZE_PX)
            np.testing.assert_array_equal(pictures[place, view], wanted)
            mask = cropped(stored["alpha"][view], window, SIZE_PX)
            np.testing.assert_array_equal(alpha[place * VIEWS + view].reshape(SIZE_PX, SIZE_PX), mask)
            # A pixel of the window, seen by the camera of the cropped picture, is that pixel of the whole one.
            scale, K, old = SIZE_PX / window.side, data.cameras["K"][place, view], plain.cameras["K"][place, view]
            for point in ((0.3, -0.2, 1.0), (0.0, 0.1, 2.0)):
                whole, part = (one[:2] @ point / point[2] for one in (old, K))
                np.testing.assert_allclose(part, (whole - window[:2]) * scale, rtol=1e-5)
            moved += window.side != SIZE_PX
    assert moved > len(data)


def test_layers_are_cropped_with_their_alpha(tmp_path: Path) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    write_index([write_shard(tmp_path / "0.h5", "layers", range(8))], tmp_path / "index.json")
    for random_background in (False, True):
        opened = [
            ShapeData.open(
                [tmp_path / "index.json"], "train", bank=bank, random_background=random_background, crop=crop
            )
            for crop in ("none", "alpha")
        ]
        whole, part = (data.gather([1], [2])[0] for data in opened)
        foregrounds = ShapeData.open([tmp_path / "index.json"], "train", bank=bank, random_background=True)
        window = window_of(foregrounds.gather([1], [2])[0, ..., 3])
        np.testing.assert_array_equal(part, cropped(whole, window, whole.shape[0]))


def test_intrinsics_of_a_whole_picture_stay() -> None:
    K = np.array([[[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]]])
    crop_intrinsics(K, np.array([[0, 0, 32]], np.int32), 32)
    np.testing.assert_array_equal(K, [[[40.0, 0, 16], [0, 40.0, 16], [0, 0, 1]]])


def test_a_photograph_with_alpha_is_what_the_network_was_trained_on(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: trained with `crop: alpha`, a run crops photographs as its training pictures were."""
    training_loop(settings(samples=8, crop="alpha"), tmp_path / "run", [boxes])
    model = load_model(tmp_path / "run", choose_device("cpu"))
    stored = row(3)
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    grey = np.where(stored["alpha"][1][..., None] > 0, stored["images"][1], 127).astype(np.uint8)
    Image.fromarray(grey).save(photo)
    Image.fromarray(stored["alpha"][1]).save(mask)
    wanted = cropped(grey, window_of(stored["alpha"][1]), SIZE_PX)
    np.testing.assert_array_equal(photo_of(model, photo, mask=mask), wanted)
    assert "nothing says where it is" not in capsys.readouterr().err
    np.testing.assert_array_equal(photo_of(model, photo), read_photo(photo, SIZE_PX))
    assert "give a mask, or a crop 1.15 times as wide as the object" in capsys.readouterr().err


def test_a_crop_needs_pictures() -> None:
    with pytest.raises(ValueError, match="crop needs an encoder of pictures"):
        settings(crop="alpha", encoder_input="projections")
