"""One photograph of a known object, as the readers of evaluation sets give it."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
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


def file_reader(root: Path, name: str) -> Callable[[], bytes]:
    """Reads one file below `root`; Reject for what is absent or outside."""

    def read() -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            raise Reject("missing_file", f"{name} is not there")
        return path.read_bytes()

    return read


def matlab_grid(data: bytes, key: str, side: int) -> Grid:
    """The boolean grid (side, side, side) under `key` of a MATLAB file, in the file's own axes."""
    import scipy.io  # takes a moment to load

    try:
        values = scipy.io.loadmat(io.BytesIO(data), variable_names=[key])[key]
    except (
        scipy.io.matlab.MatReadError,
        ValueError,
        TypeError,
        LookupError,
        OSError,
        EOFError,
        NotImplementedError,
        ArithmeticError,
        MemoryError,
        struct.error,
        zlib.error,
    ) as error:
        raise Reject("malformed", f"not a MATLAB file with voxels: {error}"[:200]) from error
    if values.shape != (side,) * 3 or values.dtype.kind not in "iubf":
        raise Reject("bad_voxels", f"{key} is {values.dtype} {values.shape}; {side}^3 of 0 and 1 is wanted")
    if not ((values == 0) | (values == 1)).all():
        raise Reject("bad_voxels", f"{key} has values other than 0 and 1")
    grid: Grid = values == 1
    if not grid.any():
        raise Reject("empty", "no voxel is occupied")
    return grid
