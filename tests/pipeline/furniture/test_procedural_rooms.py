"""Rooms and textures: deterministic, varied, never flat; the written folder is as untidy as real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.furniture.rooms import BROKEN, GREY, room_picture, write_rooms
from pipeline.furniture.textures import PATTERNS, SIZE_PX
from pipeline.seeds import generator
from pipeline.settings.config import check


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    first = room_picture(1, 3, 64)
    room_picture(1, 4, 64)
    assert np.array_equal(first, room_picture(1, 3, 64))
    assert not np.array_equal(first, room_picture(2, 3, 64))
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8


def test_rooms_are_not_flat_and_not_alike() -> None:
    pictures = np.stack([room_picture(1, index, 64) for index in range(24)]).astype(float)
    # Mean absolute step between neighbouring 4 x 4 blocks: texture and edges that noise alone does not give.
    blocks = pictures.mean(axis=3).reshape(24, 16, 4, 16, 4).mean(axis=(2, 4))
    steps = np.abs(np.diff(blocks, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(blocks, axis=2)).mean(axis=(1, 2))
    assert steps.min() > 4
    assert pictures.mean(axis=(1, 2, 3)).std() > 10
    assert 60 < pictures.mean() < 200


def test_a_larger_picture_shows_the_same_room() -> None:
    small = room_picture(1, 5, 48).astype(float)
    large = room_picture(1, 5, 96).reshape(48, 2, 48, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_nothing_is_broken_where_nobody_asks_for_it(tmp_path: Path) -> None:
    write_rooms(7, 2, tmp_path, size_px=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["room_00000.jpg", "room_00001.jpg"]
    own = {"datasets": {"d": {"source": "folder", "path": "x"}}}
    assert not check(own).plants_faults
    assert check({"datasets": {**own["datasets"], "g": {"source": "procedural"}}}).plants_faults
    assert not check({"datasets": {"g": {"source": "procedural", "procedural": {"nasty": False}}}}).plants_faults


def test_written_folder(tmp_path: Path) -> None:
    write_rooms(7, 18, tmp_path / "first", size_px=48, broken=True)
    write_rooms(7, 18, tmp_path / "again", size_px=48, broken=True)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == [*(f"room_{index:05d}.jpg" for index in range(18)), BROKEN]
    assert all((tmp_path / "first" / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)
    sizes = []
    for index in range(18):
        with Image.open(tmp_path / "first" / f"room_{index:05d}.jpg") as picture:
            assert picture.mode == ("L" if index == GREY else "RGB")
            sizes.append(picture.size)
    assert {(48, 48), (64, 48), (48, 72)} == set(sizes)
    with pytest.raises(OSError, match="Truncated|cannot identify"), Image.open(tmp_path / "first" / BROKEN):
        pass


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_textures_repeat_without_a_seam(name: str) -> None:
    for draw in range(4):
        picture = PATTERNS[name](generator(draw, name), (200, 150, 100), (90, 60, 40))
        assert picture.shape == (SIZE_PX, SIZE_PX, 4) and (picture[..., 3] == 255).all()
        values = picture[..., :3].astype(float).mean(axis=2)
        assert values.std() > 3
        for axis in (0, 1):
            inside = np.abs(np.diff(values, axis=axis)).mean(axis=1 - axis)
            seam = np.abs(np.take(values, 0, axis) - np.take(values, -1, axis)).mean()
            assert seam <= inside.max() * 1.2 + 2
