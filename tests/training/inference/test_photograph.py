"""Photographs and masks of every kind become the picture that they show, and what was used of them is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.errors import UserError
from training.inference.photograph import GREY, read_photo

SCENE = np.zeros((40, 60, 3), np.uint8)
SCENE[:] = (200, 120, 40)
INSIDE = np.zeros((40, 60), bool)
INSIDE[8:32, 20:50] = True


def saved(path: Path, pixels: npt.NDArray[np.generic]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_sixteen_bits_are_the_same_picture(tmp_path: Path) -> None:
    grey = np.where(INSIDE, 204, 90).astype(np.uint8)
    flat, deep = saved(tmp_path / "a.png", grey), saved(tmp_path / "b.png", grey.astype(np.uint16) * 257)
    assert (read_photo(flat, 32) == read_photo(deep, 32)).all()
    assert read_photo(deep, 32).max() == 204


@pytest.mark.parametrize("inside", [1, 255])
def test_a_mask_of_ones_is_the_mask(inside: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = saved(tmp_path / "photo.png", SCENE)
    mask = saved(tmp_path / "mask.png", INSIDE * np.uint8(inside))
    found = read_photo(photo, 60, mask=mask)
    assert (found[30, 35] == SCENE[0, 0]).all() and (found[30, 3] == GREY).all()
    assert f"mask.png: {INSIDE.mean():.1%} of the picture is covered" in capsys.readouterr().err


def test_a_mask_that_may_be_inverted_is_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = saved(tmp_path / "photo.png", SCENE)
    inverted = np.ones((40, 60), bool)
    inverted[20:, 20:40] = False  # an object that the picture's lower border cuts off
    read_photo(photo, 32, mask=saved(tmp_path / "mask.png", inverted * np.uint8(255)))
    assert "83.3% of the picture is covered; most of its border is, so make sure" in capsys.readouterr().err


def test_a_photograph_of_a_phone_and_its_mask_meet_upright(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(SCENE, 1))).save(tmp_path / "phone.png", exif=tags)
    mask = saved(tmp_path / "mask.png", INSIDE * np.uint8(255))
    found = read_photo(tmp_path / "phone.png", 60, mask=mask)
    assert (found[30, 35] == SCENE[0, 0]).all() and (found[30, 3] == GREY).all()
    with pytest.raises(UserError, match=r"(?s)another size.*got: 40 x 60.*wanted: 60 x 40, .* upright"):
        read_photo(tmp_path / "phone.png", 60, mask=saved(tmp_path / "side.png", INSIDE.T * np.uint8(255)))


@pytest.mark.parametrize("inside", [1, 128, 255])
def test_transparency_is_a_mask(inside: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "cut-out.png", np.dstack([SCENE, INSIDE * np.uint8(inside)]))
    found = read_photo(path, 60)
    assert (found[30, 35] == SCENE[0, 0]).all() and (found[30, 3] == GREY).all()
    assert "is covered; the rest becomes grey" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"(?s)nothing of the photograph is left.*it is transparent"):
        read_photo(saved(tmp_path / "none.png", np.dstack([SCENE, np.zeros((40, 60), np.uint8)])), 60)


def test_the_same_transparency_everywhere_is_no_mask(tmp_path: Path) -> None:
    path = saved(tmp_path / "veil.png", np.dstack([SCENE, np.full((40, 60), 1, np.uint8)]))
    assert (read_photo(path, 60) == SCENE[0, 0]).all()


def test_a_mask_that_hides_everything_is_an_error(tmp_path: Path) -> None:
    photo = saved(tmp_path / "photo.png", SCENE)
    with pytest.raises(UserError, match=r"(?s)cannot use this mask.*covers nothing"):
        read_photo(photo, 32, mask=saved(tmp_path / "black.png", INSIDE * np.uint8(0)))
    mask = saved(tmp_path / "mask.png", INSIDE * np.uint8(255))
    with pytest.raises(UserError, match=re.escape(f"{mask} covers nothing of it")):
        read_photo(photo, 32, crop=(0, 0, 10, 10), mask=mask)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(UserError, match=r"(?s)cannot read this picture.*a web page"):
        read_photo(tmp_path / "page.jpg", 32)
