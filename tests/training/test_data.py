"""What the trainer is fed: the stored pictures, in the asked order, checked, and varied together with the voxels."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch

from pipeline.bank import composite, open_bank
from pipeline.camera import look_at_origin, project
from pipeline.conventions import unpack_grid, voxel_centres
from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from pipeline.shards import create, open_shard
from pipeline.shards_bulk import bank_mark
from pipeline.shards_index import write_index
from tests.pipeline.shards_helpers import arrays, record, write_shard, write_test_bank
from training.data import CAMERAS, ShapeData
from training.data_device import DRAWS, Augment, Batch, to_device, unpack_bits
from training.data_loader import Loader
from training.data_memory import allow_open_files, free_ram
from training.loop import training_loop
from training.run_files import read_metrics
from training.sampler import Sampler


def write_set(
    folder: Path, storage: str = "composite", cuts: tuple[int, ...] = (0, 10, 20, 24), dataset: str = "demo"
) -> Path:
    """24 shapes over three shards; half of them are for training."""
    paths = [
        write_shard(folder / f"{n:03d}.h5", storage, range(a, b), dataset=dataset)
        for n, (a, b) in enumerate(zip(cuts, cuts[1:]))
    ]
    write_index(paths, folder / "index.json")
    return folder / "index.json"


def number_of(data: ShapeData, place: int) -> int:
    return int(data.records[place].name.split("_")[1])


@pytest.mark.parametrize("tier", ["ram", "map"])
def test_gathers_what_was_stored(tmp_path: Path, tier: str) -> None:
    data = ShapeData.open([write_set(tmp_path)], "train", tier=tier)
    assert (len(data), data.views, data.size_px, data.resolution, data.tier) == (12, 3, 16, 16, tier)
    assert data.categories == ["chair", "table"] and {r.split for r in data.records} == {"train"}
    assert [r.shape_id for r in data.records] == sorted(r.shape_id for r in data.records)
    for place in range(len(data)):
        stored = arrays("composite", number_of(data, place))
        np.testing.assert_array_equal(data.gather([place, place], [2, 0]), stored["images"][[2, 0]])
        np.testing.assert_array_equal(data.voxels_bits[place], stored["voxels"])
        assert data.categories[data.labels[place]] == data.records[place].category
        for name in CAMERAS:
            np.testing.assert_array_equal(data.cameras[name][place], np.asarray(stored[name], data.cameras[name].dtype))
    many = data.gather([3, 1, 3], [[0, 2], [1, 1], [2, 0]])
    np.testing.assert_array_equal(many[2, 1], data.gather([3], [0])[0])
    out = np.zeros_like(many)
    assert data.gather([3, 1, 3], [[0, 2], [1, 1], [2, 0]], out).base is not None
    np.testing.assert_array_equal(out, many)


def test_layers_give_the_composite_of_record(tmp_path: Path) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    index = write_set(tmp_path / "layers", "layers")
    data = ShapeData.open([index], "test", bank=bank)
    with open_shard(tmp_path / "layers" / "000.h5") as shard:
        row = [record.shape_id for record in shard.records].index(data.records[0].shape_id)
        np.testing.assert_array_equal(data.gather([0], [[0, 1, 2]])[0], shard.images(row, open_bank(bank)))
        foregrounds = ShapeData.open([index], "test", bank=bank, random_background=True)
        np.testing.assert_array_equal(foregrounds.gather([0], [[0, 1, 2]])[0], shard.array("rgba")[row])


def test_another_or_a_damaged_bank_is_refused(tmp_path: Path) -> None:
    bank = write_test_bank(tmp_path / "backgrounds" / "bank.npz")
    path = tmp_path / "shards" / "demo" / "0.h5"
    mark = {"bank": bank_mark(open_bank(bank))}
    with create(path, "layers", count=1, views=3, size_px=16, resolution=16, attributes=mark) as shard:
        shard.append(record(0), **arrays("layers", 0))
    write_index([path], path.parent / "index.json")
    assert len(ShapeData.open([path.parent / "index.json"], "train")) == 1, "the run's own bank is found"
    other = write_test_bank(tmp_path / "other.npz", size_px=24)
    with pytest.raises(UserError, match=r"(?s)not the one that the shards were made with.*other\.npz.*0\.h5"):
        ShapeData.open([path.parent / "index.json"], "train", bank=other)
    content = bytearray(bank.read_bytes())
    content[1000] ^= 1
    bank.write_bytes(content)
    with pytest.raises(UserError, match=r"(?s)damaged.*bank\.npz: crops\.npy"):
        ShapeData.open([path.parent / "index.json"], "train")


def test_how_shapes_were_cut_into_shards_changes_nothing(tmp_path: Path) -> None:
    one = ShapeData.open([write_set(tmp_path / "a")], "train")
    two = ShapeData.open([write_set(tmp_path / "b", cuts=(0, 3, 24))], "train")
    assert one.records == two.records
    np.testing.assert_array_equal(one.pictures(), two.pictures())
    np.testing.assert_array_equal(one.voxels_bits, two.voxels_bits)


def test_several_sets_and_chosen_categories(tmp_path: Path) -> None:
    indices = [write_set(tmp_path / "a"), write_set(tmp_path / "b", dataset="other")]
    assert len(ShapeData.open(indices, "val")) == 12
    tables = ShapeData.open(indices, "test", categories=["table"])
    assert tables.categories == ["table"] and {r.category for r in tables.records} == {"table"}
    with pytest.raises(UserError, match="(?s)unknown category 'tabel'; did you mean 'table'"):
        ShapeData.open(indices, "train", categories=["tabel"])
    with pytest.raises(UserError, match="(?s)a shape comes twice.*demo/"):
        ShapeData.open([indices[0], indices[0]], "train")


def test_sets_that_do_not_fit_together(tmp_path: Path) -> None:
    index = write_set(tmp_path / "a")
    write_shard(tmp_path / "b" / "0.h5", numbers=range(4), views=2)
    write_index([tmp_path / "b" / "0.h5"], tmp_path / "b" / "index.json")
    write_shard(tmp_path / "c" / "0.h5", "renders", numbers=range(4))
    write_index([tmp_path / "c" / "0.h5"], tmp_path / "c" / "index.json")
    with pytest.raises(UserError, match="(?s)must agree.*views = 2.*views = 3"):
        ShapeData.open([index, tmp_path / "b" / "index.json"], "train")
    with pytest.raises(UserError, match="(?s)cannot be trained on.*kind renders"):
        ShapeData.open([tmp_path / "c" / "index.json"], "train")
    with pytest.raises(UserError, match="(?s)random backgrounds need.*storage: layers"):
        ShapeData.open([index], "train", random_background=True)
    with pytest.raises(UserError, match="(?s)background that the bank does not hold"):
        ShapeData.open([write_set(tmp_path / "d", "layers")], "train")


@pytest.mark.parametrize("tier", ["ram", "map"])
def test_a_damaged_picture_is_never_handed_out(tmp_path: Path, tier: str) -> None:
    index = write_set(tmp_path)
    with open_shard(tmp_path / "001.h5") as shard:
        picture = arrays("composite", 12)["images"][1].tobytes()
        assert shard.records[2].split == "train"
    content = (tmp_path / "001.h5").read_bytes()
    at = content.index(picture) + 100
    (tmp_path / "001.h5").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])

    def read() -> None:
        data = ShapeData.open([index], "train", tier=tier)
        data.gather(np.arange(len(data)), np.tile(np.arange(3), (len(data), 1)))

    with pytest.raises(UserError, match=r"(?s)damaged.*001\.h5: images: demo/chair/chair_0012: view 1"):
        read()


def batches(data: ShapeData, start: int, stop: int, **settings: object) -> dict[int, Batch]:
    loader = Loader(data, Sampler(len(data), 4, 3), start_step=start, stop_step=stop, **settings)  # type: ignore[arg-type]
    return {step: {key: value.clone() for key, value in batch.items()} for step, batch in loader}  # type: ignore[attr-defined,misc]


def same(one: Batch, other: Batch) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)  # type: ignore[literal-required]


def test_every_tier_gives_the_same_batches_and_resumes(tmp_path: Path) -> None:
    index = write_set(tmp_path)
    ram, mapped = (ShapeData.open([index], "train", tier=tier) for tier in ("ram", "map"))
    for settings in ({"views_per_shape": 1}, {"views_per_shape": 2, "cameras": True}, {"views_per_shape": 3}):
        whole = batches(ram, 0, 40, **settings)
        assert list(whole) == list(range(40))
        for other in (batches(mapped, 0, 40, **settings), batches(ram, 0, 40, resident=True, **settings)):
            assert all(same(whole[step], other[step]) for step in range(40))
        resumed = batches(ram, 29, 40, **settings)
        assert all(same(whole[step], resumed[step]) for step in range(29, 40))
    batch = whole[5]
    for place, row in enumerate(batch["objects"].tolist()):
        np.testing.assert_array_equal(batch["images"][place], ram.gather([row], batch["views"][place : place + 1])[0])
        np.testing.assert_array_equal(batch["voxel_bits"][place], ram.voxels_bits[row])
        assert batch["labels"][place] == ram.labels[row]


def test_ranks_share_the_batch(tmp_path: Path) -> None:
    data = ShapeData.open([write_set(tmp_path)], "train")
    alone = Loader(data, Sampler(len(data), 4, 3), views_per_shape=2).batch(9)
    halves = [Loader(data, Sampler(len(data), 4, 3, rank, 2), views_per_shape=2).batch(9) for rank in range(2)]
    for name in alone:
        assert torch.equal(torch.cat([half[name] for half in halves]), alone[name])  # type: ignore[literal-required]


def test_leaving_early_ends_the_thread_and_errors_arrive(tmp_path: Path) -> None:
    data = ShapeData.open([write_set(tmp_path)], "train")
    loader = Loader(data, Sampler(len(data), 4, 3))
    for step, _ in loader:
        if step == 3:
            break
    assert loader.waited_s > 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
    with pytest.raises(UserError, match="more views are wanted"):
        next(iter(Loader(data, Sampler(len(data), 4, 3), views_per_shape=4)))


def test_a_trainer_that_would_wait_makes_the_next_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is held in its first batch until the trainer has made another; the order stays that of the steps."""
    data = ShapeData.open([write_set(tmp_path)], "train")
    loader = Loader(data, Sampler(len(data), 4, 3), stop_step=8)
    wanted = [loader.batch(step) for step in range(8)]
    gather, helped, makers = ShapeData.gather, threading.Event(), []

    def watched(*arguments: Any) -> Any:
        makers.append(threading.current_thread() is threading.main_thread())
        if makers[-1]:
            helped.set()
        assert helped.wait(60)
        return gather(*arguments)

    monkeypatch.setattr(ShapeData, "gather", watched)
    for number, (step, batch) in enumerate(loader):
        assert step == number and same(batch, wanted[step])
    assert len(makers) == 8 and True in makers and False in makers


