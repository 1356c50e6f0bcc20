"""Encoded pictures become arrays: the one decoder of pictures that came from elsewhere.

Textures of meshes, backgrounds, photographs of evaluation sets, published views and the pictures
that a user hands to a trained network all come through here, under the same rules:

    formats      `FORMATS`; none that starts another program or fetches another file
    size         at most MAX_PIXELS, read from the header before any pixel is decoded
    whole        a file that was cut, or whose checksum is wrong, is refused
    first frame  of an animation, the first page of a TIFF
    depth        16 bits are scaled to 8, not clipped; floats and 32-bit integers, for which no white
                 is defined, are refused
    colours      grey, palette, CMYK and the like become RGB; alpha stays where there is one, straight
    profiles     an embedded ICC profile is not applied (glTF 2.0, section 3.8, says so of textures);
                 `Picture.notes` says that there was one of another space than sRGB
    orientation  photographs are turned as their EXIF says (`upright`); textures are not, because
                 texture coordinates count the stored pixels

What cannot be decoded is a Reject with one of `REASONS`.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from pipeline.conventions import Array
from pipeline.conventions import Image as Pixels
from pipeline.errors import Reject
from pipeline.pictures.containers import CutShort, check_whole, webp_size

# Their plugins are imported by name: Pillow would load every one that it has, some of which start programs.
FORMATS = (
    AvifImagePlugin.AvifImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
    DdsImagePlugin.DdsImageFile.format,
    GifImagePlugin.GifImageFile.format,
    JpegImagePlugin.JpegImageFile.format,
    PngImagePlugin.PngImageFile.format,
    PpmImagePlugin.PpmImageFile.format,
    TgaImagePlugin.TgaImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
MAX_PIXELS = 2**26
MAX_DRAFTED_PIXELS = 2 * MAX_PIXELS  # of a JPEG that is decoded coarsely
REASONS = {
    "bad_picture": "no picture, or a damaged one",
    "cut_short": "a part of the file is missing",
    "too_large": f"more than {MAX_PIXELS:,} pixels",
    "too_small": "a side is shorter than the caller needs",
    "unsupported": "a kind of picture whose meaning is not defined, or that this project does not read",
}
PROFILE_IGNORED = "its colour profile was not applied: it is taken as sRGB"
_ROWS = 256
_ORIENTATION, _TIFF_BITS, _TIFF_PHOTOMETRIC = 0x0112, 258, 262
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NO_WHITE = {"I": "32-bit integers", "F": "floating-point numbers"}
# How files begin that people take for pictures.
_NO_PICTURES = {
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file, perhaps an SVG drawing",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript file",
    b"version https://git-lfs": "a pointer of Git LFS: the picture itself was not fetched",
}
# What Pillow's decoders and its readers of metadata have been seen to raise for damaged files (tests/pipeline/
# pictures/test_decode.py flips and cuts files of every format).
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: Pixels  # 3 channels, or 4 where the file has transparency: sRGB, straight alpha
    grey: bool = False  # the file has no colours
    notes: tuple[str, ...] = ()  # what of the file was not used

    @property
    def rgba(self) -> UInt8[Array, "_H _W 4"]:
        """Opaque where the file has no transparency."""
        if self.pixels.shape[2] == 4:
            return self.pixels
        out = np.empty((*self.pixels.shape[:2], 4), np.uint8)
        for channel in range(3):  # four times as fast as to write three bytes of every four at once
            out[..., channel] = self.pixels[..., channel]
        out[..., 3] = 255
        return out

    @property
    def on_white(self) -> UInt8[Array, "_H _W 3"]:
        """As it is seen on white paper."""
        if self.pixels.shape[2] == 3:
            return self.pixels
        out = np.empty((*self.pixels.shape[:2], 3), np.uint8)
        for row in range(0, len(out), _ROWS):  # a part at a time: in 16 bits a large picture fills the memory
            part = self.pixels[row : row + _ROWS].astype(np.uint16)
            alpha = part[..., 3:]
            out[row : row + _ROWS] = (part[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return out


def decode_picture(
    data: bytes,
    *,
    upright: bool = True,  # turn it as its EXIF says
    longest_px: int | None = None,  # larger pictures are scaled down to this on their longer side
    enough_px: int | None = None,  # a JPEG may be decoded coarsely while its shorter side keeps this
    least_px: int = 1,  # pictures with a shorter side are refused
) -> Picture:
    """Decode an encoded picture; Reject with one of `REASONS` says why that is impossible."""
    with opened(data, upright, longest_px, enough_px, least_px) as (picture, stored_px):
        grey = picture.mode.startswith(("1", "L", "I")) and picture.mode != "LAB"
        notes = (PROFILE_IGNORED,) if _has_other_colours(picture.info.get("icc_profile") or b"") else ()
        flat = in_eight_bits(picture)
        if longest_px is not None and max(stored_px) > longest_px:
            longer, shorter = _reduced(stored_px, longest_px)
            wanted = (longer, shorter) if flat.width >= flat.height else (shorter, longer)
            flat = flat.resize(wanted, Image.Resampling.BOX)
        return Picture(np.array(flat), grey, notes)


@contextlib.contextmanager
def opened(
    data: bytes, upright: bool, longest_px: int | None = None, enough_px: int | None = None, least_px: int = 1
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """The first frame of a picture, loaded, in its own mode, and its size as stored.

    What the block inside makes of it may fail on damage as well: that becomes a Reject too.
    """
    try:
        check_whole(data)
    except CutShort as error:
        raise Reject("cut_short", f"the picture is not whole: {error}") from error
    _check_size(webp_size(data) or (1, 1), most=MAX_PIXELS // 2)  # its decoder holds two canvases and the picture
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd but readable files, and its own limit on pixels
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                stored_px = picture.size
                _check_size(
                    stored_px, least_px, MAX_DRAFTED_PIXELS if picture.format in ("JPEG", "MPO") else MAX_PIXELS
                )
                _draft(picture, longest_px, enough_px)
                _check_size(picture.size)
                picture.load()
                yield (_upright(picture) if upright else picture), stored_px
    except UnidentifiedImageError as error:
        raise Reject("bad_picture", f"this is {_looks_like(data)}; known are {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise _too_large(f"{int(pixels[0]):,} pixels" if pixels else "far more pixels") from error
    except MemoryError as error:
        raise Reject("too_large", "there is not enough memory for this picture: scale it down") from error
    except _DAMAGE as error:
        raise Reject("bad_picture", f"the picture is damaged: {error or type(error).__name__}"[:200]) from error


def in_eight_bits(picture: Image.Image) -> Image.Image:
    """A loaded picture as RGB, or as RGBA where it has transparency."""
    if is_deep(picture):
        return _from_sixteen_bits(picture)
    if picture.mode in _NO_WHITE:
        raise Reject(
            "unsupported",
            f"the pixels are {_NO_WHITE[picture.mode]}, for which no white is defined: save it with 8 or 16 bits",
        )
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def is_deep(picture: Image.Image) -> bool:
    """Grey, with more than 8 bits and a defined white."""
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")


def deep_values(picture: Image.Image) -> tuple[Shaped[Array, "_H _W"], int]:
    """(H, W) numbers of a grey picture of more than 8 bits, 0 black, and the number that is white."""
    values, tags = np.asarray(picture), getattr(picture, "tag_v2", {})
    white = (1 << int(np.max(tags.get(_TIFF_BITS, 16)))) - 1  # TIFF also knows pictures of 12 bits
    if values.dtype.kind == "i":  # PPM
        values = values.clip(0, white).astype(np.uint16)
    return (white - values.clip(0, white) if tags.get(_TIFF_PHOTOMETRIC) == 0 else values), white


def _from_sixteen_bits(picture: Image.Image) -> Image.Image:
    values, white = deep_values(picture)
    level = np.clip((np.arange(65536) * 255 + white // 2) // white, 0, 255).astype(np.uint8)
    bands = [level[values]] * 3
    clear: Any = picture.info.get("transparency")
    if isinstance(clear, int):
        bands.append(np.where(values == clear, 0, 255).astype(np.uint8))
    return Image.fromarray(np.stack(bands, axis=2))


def _reduced(size: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """The longer and the shorter side of a picture that is scaled down to `longest_px`."""
    return longest_px, max(1, round(min(size) * longest_px / max(size)))


def _check_size(size: tuple[int, int], least_px: int = 1, most: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > most:
        raise _too_large(f"{width} x {height} pixels", most)
    if min(size) < least_px:
        raise Reject("too_small", f"{width} x {height} pixels, at least {least_px} a side are needed")


def _too_large(found: str, most: int = MAX_PIXELS) -> Reject:
    return Reject("too_large", f"{found}; at most {min(most, MAX_PIXELS):,} are decoded: scale it down")


def _draft(picture: Image.Image, longest_px: int | None, enough_px: int | None) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth, which is nearly free."""
    if longest_px is not None and max(picture.size) > longest_px:
        longer, shorter = _reduced(picture.size, longest_px)
        picture.draft("RGB", (longer, shorter) if picture.width >= picture.height else (shorter, longer))
    elif enough_px is not None and min(picture.size) > 2 * enough_px:
        picture.draft("RGB", (enough_px, enough_px))


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF or XMP says; damaged metadata says nothing."""
    try:
        orientation = picture.getexif().get(_ORIENTATION, 1)
    except _DAMAGE:
        return picture
    way = _TURNS.get(orientation)
    return picture if way is None else picture.transpose(way)


def _has_other_colours(profile: bytes) -> bool:
    """Whether an ICC profile is another than sRGB, which its own description names, in one or two bytes a letter."""
    return bool(profile) and b"sRGB" not in profile and "sRGB".encode("utf-16-be") not in profile


def _looks_like(data: bytes) -> str:
    start = data[:256].lstrip()
    for begin, name in _NO_PICTURES.items():
        if start.startswith(begin):
            return name
    if data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"hev", b"mif"):
        return "an HEIC picture of a phone: export it as JPEG or PNG"
    return "no picture" if data else "an empty file"
