"""A photograph becomes the square picture that encoders see."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.conventions import Array


def square_picture(pixels: UInt8[Array, "_H _W 3"], size_px: int) -> UInt8[Array, "{size_px} {size_px} 3"]:
    """Centred in the smallest square that holds it, then scaled.

    The missing sides repeat the border, which disturbs an encoder less than a frame does.
    """
    side = max(pixels.shape[:2])
    pad = [((side - n) // 2, side - n - (side - n) // 2) for n in pixels.shape[:2]]
    square = np.pad(pixels, (*pad, (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(square).resize((size_px, size_px), Image.Resampling.HAMMING))
