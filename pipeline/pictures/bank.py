"""The background bank and the one place where a view meets its background.

A bank is an uncompressed ``.npz``, so NumPy reads it and `open_bank` maps it into memory:

    crops.npy    (M, B, B, 3) uint8 sRGB, square crops of photographs, row 0 on top
    looks.npy    (M, 5) float32, how each crop was altered: blur in bank pixels, standard deviation
                 of the noise in sRGB levels, factors of red, green and blue; (0, 0, 1, 1, 1) is not at all
    info.npy     uint8, the UTF-8 JSON ``{"names": [M], "counts": {...}, "settings": {...}}``

A view's background is ``(background_id, background_crop)``: the bank's row, and
(row, column, side in bank pixels, mirror 0 or 1, gain).  With these two a composite can be
built again bit for bit: only elementwise float32 and integer arithmetic is used.
Id -1 is a plain colour: then the first three numbers of the crop are its sRGB values.  Id -2
is nothing, the view is transparent; where a picture is needed all the same, white.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from pipeline.atomic import atomic_path
from pipeline.conventions import Array, Floats32, Image
from pipeline.errors import UserError, remedy
from pipeline.formats.npz import open_member
from pipeline.formats.zipped import damage_as
from pipeline.pictures.colour import SRGB_TO_LINEAR, srgb_bytes
from pipeline.state.files import parse_json

PLAIN, NOTHING = -1, -2  # background ids of a plain colour and of a transparent view
_Rows: TypeAlias = Int64[Array, " size"]
UNALTERED = (0.0, 0.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Bank:
    """Crops, mapped from the file, with the names of the pictures they come from."""

    crops: UInt8[Array, "_M B B 3"]
    names: list[str] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)
    looks: Float32[Array, "_M 5"] = field(default_factory=lambda: np.zeros((0, 5), np.float32))

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        return int(self.crops.shape[1])


def write_bank(
    path: str | Path,
    crops: UInt8[Array, "M B B 3"] | Sequence[Image],
    info: dict[str, Any],
    looks: Float32[Array, "M 5"] | None = None,  # None: unaltered crops
) -> None:
    """Publish a bank atomically; equal content gives equal bytes (times inside are fixed).

    `crops` may be any sequence that hands out one (B, B, 3) crop at a time: a bank of all of
    SUN397 is larger than most memories.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(crops), *np.shape(crops[0]))}
    text = np.frombuffer(json.dumps(info, sort_keys=True, allow_nan=False).encode(), dtype=np.uint8)
    looks = np.tile(np.array(UNALTERED, np.float32), (len(crops), 1)) if looks is None else looks
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        with open_member(archive, "crops") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for row in range(len(crops)):
                file.write(np.ascontiguousarray(crops[row], dtype=np.uint8).data)
        with open_member(archive, "looks") as file:
            np.lib.format.write_array(file, looks.astype("<f4"), version=(1, 0), allow_pickle=False)
        with open_member(archive, "info") as file:
            np.lib.format.write_array(file, text, allow_pickle=False)


def open_bank(path: str | Path) -> Bank:
    """Map a bank; refuses a file that is not one, or not as it was written: every byte of it is read."""
    path = Path(path)

    def unreadable(problem: str) -> UserError:
        wanted, do = "a file made by `python -m render backgrounds`", remedy(path, ".npz")
        return UserError("cannot read a background bank", where=str(path), got=problem, wanted=wanted, do=do)

    with damage_as(unreadable):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} was changed after it was written")
            with archive.open("info.npy") as file:
                info = parse_json(np.lib.format.read_array(file, allow_pickle=False).tobytes())
        if not isinstance(info, dict):
            raise ValueError("its notes are no object")
        crops = _map_member(path, "crops.npy")
        if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3 or crops.dtype != np.uint8:
            raise ValueError(f"crops of shape {crops.shape} and type {crops.dtype}")
        looks = _map_member(path, "looks.npy")
        if looks.shape != (len(crops), 5):
            raise ValueError(f"looks of shape {looks.shape} for {len(crops)} crops")
        return Bank(crops, list(info["names"]), info, looks)


