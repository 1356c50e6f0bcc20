"""A photograph becomes the square picture that encoders see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image


def square_picture(pixels: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (S, S, 3): centred in the smallest square that holds it, then scaled.

    The missing sides repeat the border, which disturbs an encoder less than a frame does.
    """
    side = max(pixels.shape[:2])
    pad = [((side - n) // 2, side - n - (side - n) // 2) for n in pixels.shape[:2]]
    square = np.pad(pixels, (*pad, (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.HAMMING))
