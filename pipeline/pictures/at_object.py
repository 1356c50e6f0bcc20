"""The square part of a picture around its object, which alpha or a mask tells.

The window is centred on the box of the pixels that are at least half covered, and 1.15 times as wide as its longer
side, rounded up to whole pixels.  Where it ends outside of the picture, the picture's border is repeated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8
from PIL import Image

from pipeline.conventions import Array

MARGIN = (23, 20)  # of the window, as a fraction of the longer side of the box: 1.15
HALF = 128  # level from which on a pixel belongs to the object

Windows = Int32[Array, "N 3"]  # left and top, which may be negative, and side in pixels


class Window(NamedTuple):
    """A square part of a picture, in whole pixels; it may reach beyond the picture."""

    left: int
    top: int
    side: int


def windows_of(alpha: UInt8[Array, "N H W"]) -> Windows:
    """The window of each picture; an alpha that covers everything or nothing tells no object: the whole picture."""
    inside: Bool[Array, "N H W"] = np.greater_equal(alpha, HALF)
    height, width = alpha.shape[1:]
    rows: Bool[Array, "N H"] = np.logical_or.reduce(inside, 2)
    columns: Bool[Array, "N W"] = np.logical_or.reduce(inside, 1)
    found = np.stack(_around(*_ends(columns), *_ends(rows)), axis=1)
    whole = max(height, width)
    everything = (-((whole - width) // 2), -((whole - height) // 2), whole)
    told: Bool[Array, " N"] = np.logical_and(np.logical_or.reduce(rows, 1), np.logical_not(inside.all((1, 2))))
    return np.where(told[:, None], found, everything).astype(np.int32)


def window_around(left: int, top: int, right: int, bottom: int) -> Window:
    """The window of a box."""
    return Window(*(int(value) for value in _around(left, right, top, bottom)))


def _around(left: Any, right: Any, top: Any, bottom: Any) -> tuple[Any, Any, Any]:
    """Left, top and side of the windows of boxes: numbers or arrays of them."""
    times, by = MARGIN
    side = -(-np.maximum(bottom - top, right - left) * times // by)
    return (left + right - side) // 2, (top + bottom - side) // 2, side


def _ends(lines: Bool[Array, "N n"]) -> tuple[Int64[Array, " N"], Int64[Array, " N"]]:
    """The first line with anything in it, and the one after the last."""
    return lines.argmax(1), lines.shape[1] - lines[:, ::-1].argmax(1)


def window_of(alpha: UInt8[Array, "H W"]) -> Window:
    """The window of one picture."""
    return Window(*windows_of(alpha[None])[0].tolist())


def cropped(pixels: UInt8[Array, "H W *C"], window: Window, size_px: int) -> UInt8[Array, "{size_px} {size_px} *C"]:
    """What the window shows, scaled to `size_px`: grey, RGB or RGBA, whose colours are weighted by their alpha."""
    left, top, side = window
    rows = np.arange(top, top + side).clip(0, pixels.shape[0] - 1)
    columns = np.arange(left, left + side).clip(0, pixels.shape[1] - 1)
    square = np.ascontiguousarray(pixels[rows[:, None], columns])
    return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.HAMMING))