def plain_batch(size: int = 12, count: int = 64, channels: int = 3) -> Batch:
    rng = np.random.default_rng(4)
    sampler = Sampler(count, count, 1)
    azimuth = rng.uniform(0, 360, (count, 2))
    return {
        "images": torch.from_numpy(rng.integers(0, 256, (count, 2, size, size, channels), np.uint8)),
        "voxel_bits": torch.from_numpy(rng.integers(0, 256, (count, 8**3 // 8), np.uint8)),
        "labels": torch.zeros(count, dtype=torch.int64), "objects": torch.arange(count),
        "views": torch.zeros(count, 2, dtype=torch.int64),
        "draws": torch.from_numpy(sampler.uniform(0, "augment", 2 * DRAWS).reshape(count, 2, DRAWS)),
        "K": torch.tensor([[20.0, 0, 7.0], [0, 20.0, 6.0], [0, 0, 1]]).expand(count, 2, 3, 3),
        "camera_to_world": torch.tensor([[look_at_origin(a, 20, 2, 5).tolist() for a in row] for row in azimuth]),
        "azimuth_deg": torch.from_numpy(azimuth.astype(np.float32)),
        "elevation_deg": torch.full((count, 2), 20.0), "distance": torch.full((count, 2), 2.0),
        "roll_deg": torch.full((count, 2), 5.0),
    }  # fmt: skip


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
            angles = [float(inputs[name][row, 0]) for name in
                      ("azimuth_deg", "elevation_deg", "distance", "roll_deg")]  # fmt: skip
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


@pytest.mark.parametrize("kind", ["ram", "map", "layers", "foregrounds"])
def test_masks_come_with_the_pictures_and_are_mirrored_with_them(tmp_path: Path, kind: str) -> None:
    bank = write_test_bank(tmp_path / "bank.npz")
    storage = "composite" if kind in ("ram", "map") else "layers"
    data = ShapeData.open(
        [write_set(tmp_path / "set", storage)], "train", bank=None if storage == "composite" else bank,
        tier="map" if kind == "map" else "ram", random_background=kind == "foregrounds", masks=True,
    )  # fmt: skip
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
        {"random_background": True, "mask_weight": 1.0, "erase": 0.5, "colour_jitter": 0.2, "views_per_shape": 2},
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


def test_the_limit_on_open_files_is_raised_as_far_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, asked = [(1024, 4096)], []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: asked.append(pair))
    for count in (100, 2000, 50_000):
        allow_open_files(count)
    assert asked == [(2256, 4096), (4096, 4096)]


def test_free_memory_heeds_the_control_group(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:     4096 kB\n")
    assert free_ram(tmp_path) == 4096 * 1024
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert free_ram(tmp_path) == 4096 * 1024
    (group / "memory.max").write_text("3000000\n")
    (group / "memory.current").write_text("1000000\n")
    assert free_ram(tmp_path) == 2_000_000
