"""What the trainer is fed: the stored pictures, in the asked order, checked, and varied together with the voxels."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.pictures.bank import open_bank
from pipeline.shards import create, open_shard
from pipeline.shards.bulk import bank_mark
from pipeline.shards.index import write_index
from tests.pipeline.shards.helpers import arrays, record, write_shard, write_test_bank
from training.data.batches import Batch
from training.data.loader import Loader
from training.data.memory import allow_open_files, free_ram
from training.data.sampler import Sampler
from training.data.shapes import CAMERAS, ShapeData


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
    with pytest.raises(UserError, match=r"(?s)bank\.npz\s+got: crops\.npy was changed"):
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