def _map_member(path: Path, name: str) -> Array:
    """Memory-map one stored (uncompressed) array of an .npz."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)
        lengths = np.frombuffer(file.read(4), dtype="<u2")
        file.seek(int(lengths.sum()), 1)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if fortran:
            raise ValueError(f"{name} is in Fortran order")
        if 0 in shape:
            return np.zeros(shape, dtype=dtype)
        return np.memmap(file, dtype=dtype, shape=shape, mode="r", offset=file.tell())


def background(
    bank: Bank | None, background_id: int, crop: Sequence[float] | Floats32, size_px: int
) -> UInt8[Array, "{size_px} {size_px} 3"]:
    """The (S, S, 3) background of one view."""
    if background_id == NOTHING:
        return np.full((size_px, size_px, 3), 255, np.uint8)
    if background_id == PLAIN:
        return np.broadcast_to(np.asarray(crop[:3]).astype(np.uint8), (size_px, size_px, 3)).copy()
    if bank is None or background_id >= len(bank):
        raise UserError(
            "a view names a background that the bank does not hold",
            got=str(background_id),
            wanted=f"0 to {0 if bank is None else len(bank) - 1}",
            do="use the bank that the shard was made with",
        )
    row, column, side = (int(value) for value in crop[:3])
    picture = np.asarray(bank.crops[background_id, row : row + side, column : column + side])
    picture = resize(picture, size_px)
    if crop[3] >= 0.5:
        picture = picture[:, ::-1]
    gain = np.float32(crop[4])
    if gain != 1:
        picture = np.minimum(picture.astype(np.float32) * gain + np.float32(0.5), np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(picture)


def resize(picture: UInt8[Array, "_H _W C"], size_px: int) -> UInt8[Array, "{size_px} {size_px} C"]:
    """(H, W, C) -> (S, S, C): a whole-number box filter where it is much too large, then bilinear."""
    box = min(picture.shape[0], picture.shape[1]) // size_px
    if box >= 2:
        height, width = (n // box * box for n in picture.shape[:2])
        blocks = picture[:height, :width].reshape(height // box, box, width // box, box, -1)
        total = blocks.sum(axis=(1, 3), dtype=np.uint32)
        picture = ((total + box * box // 2) // (box * box)).astype(np.uint8)
    if picture.shape[:2] == (size_px, size_px):
        return picture
    rows, next_rows, row_part = _taps(picture.shape[0], size_px)
    columns, next_columns, column_part = _taps(picture.shape[1], size_px)
    lines = picture.astype(np.float32)
    lines = lines[rows] + (lines[next_rows] - lines[rows]) * row_part[:, None, None]
    left = lines[:, columns]
    smooth = left + (lines[:, next_columns] - left) * column_part[None, :, None]
    return (smooth + np.float32(0.5)).astype(np.uint8)


def _taps(length: int, size: int) -> tuple[_Rows, _Rows, Float32[Array, " size"]]:
    """The two source pixels of every output pixel, and the weight of the second."""
    place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, length - 1), (place - first).astype(np.float32)


def composite(rgba: UInt8[Array, "... 4"], behind: UInt8[Array, "... 3"], space: str = "srgb") -> UInt8[Array, "... 3"]:
    """Blend (..., 4) straight-alpha sRGB over (..., 3) sRGB; `space` is where edges are mixed.

    "srgb" mixes the stored numbers, as most published pipelines do; "linear" mixes light.
    """
    if space == "srgb":
        alpha = rgba[..., 3:].astype(np.uint16)
        mixed = rgba[..., :3] * alpha + behind * (255 - alpha) + np.uint16(127)
        return (mixed // np.uint16(255)).astype(np.uint8)
    share = rgba[..., 3:].astype(np.float32) * np.float32(1 / 255)
    light = SRGB_TO_LINEAR[rgba[..., :3]] * share + SRGB_TO_LINEAR[behind] * (1 - share)
    return srgb_bytes(light)
