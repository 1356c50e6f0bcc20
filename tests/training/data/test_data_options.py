"""What of a batch may vary: picture, mask, voxels and camera change together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch

from pipeline.conventions import unpack_grid, voxel_centres
from pipeline.pictures.bank import composite
from pipeline.pictures.camera import look_at_origin, project
from pipeline.settings.training import Experiment
from pipeline.shards.index import write_index
from tests.pipeline.shards.helpers import arrays, write_shard, write_test_bank
from tests.training.data.test_data import number_of, write_set
from training.data.batches import Batch, to_device, unpack_bits
from training.data.loader import Loader
from training.data.pictures import DRAWS, SKINNED, Augment, recoloured
from training.data.sampler import Sampler
from training.data.shapes import CAMERAS, ShapeData
from training.loop import training_loop
from training.run.files import read_metrics


def plain_batch(size: int = 12, count: int = 64, channels: int = 3) -> Batch:
    rng = np.random.default_rng(4)
    sampler = Sampler(count, count, 1)
    azimuth = rng.uniform(0, 360, (count, 2))
    return {
        "images": torch.from_numpy(rng.integers(0, 256, (count, 2, size, size, channels), np.uint8)),
        "voxel_bits": torch.from_numpy(rng.integers(0, 256, (count, 8**3 // 8), np.uint8)),
        "labels": torch.zeros(count, dtype=torch.int64),
        "objects": torch.arange(count),
        "views": torch.zeros(count, 2, dtype=torch.int64),
        "draws": torch.from_numpy(sampler.uniform(0, "augment", 2 * DRAWS).reshape(count, 2, DRAWS)),
        "K": torch.tensor([[20.0, 0, 7.0], [0, 20.0, 6.0], [0, 0, 1]]).expand(count, 2, 3, 3),
        "camera_to_world": torch.tensor([[look_at_origin(a, 20, 2, 5).tolist() for a in row] for row in azimuth]),
        "azimuth_deg": torch.from_numpy(azimuth.astype(np.float32)),
        "elevation_deg": torch.full((count, 2), 20.0),
        "distance": torch.full((count, 2), 2.0),
        "roll_deg": torch.full((count, 2), 5.0),
    }


def test_bits_become_the_grid() -> None:
    bits = np.random.default_rng(0).integers(0, 256, (5, 16**3 // 8), np.uint8)
    grids = unpack_bits(torch.from_numpy(bits))
    assert grids.shape == (5, 1, 16, 16, 16) and grids.dtype == torch.float32
    np.testing.assert_array_equal(grids[:, 0], np.stack([unpack_grid(row, 16) for row in bits]))


def test_unvaried_inputs_are_the_stored_pictures() -> None:
    batch = plain_batch()
    inputs = to_device(batch, "cpu")
    assert inputs["images"].shape == (64, 2, 3, 12, 12)
    back = ((inputs["images"] + 1) * 127.5).round().to(torch.uint8).permute(0, 1, 3, 4, 2)
    assert torch.equal(back, batch["images"])
    assert torch.equal(inputs["voxels"], unpack_bits(batch["voxel_bits"]))
    assert torch.equal(inputs["camera_to_world"], batch["camera_to_world"])
    assert inputs["images"].min() >= -1 and inputs["images"].max() <= 1


def test_mirroring_moves_picture_voxels_and_camera_together() -> None:
    """A voxel and its mirror image fall on mirrored places of the picture, through the camera that comes along."""
    batch = plain_batch()
    plain, varied = to_device(batch), to_device(batch, augment=Augment(mirror=True))
    flipped = (varied["voxels"] != plain["voxels"]).flatten(1).any(1)
    assert 16 < flipped.sum() < 48
    assert torch.equal(varied["images"][flipped], plain["images"][flipped].flip(-1))
    assert torch.equal(varied["images"][~flipped], plain["images"][~flipped])
    assert torch.equal(varied["voxels"][flipped], plain["voxels"][flipped].flip(2))
    points = np.stack(np.meshgrid(*[voxel_centres(8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for row in range(64):
        camera = [x["camera_to_world"][row, 1].double().numpy() for x in (plain, varied)]
        K = [x["K"][row, 1].double().numpy() for x in (plain, varied)]
        sign = -1.0 if flipped[row] else 1.0
        seen, depth = project(points, K[0], camera[0])
        seen_varied, depth_varied = project(points * [sign, 1, 1], K[1], camera[1])
        wanted = np.stack([12 - seen[:, 0] if flipped[row] else seen[:, 0], seen[:, 1]], 1)
        np.testing.assert_allclose(seen_varied, wanted, atol=1e-3)
        np.testing.assert_allclose(depth_varied, depth, atol=1e-5)
        pose = look_at_origin(
            *(float(varied[name][row, 1]) for name in ("azimuth_deg", "elevation_deg", "distance", "roll_deg"))
        )
        np.testing.assert_allclose(camera[1], pose, atol=1e-5)


@pytest.mark.parametrize("turn", ["random", "camera"])
def test_quarter_turns_move_voxels_and_camera_and_leave_the_picture(turn: Literal["random", "camera"]) -> None:
    """Turned voxels fall through the turned camera on the places and depths of the stored ones."""
    batch = plain_batch()
    plain, varied = to_device(batch), to_device(batch, augment=Augment(turn=turn, mirror=True))
    only_mirrored = to_device(batch, augment=Augment(mirror=True))
    assert torch.equal(varied["images"], only_mirrored["images"])
    azimuths = (varied["azimuth_deg"] - only_mirrored["azimuth_deg"]).round() % 360
    assert set(azimuths.flatten().tolist()) == {0.0, 90.0, 180.0, 270.0}
    if turn == "camera":
        assert ((varied["azimuth_deg"][:, 0] + 180) % 360 - 180).abs().max() <= 45.001, "all stand before the front"
        with pytest.raises(ValueError, match="needs cameras"):
            bare = {name: value for name, value in batch.items() if name not in CAMERAS}
            to_device(cast(Batch, bare), augment=Augment(turn=turn))
    for row in range(64):
        seen = []
        for inputs in (only_mirrored, varied):
            cells = np.argwhere(inputs["voxels"][row, 0].numpy() > 0)
            K, pose = inputs["K"][row, 0].double().numpy(), inputs["camera_to_world"][row, 0].double().numpy()
            pixels, depth = project((cells + 0.5) / 8 - 0.5, K, pose)
            places = np.column_stack([pixels, depth]).round(3)
            seen.append(places[np.lexsort(places.T)])
            angles = [float(inputs[name][row, 0]) for name in ("azimuth_deg", "elevation_deg", "distance", "roll_deg")]
            np.testing.assert_allclose(pose, look_at_origin(*angles), atol=1e-5)
        np.testing.assert_allclose(seen[0], seen[1], atol=3e-3)
    assert not torch.equal(plain["voxels"], varied["voxels"])


@pytest.mark.parametrize(
    ("augment", "check"),
    [
        (Augment(brightness=0.3), lambda a, b: (a.mean((1, 2, 3)) / b.mean((1, 2, 3)) - 1).abs().max() > 0.2),
        (Augment(contrast=0.5), lambda a, b: (a.std((1, 2, 3)) / b.std((1, 2, 3)) - 1).abs().max() > 0.2),
        (Augment(saturation=1.0), lambda a, b: (a.std(1).mean((1, 2)) / b.std(1).mean((1, 2)) - 1).abs().max() > 0.5),
        (Augment(channel_gain=0.3), lambda a, b: (a.mean((2, 3)) / b.mean((2, 3)) - 1).abs().max() > 0.2),
    ],
)
def test_colours_vary_and_shapes_do_not(
    augment: Augment, check: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> None:
    batch = plain_batch()
    plain, varied = to_device(batch), to_device(batch, augment=augment)
    assert torch.equal(plain["voxels"], varied["voxels"])
    assert varied["images"].min() >= -1 and varied["images"].max() <= 1
    assert bool(check((varied["images"].flatten(0, 1) + 1) / 2, (plain["images"].flatten(0, 1) + 1) / 2))
    assert torch.equal(to_device(batch, augment=augment)["images"], varied["images"])


def test_erasing_covers_a_rectangle_of_some_pictures() -> None:
    batch = plain_batch(size=40)
    plain, varied = to_device(batch)["images"], to_device(batch, augment=Augment(erase=0.5, erase_share=0.3))["images"]
    changed = (plain != varied).any(2).flatten(0, 1)
    touched = changed.flatten(1).any(1)
    assert 40 < touched.sum() < 88
    for mask in changed[touched]:
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() >= 0.95 * rows.sum() * columns.sum()  # grey pixels may have been there before
        assert rows.sum() * columns.sum() <= 0.3 * 1600 + 80
    assert (varied.flatten(0, 1).permute(0, 2, 3, 1)[changed] == 0).all()


def test_backgrounds_drawn_on_the_device() -> None:
    batch = plain_batch(channels=4)
    bank = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 14, 14, 3), np.uint8))
    images = (to_device(batch, backgrounds=bank)["images"] + 1) / 2
    rgba = batch["images"].permute(0, 1, 4, 2, 3).float() / 255
    behind = (images - rgba[:, :, :3] * rgba[:, :, 3:]) / (1 - rgba[:, :, 3:])
    clear = batch["images"][0, 0, :, :, 3] < 128  # where the background can be told exactly
    crops = [bank[n, r : r + 12, c : c + 12] for n in range(5) for r in range(3) for c in range(3)]
    crops += [crop.flip(1) for crop in crops]
    errors = [((behind[0, 0].permute(1, 2, 0) * 255 - crop)[clear]).abs().max() for crop in crops]
    assert min(errors) < 0.1
    plain = to_device(batch)["images"]
    assert plain.shape == (64, 2, 3, 12, 12)
    with pytest.raises(ValueError, match="backgrounds of 4 px behind pictures of 12 px"):
        to_device(batch, backgrounds=bank[:, :4, :4])


@pytest.mark.parametrize("space", ["srgb", "linear"])
def test_backgrounds_are_mixed_as_the_stored_pictures_are(space: str) -> None:
    batch = plain_batch(channels=4)
    bank = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 12, 12, 3), np.uint8))
    images = to_device(batch, backgrounds=bank, compositing=space)["images"]
    found = ((images + 1) * 127.5).permute(0, 1, 3, 4, 2)
    crops = [np.asarray(bank[0]), np.asarray(bank[0].flip(1))]
    wanted = [composite(batch["images"].numpy(), crop, space) for crop in crops]
    errors = np.stack([np.abs(found.numpy() - want).max((2, 3, 4)) for want in wanted])
    assert errors.min(0).max() < 0.6


def test_painted_objects_keep_their_outline_and_their_light_and_shade() -> None:
    batch = plain_batch(size=24, channels=4)
    batch["images"][..., :3] = batch["images"][..., :1] // 2 + 40  # a grey object, as 3DShapeNets' are
    bank = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 30, 30, 3), np.uint8))
    rgba = batch["images"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    draws = batch["draws"].flatten(0, 1)
    painted = recoloured(rgba, draws, bank, 0.7)
    assert torch.equal(painted[:, 3], rgba[:, 3]) and painted.min() >= 0 and painted.max() <= 1
    changed = (painted != rgba).flatten(1).any(1)
    assert 70 < changed.sum() < 110
    assert not (recoloured(rgba, draws, bank, 0.0) != rgba).any()

    # One colour: every channel is the grey picture times one number, where nothing is cut at 1.
    ratios = painted[:, :3] / rgba[:, :3]
    whole = (painted[:, :3] < 1).float()
    mean = (ratios * whole).sum((2, 3)) / whole.sum((2, 3)).clamp(min=1)
    constant = ((ratios - mean[:, :, None, None]).abs() * whole).amax((1, 2, 3)) < 1e-4
    plain, skinned = int((constant & changed).sum()), int((~constant & changed).sum())
    assert 0.1 < skinned / (plain + skinned) < 0.4 and SKINNED == 0.25
    colours = mean[constant & changed]
    assert (colours.std(0) > 0.2).all(), "objects get different colours"
    bare = recoloured(rgba, draws, None, 0.7)
    assert torch.equal((bare != rgba).flatten(1).any(1), changed), "without photographs every one gets a colour"
    hues = colours / colours.sum(1, keepdim=True)
    assert (hues.std(0) > 0.05).all(), "and not only lighter or darker ones"


def test_enlarged_pictures_masks_and_cameras_stay_together() -> None:
    """A soft mark lands where the camera that comes along says."""
    size = 64
    batch = plain_batch(size=size)
    row, column = 37.0, 30.0
    place = torch.arange(size) + 0.5
    mark = 255 * torch.exp(-((place[:, None] - row) ** 2 + (place - column) ** 2) / 2 / 3**2)
    batch["images"] = mark.to(torch.uint8)[:, :, None].expand(64, 2, -1, -1, 3)
    batch["alpha"] = batch["images"][..., 0].clone()
    plain, varied = to_device(batch), to_device(batch, augment=Augment(zoom=0.5))
    assert torch.equal(plain["voxels"], varied["voxels"])
    assert torch.equal(plain["camera_to_world"], varied["camera_to_world"])
    scale = varied["K"][..., 0, 0] / plain["K"][..., 0, 0]
    assert 1.0 <= scale.min() < 1.1 and 1.4 < scale.max() <= 1.5
    torch.testing.assert_close(scale, varied["K"][..., 1, 1] / plain["K"][..., 1, 1])
    # The mark's middle in the stored picture -> a ray -> its place through the new intrinsics.
    ray = torch.linalg.inv(plain["K"]) @ torch.tensor([column, row, 1.0])
    wanted = (varied["K"] @ ray[..., None])[..., :2, 0]
    light = (varied["images"][:, :, 0] + 1) / 2
    total = light.sum((2, 3))
    found = torch.stack([(light.sum(2) * place).sum(-1) / total, (light.sum(3) * place).sum(-1) / total], -1)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
    torch.testing.assert_close(varied["masks"][:, :, 0], light, atol=1e-6, rtol=0)
    assert (wanted - size / 2).abs().max() < size / 2, "what stands in the middle stays in the picture"


def test_painting_needs_objects_apart_from_their_backgrounds() -> None:
    with pytest.raises(ValueError, match="recolour needs objects apart from their backgrounds"):
        Experiment(datasets=("demo",), recolour=0.5)


@pytest.mark.parametrize("kind", ["ram", "map", "layers", "foregrounds"])
def test_masks_come_with_the_pictures_and_are_mirrored_with_them(tmp_path: Path, kind: str) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    storage = "composite" if kind in ("ram", "map") else "layers"
    data = ShapeData.open(
        [write_set(tmp_path / "set", storage)],
        "train",
        bank=None if storage == "composite" else bank,
        tier="map" if kind == "map" else "ram",
        random_background=kind == "foregrounds",
        masks=True,
    )
    sampler = Sampler(len(data), 12, 3)
    for resident in (False, True) if kind != "map" else (False,):
        batch = Loader(data, sampler, views_per_shape=2, resident=resident).batch(4)
        stored = [arrays(storage, number_of(data, place)) for place in batch["objects"].tolist()]
        alpha = np.stack([row["alpha"] if storage == "composite" else row["rgba"][..., 3] for row in stored])
        wanted = torch.from_numpy(alpha[np.arange(12)[:, None], batch["views"].numpy()])
        plain, varied = to_device(batch), to_device(batch, augment=Augment(mirror=True))
        assert torch.equal((plain["masks"][:, :, 0] * 255).round().to(torch.uint8), wanted)
        flipped = (varied["voxels"] != plain["voxels"]).flatten(1).any(1)
        assert 0 < flipped.sum() < 12
        assert torch.equal(varied["masks"][flipped], plain["masks"][flipped].flip(-1))
        assert torch.equal(varied["masks"][~flipped], plain["masks"][~flipped])


@pytest.mark.parametrize(
    "keys",
    [
        {
            "random_background": True,
            "mask_weight": 1.0,
            "erase": 0.5,
            "colour_jitter": 0.2,
            "recolour": 0.5,
            "zoom": 0.3,
            "views_per_shape": 2,
        },
        {"turn": True, "encoder_input": "projections"},
    ],
    ids=["pictures", "turned"],
)
@pytest.mark.parametrize("validation", [True, False])
def test_the_trainer_takes_every_option_of_the_loader(tmp_path: Path, keys: dict[str, Any], validation: bool) -> None:
    write_test_bank(tmp_path / "backgrounds" / "bank.npz", size_px=36)
    folder = tmp_path / "shards" / "demo"
    numbers = range(8) if validation else range(2)
    write_index([write_shard(folder / "0.h5", "layers", numbers, size_px=32)], folder / "index.json")
    experiment = Experiment(
        datasets=("demo",), samples=16, batch=2, width=0.05, encoder_width=0.05, latent=8, threads=1, **keys
    )
    training_loop(experiment, tmp_path / "run", [folder / "index.json"])
    assert read_metrics(tmp_path / "run")


def test_turned_shapes_and_stored_pictures_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="turned shapes do not fit their pictures"):
        Experiment(datasets=("demo",), turn=True)
