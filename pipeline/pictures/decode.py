"""Encoded pictures become arrays: the one decoder of pictures that came from elsewhere."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image

_MAX_PICTURE_PIXELS = 2**26


def decode_picture(data: bytes, limit_px: int | None) -> npt.NDArray[np.uint8] | None:
    """Picture bytes -> (H, W, 4) uint8, at most `limit_px` on the longer side; None if it is no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > _MAX_PICTURE_PIXELS:
                    return None
                return scaled(picture, limit_px)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def scaled(picture: Image.Image, limit_px: int | None) -> npt.NDArray[np.uint8]:
    """An opened picture -> (H, W, 4) uint8, at most `limit_px` on the longer side."""
    longest = max(picture.size)
    if limit_px is None or longest <= limit_px:
        return np.array(picture.convert("RGBA"))
    size = (max(1, round(picture.width * limit_px / longest)), max(1, round(picture.height * limit_px / longest)))
    picture.draft("RGB", size)  # a JPEG decodes at a half, a quarter or an eighth for free
    return np.array(picture.convert("RGBA").resize(size, Image.Resampling.BOX))
