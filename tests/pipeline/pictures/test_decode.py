"""Every kind of picture comes out as what it shows, or is refused with words."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageCms

from pipeline.errors import Reject
from pipeline.pictures.decode import Picture, decode_picture
from tests.conftest import ROOT
from tests.pipeline.pictures.samples import HEIGHT, LOSSLESS, WIDTH, encoded, every_format, scene

GREYS = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9))
# What brings the picture upright again, by EXIF orientation: the stored pixels of an upright picture.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, -1),
}


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def rgb(data: bytes, **options: Any) -> npt.NDArray[np.uint8]:
    return decode_picture(data, **options).pixels[..., :3]


@pytest.mark.parametrize("name", sorted(LOSSLESS.keys() - {"GIF"}))
def test_colours_come_out_as_they_are(name: str) -> None:
    assert (rgb(encoded(scene(), name, **LOSSLESS[name])) == scene()).all()


@settings(max_examples=60, deadline=None)
@given(GREYS, st.sampled_from(["PNG", "TIFF", "PPM"]))
def test_sixteen_bits_of_grey_are_the_eight_bits_of_the_same_grey(grey: npt.NDArray[np.uint8], name: str) -> None:
    deep = decode_picture(encoded(grey.astype(np.uint16) * 257, name))
    flat = decode_picture(encoded(grey, name))
    assert deep.grey and flat.grey
    assert (deep.pixels == flat.pixels).all() and (flat.pixels[..., 0] == grey).all()


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint16, (4, 5)))
def test_sixteen_bits_are_scaled_and_not_clipped(values: npt.NDArray[np.uint16]) -> None:
    assert np.abs(rgb(encoded(values, "PNG"))[..., 0] - values / 257).max() <= 0.51


def test_sixteen_bits_of_each_colour_keep_their_upper_eight() -> None:
    """Pillow cannot write such a PNG: rows of big-endian numbers, each behind its filter byte."""
    deep = (scene().astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    assert (rgb(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)) == scene()).all()


def tiff(values: npt.NDArray[Any], *, bits: int, photometric: int) -> bytes:
    """An uncompressed little-endian TIFF of one strip."""
    payload = values.tobytes()
    height, width = values.shape
    sample_format = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    fields = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1)]
    fields += [(278, height), (279, len(payload)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    ifd = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(payload)) + payload + ifd


def test_white_is_zero_also_with_sixteen_bits() -> None:
    values = (np.arange(12, dtype="<u2").reshape(3, 4) * 5000).astype("<u2")
    black = rgb(tiff(values, bits=16, photometric=1))
    assert (rgb(tiff(values, bits=16, photometric=0)) == 255 - black).all() and black.max() > 200


@pytest.mark.parametrize("values", [np.ones((4, 4), "<f4"), np.full((4, 4), 70_000, "<i4"), np.full((4, 4), 9, "<u4")])
def test_numbers_without_a_white_are_refused(values: npt.NDArray[Any]) -> None:
    with pytest.raises(Reject, match=r"unsupported: the pixels are .*no white is defined: save it with 8 or 16 bits"):
        decode_picture(tiff(values, bits=32, photometric=1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_kind_of_pixels_shows_what_it_shows(mode: str) -> None:
    """Against Pillow's own conversion of the picture that was saved, at the corners and on the whole."""
    name = "TIFF" if mode == "CMYK" else "PNG"
    saved = Image.fromarray(scene()).convert(mode)
    found = rgb(encoded(scene(), name, mode)).astype(int)
    assert np.abs(found - np.asarray(saved.convert("RGB"))).max() <= 1


def test_a_palette_with_a_clear_colour_has_alpha() -> None:
    picture = Image.fromarray((scene()[..., 2] > 0).astype(np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=0)
    found = decode_picture(out.getvalue())
    assert (found.pixels[..., 3] == np.where(scene()[..., 2] > 0, 255, 0)).all()
    assert (found.on_white[scene()[..., 2] == 0] == 255).all()
    assert (found.on_white[scene()[..., 2] > 0] == (200, 100, 50)).all()


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_photographs_are_upright_and_textures_as_stored(name: str, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](scene()))
    data = encoded(stored, name, exif=exif(orientation), **LOSSLESS[name])
    assert (rgb(data) == scene()).all()
    if name != "TIFF":  # there the orientation belongs to the format itself
        assert (rgb(data, upright=False) == stored).all()


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("kind", ["PNG of 16 bits", "TIFF of 16 bits", "TIFF, deflated", "PNG with a palette"])
def test_every_kind_of_pixels_stands_upright(kind: str, orientation: int) -> None:
    deep, name = "16" in kind, kind[:4].strip(" ,")
    pixels = scene()[..., 1].astype(np.uint16) * 257 + 3 if deep else scene()
    options: dict[str, Any] = {"compression": "tiff_adobe_deflate"} if "deflated" in kind else {}

    def file_of(stored: npt.NDArray[Any], number: int) -> bytes:
        mode = "P" if "palette" in kind else None
        return encoded(np.ascontiguousarray(stored), name, mode, exif=exif(number), **options)

    upright = rgb(file_of(pixels, 1)).astype(int)
    # A palette is chosen for the stored pixels, whose order may decide between two that are as near.
    assert np.abs(rgb(file_of(STORED[orientation](pixels), orientation)) - upright).max() <= ("palette" in kind) * 60


