"""One photograph of a known object, as the readers of evaluation sets give it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pipeline.conventions import Grid
from pipeline.errors import Reject


@dataclasses.dataclass(frozen=True)
class Photograph:
    """Nothing is read until `read` and `voxels` are called."""

    picture: str  # file name below the data set, unique
    category: str
    object: str  # the 3D model it shows
    read: Callable[[], bytes]
    voxels: Callable[[], Grid]
    box: tuple[int, int, int, int] | None = None  # left, top, right, bottom in pixels; None: the whole picture
    size: tuple[int, int] | None = None  # width and height of the picture in which the box was drawn, where known


def file_reader(root: Path, name: str) -> Callable[[], bytes]:
    """Reads one file below `root`; Reject for what is absent or outside."""

    def read() -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise Reject("missing_file", f"{name} leads out of {root}")
        if not path.is_file():
            raise Reject("missing_file", f"{name} is {'no file' if path.exists() else 'not there'}")
        return path.read_bytes()

    return read
