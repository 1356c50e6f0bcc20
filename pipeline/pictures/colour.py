"""sRGB to linear light and back: IEC 61966-2-1, the transfer function that glTF 2.0 names.

Stored colours of this project are sRGB uint8; a GLB's factors and vertex colours are linear.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.conventions import Bytes, Floats, Floats32


def srgb_to_linear(values: npt.ArrayLike) -> Floats:
    """sRGB values in [0, 1] to linear light in [0, 1], elementwise."""
    v = np.asarray(values, dtype=np.float64)
    return np.asarray(np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4))


def linear_to_srgb(values: npt.ArrayLike) -> Floats:
    """Linear light in [0, 1] to sRGB in [0, 1], elementwise."""
    v = np.asarray(values, dtype=np.float64)
    return np.asarray(np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0.0) ** (1 / 2.4) - 0.055))


SRGB_TO_LINEAR: Floats32 = srgb_to_linear(np.arange(256) / 255).astype(np.float32)  # (256,) of every sRGB byte
_BETWEEN_BYTES: Floats32 = srgb_to_linear((np.arange(255) + 0.5) / 255).astype(np.float32)


def srgb_bytes(light: Floats32) -> Bytes:
    """Linear light in [0, 1] -> sRGB bytes, elementwise; the exact inverse of `SRGB_TO_LINEAR`."""
    return np.searchsorted(_BETWEEN_BYTES, light, side="right").astype(np.uint8)