def test_a_photograph_of_a_phone_is_upright_when_it_is_decoded_coarsely() -> None:
    stored = np.ascontiguousarray(np.rot90(scene(640, 320), 1))
    data = encoded(stored, "JPEG", quality=95, exif=exif(6))
    small = rgb(data, enough_px=32)
    assert small.shape[0] < 320 and small.shape[1] == 2 * small.shape[0]
    assert small[: len(small) // 4, :, 0].min() > 200 and small[-len(small) // 4 :, :, 0].max() < 60


def test_damaged_exif_turns_nothing() -> None:
    data = encoded(scene(), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert (rgb(data) == scene()).all()


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    out = io.BytesIO()
    frames[0].save(out, name, save_all=True, append_images=frames[1:], **({"lossless": True} if name == "WEBP" else {}))
    assert (rgb(out.getvalue()) == (255, 0, 0)).all()


def test_a_colour_profile_is_said_and_changes_nothing() -> None:
    def profile(space: str) -> bytes:
        return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes())

    found = decode_picture(encoded(scene(), "PNG", icc_profile=profile("LAB")))
    assert found.notes == ("its colour profile was not applied: it is taken as sRGB",)
    assert (found.pixels == scene()).all()
    for own in ({}, {"icc_profile": profile("sRGB")}):
        assert decode_picture(encoded(scene(), "PNG", **own)).notes == ()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.sampled_from(["PNG", "JPEG"]))
def test_pictures_are_scaled_to_the_limit_and_small_ones_left_alone(w: int, h: int, limit: int, name: str) -> None:
    found = decode_picture(encoded(scene(w, h), name), longest_px=limit).pixels.shape[:2]
    if max(w, h) <= limit:
        assert found == (h, w)
    else:
        assert max(found) == limit and abs(min(found) - min(w, h) * limit / max(w, h)) <= 1


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(every_format()))
def test_a_file_that_was_cut_is_refused(name: str) -> None:
    data = every_format()[name]
    whole = decode_picture(data).pixels
    assert whole.shape[:2] == (HEIGHT, WIDTH)
    for length in sorted({*range(0, len(data), max(1, len(data) // 97)), *range(max(0, len(data) - 40), len(data))}):
        try:
            found = decode_picture(data[:length])
        except Reject as reject:
            assert reject.reason in ("cut_short", "bad_picture"), reject
        else:  # what follows the pixels of a TGA is a signature
            assert name.startswith("TGA") and (found.pixels == whole).all(), f"cut to {length} of {len(data)} bytes"


@pytest.mark.parametrize("name", sorted(every_format()))
def test_bytes_that_changed_are_refused_or_read(name: str) -> None:
    data = every_format()[name]
    rng = np.random.default_rng(len(data))
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            broken[place] = rng.integers(0, 256)
        try:
            assert decode_picture(bytes(broken)).pixels.dtype == np.uint8
        except Reject as reject:
            assert reject.detail


def header_of(name: str, width: int, height: int) -> bytes:
    """A small file whose header promises a picture of another size."""
    data = bytearray(every_format()[name])
    places = {
        "PNG": (16, ">II"),
        "GIF": (6, "<HH"),
        "BMP": (18, "<ii"),
        "TGA": (12, "<HH"),
        "WEBP lossy": (26, "<HH"),
        "DDS": (12, "<II"),
    }
    at, layout = places[name]
    struct.pack_into(layout, data, at, *((height, width) if name == "DDS" else (width, height)))
    if name == "PNG":
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("name", ["PNG", "GIF", "BMP", "TGA", "WEBP lossy", "DDS"])
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(Reject, match=r"too_large: .* pixels; at most [0-9,]* are decoded: scale"):
        decode_picture(header_of(name, 16_000, 15_000))


def test_a_jpeg_may_be_larger_where_it_is_decoded_coarsely() -> None:
    data = bytearray(encoded(np.zeros((16, 16, 3), np.uint8), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", data, at, 9000, 12_000)  # 108 million pixels, as some phones make them
    with pytest.raises(Reject, match="too_large"):
        decode_picture(bytes(data))
    assert decode_picture(bytes(data), enough_px=64).pixels.shape[0] < 9000 / 4
    struct.pack_into(">HH", data, at, 20_000, 20_000)
    with pytest.raises(Reject, match="too_large"):
        decode_picture(bytes(data), enough_px=64)


@pytest.mark.parametrize(
    "data,words",
    [
        (b"", "an empty file"),
        (b"hello", "no picture"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "an HEIC picture of a phone: export it as JPEG or PNG"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(Reject, match=words):
        decode_picture(data)


def test_pictures_that_are_too_small_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(Reject, match="too_small: 24 x 16 pixels, at least 17 a side are needed"):
        decode_picture(encoded(scene(), "PNG"), least_px=17)
    assert isinstance(decode_picture(encoded(scene(), "PNG"), least_px=16), Picture)


def test_no_other_place_decodes_pictures() -> None:
    """Else they would again have other limits and other errors.

    The report opens the sheets that this project drew; portable.py is copied to where the project is not.
    """
    rooms = ("pipeline", "voxelize", "render", "training", "report")
    files = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    opens = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if re.search(r"\b(Image|Pillow|Picture)\.open\(|imageio|\bcv2\b|\bimread\b", path.read_text(encoding="utf-8"))
    }
    assert opens == {"pipeline/pictures/decode.py", "report/figures.py", "training/inference/portable.py"}
