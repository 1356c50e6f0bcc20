"""The same picture in every format and kind of pixels that the decoder reads."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

WIDTH, HEIGHT = 24, 16


def scene(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """(H, W, 3): no two of the eight orientations of it are alike."""
    rows, columns = np.indices((height, width))
    red = np.where(rows < height // 2, 250, 20)
    green = 255 * columns // max(width - 1, 1)
    blue = np.where((rows < 4) & (columns < 6), 255, 0)
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def encoded(pixels: npt.NDArray[Any], format: str, mode: str | None = None, **options: Any) -> bytes:
    """(H, W), (H, W, 3) or (H, W, 4) as a file; `mode` is Pillow's, converted to before it is saved."""
    picture = Image.fromarray(pixels)
    if mode is not None and picture.mode != mode:
        picture = picture.convert(mode)
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "BMP": {},
    "GIF": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "PPM": {},
    "TGA": {},
}


@functools.cache
def every_format() -> dict[str, bytes]:
    """One file of each format and coding that is read, by a name."""
    rgb = scene()
    alpha = np.concatenate([rgb, rgb[..., 1:2]], axis=2)
    files = {name: encoded(rgb, name, **options) for name, options in LOSSLESS.items()}
    files |= {
        f"TIFF {coding}": encoded(rgb, "TIFF", compression=coding)
        for coding in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
    }
    files |= {
        "JPEG": encoded(rgb, "JPEG", quality=95, subsampling=0),
        "JPEG progressive": encoded(rgb, "JPEG", progressive=True),
        "PNG palette": encoded(rgb, "PNG", "P"),
        "PNG alpha": encoded(alpha, "PNG"),
        "PNG 16": encoded(rgb[..., 1].astype(np.uint16) * 257, "PNG"),
        "WEBP lossy": encoded(rgb, "WEBP"),
        "WEBP alpha": encoded(alpha, "WEBP"),
        "TGA rle": encoded(rgb, "TGA", compression="tga_rle"),
        "DDS": encoded(alpha, "DDS"),
    }
    if features.check("avif"):  # Pillow can be built without
        files["AVIF"] = encoded(rgb, "AVIF", quality=90)
        files["AVIF alpha"] = encoded(alpha, "AVIF")
    return files
