"""Backgrounds: undistorted crops from folders and archives, and what is done with what is no picture."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.pictures.bank import Bank, open_bank
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.backgrounds import Backgrounds
from pipeline.stages.fetch import fetch_backgrounds
from render.backgrounds import altered, build_bank, draw_alteration


def picture(name: str, seed: int, size: tuple[int, int], mode: str = "RGB") -> tuple[str, bytes]:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.convert(mode).save(buffer, "JPEG" if name.endswith("jpg") else "PNG")
    return name, buffer.getvalue()


PICTURES = dict(
    [
        picture("a/wide.jpg", 1, (300, 120)),
        picture("a/tall.png", 2, (100, 220)),
        picture("b/square.jpg", 3, (128, 128)),
        picture("b/grey.jpg", 4, (160, 120), "L"),
        picture("b/see-through.png", 5, (160, 120), "RGBA"),
    ]
)
BAD = dict(
    [
        picture("tiny.jpg", 6, (20, 20)),
        ("broken.jpg", PICTURES["a/wide.jpg"][:200]),
        ("page.png", b"<html>"),
        ("empty.jpg", b""),
    ]
)


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def bank(source: Path, out: Path, *, count: int = 100, seed: int = 1, render_px: int = 64) -> Bank:
    build_bank(source, out, seed=seed, settings=Backgrounds(count=count), render_px=render_px, log=Log(None))
    return open_bank(out)


def test_a_folder_becomes_a_bank_and_bad_files_are_counted_by_reason(tmp_path: Path) -> None:
    made = bank(
        folder(tmp_path / "in", {**PICTURES, **BAD, ".hidden.jpg": b"x", "notes.txt": b"x"}), tmp_path / "b.npz"
    )
    assert made.names == sorted(PICTURES)
    assert made.crops.shape == (5, 80, 80, 3)
    counts = made.info["counts"]
    assert counts["refused"] == {"too_small": 1, "unreadable": 3}
    assert counts["greyscale"] == 1
    assert (counts["found"], counts["used"]) == (9, 5)
    grey = made.crops[made.names.index("b/grey.jpg")]
    assert (grey[..., 0] == grey[..., 1]).all()


def test_crops_are_not_stretched(tmp_path: Path) -> None:
    rows, columns = np.indices((120, 300))
    disc = np.where((rows - 60) ** 2 + ((columns % 120) - 60) ** 2 < 50**2, 255, 0).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(disc).convert("RGB").save(tmp_path / "in" / "discs.png")
    crop = bank(tmp_path / "in", tmp_path / "b.npz").crops[0][..., 0] > 128
    # A disc of radius 50 in 120 pixels covers as many rows as columns after an even scaling.
    assert abs(int(crop.any(axis=1).sum()) - round(100 * 80 / 120)) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_of_phones_stand_upright(orientation: int, tmp_path: Path) -> None:
    upright = np.zeros((128, 160, 3), np.uint8)
    upright[:64], upright[64:] = (0, 0, 254), (0, 254, 0)  # sky and grass
    turns = {5: 1, 6: 1, 7: -1, 8: -1, 3: 2, 4: 2}  # quarter turns that bring the sky to where the file has it
    stored = np.rot90(upright, turns.get(orientation, 0))
    tags = Image.Exif()
    tags[0x0112] = orientation
    (tmp_path / "in").mkdir()
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "in" / "phone.png", exif=tags)
    crop = bank(tmp_path / "in", tmp_path / "b.npz").crops[0]
    assert (crop[:36] == (0, 0, 254)).all() and (crop[-36:] == (0, 254, 0)).all()


def test_deep_greys_and_transparent_pictures_are_seen_as_on_paper(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((128, 128), 100 * 257, np.uint16)).save(tmp_path / "in" / "deep.png")
    Image.fromarray(np.zeros((128, 128, 4), np.uint8)).save(tmp_path / "in" / "clear.png")
    made = bank(tmp_path / "in", tmp_path / "b.npz")
    assert (made.crops[made.names.index("deep.png")] == 100).all()
    assert (made.crops[made.names.index("clear.png")] == 255).all()


def test_pictures_of_a_phone_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    made = bank(folder(tmp_path / "in", {**PICTURES, "IMG_1.HEIC": heic}), tmp_path / "b.npz")
    (example,) = made.info["counts"]["examples"]["unreadable"]
    assert example.startswith("IMG_1.HEIC (this is an HEIC picture of a phone: export it as JPEG or PNG")
    assert "colour_profiles_ignored" not in made.info["counts"]


def test_archives_give_the_folders_crops(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", {**PICTURES, **BAD})
    zipped, tarred = tmp_path / "in.zip", tmp_path / "in.tar.gz"
    with zipfile.ZipFile(zipped, "w") as archive:
        for name in sorted({**PICTURES, **BAD}):
            archive.write(source / name, name)
    with tarfile.open(tarred, "w:gz") as archive:
        for name in sorted({**PICTURES, **BAD}, reverse=True):
            archive.add(source / name, name)
    for count in (2, 100):
        banks = [bank(s, tmp_path / f"{i}.npz", count=count) for i, s in enumerate((source, zipped, tarred))]
        assert banks[0].names == banks[1].names == banks[2].names
        assert np.array_equal(banks[0].crops, banks[1].crops)
        assert np.array_equal(banks[0].crops, banks[2].crops)


def test_a_fetched_archive_of_photographs_becomes_a_bank(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", PICTURES)
    (tmp_path / "mirror").mkdir()
    with tarfile.open(tmp_path / "mirror" / "SUN2012pascalformat.tar.gz", "w:gz") as archive:
        archive.add(source, "SUN2012pascalformat")
    settings = Backgrounds(source="sun2012", mirrors=((tmp_path / "mirror").as_uri(),))
    with Log(None) as log:
        fetch_backgrounds(settings, tmp_path / "backgrounds.json", log=log)
    assert len(bank(tmp_path / "backgrounds.json", tmp_path / "b.npz")) == len(PICTURES)


def test_one_more_picture_moves_no_other_crop(tmp_path: Path) -> None:
    first = bank(folder(tmp_path / "in", PICTURES), tmp_path / "1.npz")
    folder(tmp_path / "in", dict([picture("c/new.jpg", 9, (200, 150))]))
    second = bank(tmp_path / "in", tmp_path / "2.npz")
    assert set(second.names) - set(first.names) == {"c/new.jpg"}
    for row, name in enumerate(first.names):
        assert np.array_equal(first.crops[row], second.crops[second.names.index(name)])


def test_the_same_folder_gives_the_same_bytes_and_another_seed_other_crops(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", PICTURES)
    one, two = bank(source, tmp_path / "1.npz"), bank(source, tmp_path / "2.npz")
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert not np.array_equal(one.crops, bank(source, tmp_path / "3.npz", seed=2).crops)
    assert two.info["settings"]["count"] == 100


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    bomb += b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
        for k, d in ((b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    )
    made = bank(folder(tmp_path / "in", {**PICTURES, "bomb.png": bomb}), tmp_path / "b.npz")
    assert made.info["counts"]["refused"] == {"too_large": 1}


@pytest.mark.parametrize("files", [{}, BAD])
def test_nothing_usable_is_an_error_that_says_what_was_found(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="no usable background pictures") as caught:
        bank(folder(tmp_path / "in", files), tmp_path / "b.npz")
    assert "backgrounds.path" in str(caught.value)
    assert not (tmp_path / "b.npz").exists()


def test_no_such_folder_and_a_damaged_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder or archive"):
        bank(tmp_path / "nowhere", tmp_path / "b.npz")
    tarred = tmp_path / "in.tar.gz"
    with tarfile.open(tarred, "w:gz") as archive:
        archive.add(folder(tmp_path / "in", PICTURES), "in")
    tarred.write_bytes(tarred.read_bytes()[:-3000])
    with pytest.raises(UserError, match="cannot read an archive"):
        bank(tarred, tmp_path / "b.npz")


def test_blur_noise_and_jitter_are_seeded_and_off_by_default() -> None:
    rows, columns = np.indices((64, 64))
    crop = np.repeat(np.where((rows // 8 + columns // 8) % 2, 200, 60).astype(np.uint8)[..., None], 3, axis=2)

    def look(**settings: float) -> np.ndarray:
        return altered(crop, draw_alteration(Backgrounds(**settings), 1, "a"), generator(1, "noise", "a"))

    def sharpness(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture.astype(int), axis=1)).max())

    assert (look() == crop).all()
    assert sharpness(look(blur_px=8)) < 0.7 * sharpness(crop)
    assert abs(look(blur_px=8).mean() - crop.mean()) < 2, "blur moves no light"
    noisy = look(noise=30).astype(int) - crop
    assert 1 < noisy.std() < 30 and abs(noisy.mean()) < 1
    ratio = look(colour_jitter=0.4).reshape(-1, 3).mean(axis=0) / crop.reshape(-1, 3).mean(axis=0)
    assert (np.abs(ratio - 1) <= 0.41).all() and np.ptp(ratio) > 0.02, "the channels change apart"
    assert (look(blur_px=3, noise=9, colour_jitter=0.2) == look(blur_px=3, noise=9, colour_jitter=0.2)).all()
