"""The bank's file, and compositing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.pictures.bank import (
    PLAIN,
    background,
    composite,
    open_bank,
    resize,
    write_bank,
)
from pipeline.pictures.colour import SRGB_TO_LINEAR, srgb_bytes


def made(path: Path, count: int = 3, size: int = 20) -> np.ndarray:
    crops = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    write_bank(path, crops, {"names": [str(i) for i in range(count)]})
    return crops


def test_a_bank_comes_back_as_a_memory_map(tmp_path: Path) -> None:
    crops = made(tmp_path / "bank.npz")
    bank = open_bank(tmp_path / "bank.npz")
    assert isinstance(bank.crops, np.memmap)
    assert np.array_equal(bank.crops, crops)
    assert np.array_equal(np.load(tmp_path / "bank.npz")["crops"], crops), "plain NumPy reads it too"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a bank at all"])
def test_what_is_no_bank_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bank.npz").write_bytes(content)
    with pytest.raises(UserError, match="cannot read a background bank"):
        open_bank(tmp_path / "bank.npz")
    np.savez_compressed(tmp_path / "other.npz", crops=np.zeros((2, 3)), info=np.zeros(3, np.uint8))
    with pytest.raises(UserError, match="cannot read a background bank"):
        open_bank(tmp_path / "other.npz")


def test_srgb_bytes_survive_the_way_through_light() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(srgb_bytes(SRGB_TO_LINEAR[levels]), levels)


@pytest.mark.parametrize("space", ["srgb", "linear"])
def test_a_colour_on_itself_stays_itself_whatever_the_alpha(space: str) -> None:
    level, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    rgba = np.stack([level, level, level, alpha], axis=-1)
    assert np.array_equal(composite(rgba, rgba[..., :3], space), rgba[..., :3])


def test_half_covered_black_on_white() -> None:
    rgba = np.array([[[0, 0, 0, 128]]], np.uint8)
    white = np.full((1, 1, 3), 255, np.uint8)
    assert composite(rgba, white, "srgb")[0, 0, 0] == 127
    assert composite(rgba, white, "linear")[0, 0, 0] == 187, "half of the light"


def test_a_crop_is_the_part_of_the_bank_it_says(tmp_path: Path) -> None:
    crops = made(tmp_path / "bank.npz")
    bank = open_bank(tmp_path / "bank.npz")
    plain = background(bank, 1, (2, 3, 16, 0, 1.0), 16)
    assert np.array_equal(plain, crops[1, 2:18, 3:19])
    assert np.array_equal(background(bank, 1, (2, 3, 16, 1, 1.0), 16), plain[:, ::-1])
    assert background(bank, 1, (2, 3, 16, 0, 2.0), 16).max() == 255
    assert (background(None, PLAIN, (9, 8, 7, 0, 1), 16) == (9, 8, 7)).all()
    with pytest.raises(UserError, match="a background that the bank does not hold"):
        background(bank, 3, (0, 0, 16, 0, 1), 16)


@pytest.mark.parametrize("side,size", [(20, 16), (80, 64), (64, 64), (33, 64), (512, 64), (1, 8)])
def test_resizing_keeps_flat_pictures_flat_and_slopes_straight(side: int, size: int) -> None:
    flat = np.full((side, side, 3), 77, np.uint8)
    assert (resize(flat, size) == 77).all()
    slope = np.repeat(np.linspace(0, 255, side).astype(np.uint8)[None, :, None], side, axis=0).repeat(3, axis=2)
    out = resize(slope, size)[size // 2, :, 0].astype(int)
    assert (np.diff(out) >= 0).all()
    assert out.shape == (size,)
