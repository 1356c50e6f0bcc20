"""Photographs and masks of every kind become the picture that they show, and what was used of them is said."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.errors import UserError, run_command
from training.command.train import main
from training.inference import photograph
from training.inference.photograph import GREY, isolated_reader, read_photo

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


# ---- in a process of its own --------------------------------------------------------------------


def dies(path: Path, *_: object) -> None:
    """A decoder that a file brings down, as holes in picture libraries do."""
    faulthandler.disable()  # of pytest, which would print a page
    os.kill(os.getpid(), {"crash.png": signal.SIGSEGV, "kernel.png": signal.SIGKILL}[path.name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "crash.png",
            r"(?s)cannot read this picture.*where: .*crash\.png.*ended by SIGSEGV.*to do: save it",
        ),
        ("kernel.png", r"(?s)ended from outside, twice.*SIGKILL.*give the job more"),
    ],
)
def test_a_picture_that_kills_the_decoder_is_named(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photograph, "_prepared", dies)
    with isolated_reader() as read, pytest.raises(UserError, match=message):
        read(tmp_path / name, 32)


def test_a_picture_that_fills_the_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any heap can hold that the forked process has from this one."""
    monkeypatch.setattr(photograph, "_prepared", lambda *_: np.ones(1 << 36, np.uint8))
    with isolated_reader() as read, pytest.raises(UserError, match=r"(?s)cannot read this picture.*large.png.*memory"):
        read(tmp_path / "large.png", 32)


def test_apart_it_is_the_same_picture_with_the_same_remarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, mask = saved(tmp_path / "photo.png", SCENE), saved(tmp_path / "mask.png", INSIDE * np.uint8(255))
    here, said = read_photo(photo, 32, mask=mask), capsys.readouterr().err
    with isolated_reader() as read:
        assert (read(photo, 32, mask=mask) == here).all() and capsys.readouterr().err == said != ""
        with pytest.raises(UserError, match=r"(?s)the crop does not lie.*wanted: 0 <= left"):
            read(photo, 32, crop=(0, 0, 61, 20))


@pytest.mark.parametrize("words", [["reconstruct"], ["interpolate", "seed:1"], ["arithmetic", "seed:1", "--minus"]])
def test_commands_that_are_given_photographs_read_them_apart(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photograph, "_prepared", dies)
    assert run_command(lambda: main([*words, str(tmp_path / "crash.png"), "-o", str(tmp_path / "out")])) == 1
    assert "ended by SIGSEGV" in capsys.readouterr().err
