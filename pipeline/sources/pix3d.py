"""Pix3D: photographs with masks, boxes and 128^3 voxels (Sun et al., CVPR 2018, arXiv:1804.04610).

    pix3d.json          a list of {"img", "category", "model", "voxel", "bbox", "truncated", "occluded", ...}
    img/, model/, mask/

As in the paper's evaluation, pictures in which the object is truncated or occluded are left
out; voxels are brought to 32^3 by taking the maximum of each block.  The voxel files have +X to the
left, +Y out of the picture and +Z up in the canonical view, unlike the OBJ models, which have +Y up and
+Z into it (README of github.com/xingyuansun/pix3d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import Grid
from pipeline.errors import Reject, UserError
from pipeline.formats.matlab import read_matlab_grid
from pipeline.sources.photograph import Photograph, file_reader
from pipeline.state.files import parse_json

SIDE, STORED = 32, 128
_TEXTS = ("img", "category", "model", "voxel")
NOT_WHOLE = ("truncated", "occluded", "slightly_occluded")


def pix3d_photographs(folder: Path) -> Iterator[Photograph]:
    """Every picture that shows its object whole."""
    path = folder / "pix3d.json"
    try:
        entries = parse_json(path.read_bytes(), ours=False)
    except (OSError, ValueError) as error:
        raise UserError(
            "cannot read the list of Pix3D", where=str(path), got=str(error), do="give the folder that holds pix3d.json"
        ) from error
    if not isinstance(entries, list):
        raise UserError("cannot read the list of Pix3D", where=str(path), got=type(entries).__name__, wanted="a list")
    for number, entry in enumerate(entries):
        try:
            if not any(is_said(entry.get(key)) for key in NOT_WHOLE):
                yield _photograph(folder, entry)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                "an entry of the list of Pix3D is not as the data set has it",
                where=f"{path}: entry {number}",
                got=str(error),
                wanted=f"the texts {', '.join(_TEXTS)} and four numbers in bbox",
                do="fetch the list again",
            ) from error


def is_said(value: object) -> bool:
    """Whether a mark of an entry is set: the list has booleans, and its README texts."""
    return value.strip().lower() not in ("", "false") if isinstance(value, str) else bool(value)


def upright(grid: Grid) -> Grid:
    """A grid in the axes of the voxel files, in world axes: (x, y, z) -> (x, z, -y), a proper rotation."""
    return np.ascontiguousarray(grid.transpose(0, 2, 1)[:, :, ::-1])


def _photograph(folder: Path, entry: dict[str, Any]) -> Photograph:
    texts = [entry[key] for key in _TEXTS]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{texts}")
    left, top, right, bottom = (round(float(value)) for value in entry["bbox"])
    size = entry.get("img_size")
    return Photograph(
        entry["img"],
        entry["category"],
        entry["model"],
        file_reader(folder, entry["img"]),
        _voxels(folder, entry),
        (left, top, right, bottom),
        None if size is None else (int(size[0]), int(size[1])),
    )


def _voxels(folder: Path, entry: dict[str, Any]) -> Callable[[], Grid]:
    read = file_reader(folder, entry["voxel"])

    def voxels() -> Grid:
        grid = upright(read_matlab_grid(read(), "voxel", STORED))
        blocks = grid.reshape((SIDE, STORED // SIDE) * 3).max(axis=(1, 3, 5))
        if blocks.mean() > 0.9:
            raise Reject("bad_voxels", "almost every voxel is occupied")
        return np.ascontiguousarray(blocks)

    return voxels
