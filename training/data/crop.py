"""Pictures of a data set cropped at their objects, when it is opened or when they are gathered.

What is seen follows from a picture and its alpha alone, so it is the same in every tier and on any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from jaxtyping import Float, Int32, UInt8

from pipeline.conventions import Array
from pipeline.pictures.at_object import Window, Windows, cropped

_TOGETHER = 256  # pictures that a thread takes at once


def crop_rows(rows: UInt8[Array, "N bytes"], windows: Windows, size_px: int, *, threads: int = 1) -> None:
    """Crop pictures (N, S S C) in place."""

    def crop_some(start: int) -> None:
        for row, window in zip(rows[start : start + _TOGETHER], windows[start : start + _TOGETHER], strict=True):
            crop_row(row, window, size_px)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(crop_some, range(0, len(rows), _TOGETHER)))


def crop_row(row: UInt8[Array, " bytes"], window: Int32[Array, " 3"], size_px: int) -> None:
    """Crop one picture of S S C bytes in place."""
    channels = len(row) // size_px**2
    shape = (size_px, size_px) if channels == 1 else (size_px, size_px, channels)
    row[:] = cropped(row.reshape(shape), Window(*window.tolist()), size_px).reshape(-1)


def crop_intrinsics(K: Float[Array, "N 3 3"], windows: Windows, size_px: int) -> None:
    """The cameras of cropped pictures, in place: only the intrinsics change."""
    scale = size_px / windows[:, 2:]
    K[:, :2, 2] -= windows[:, :2]
    K[:, 0, :] *= scale
    K[:, 1, :] *= scale
