"""``photographs:``, and what a job that reads one of them needs."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict


class PhotographSet(Strict):
    """One set of photographs with voxels; every experiment that reads pictures is judged on it."""

    source: Literal["ikea", "pix3d"]
    """The reader that knows the layout."""
    path: str
    """The unpacked data set: for `ikea` the folder with Images, Lists and Voxels, for `pix3d` that of pix3d.json."""


class PhotographSettings(Strict):
    """An evaluation set of photographs with voxels."""

    source: Literal["ikea", "pix3d"]
    """The reader that knows the layout."""
    path: str
    """The unpacked data set."""
    size_px: int = pydantic.Field(default=64, ge=32, le=1024, multiple_of=8)
    """Side of the square crops, as the network wants them."""
