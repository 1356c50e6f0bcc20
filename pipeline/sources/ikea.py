"""The cropped IKEA photographs with 20^3 voxels that the 3D-VAE-GAN paper was judged on.

    Lists/Images.txt    one picture a line              Images/<picture>
    Lists/Model.txt     IKEA_<category>_<product>/...   the second word is the class
    Lists/ModelID.txt   n                               Voxels/<n>.mat, key "grid", uint8 20^3

Lim et al., ICCV 2013; this form of it: Girdhar et al., ECCV 2016
(github.com/rohitgirdhar/GenerativePredictableVoxels, dataset/IKEA).  The first axis of the
grids points up; which way an object faces differs from model to model, so the metric has to
align (Wu et al. 2016, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.conventions import Grid
from pipeline.errors import UserError
from pipeline.formats.matlab import read_matlab_grid
from pipeline.sources.photograph import Photograph, file_reader

SIDE = 20


def ikea_photographs(folder: Path) -> Iterator[Photograph]:
    """Every picture of the lists."""
    pictures, models, numbers = (_lines(folder, name) for name in ("Images.txt", "Model.txt", "ModelID.txt"))
    if not len(pictures) == len(models) == len(numbers):
        raise UserError(
            "the lists of the IKEA set do not agree",
            where=str(folder / "Lists"),
            got=f"{len(pictures)} pictures, {len(models)} models, {len(numbers)} numbers",
            wanted="as many of each",
            do="fetch the set again",
        )
    for picture, model, number in zip(pictures, models, numbers):
        words = model.split("_")
        category = words[1] if len(words) > 2 else "unknown"
        yield Photograph(picture, category, number, file_reader(folder, f"Images/{picture}"), _voxels(folder, number))


def _voxels(folder: Path, number: str) -> Callable[[], Grid]:
    read = file_reader(folder, f"Voxels/{number}.mat")

    def voxels() -> Grid:
        # (x, y, z) -> (-z, x, -y): +X up becomes +Y up, by a proper rotation.
        return np.ascontiguousarray(read_matlab_grid(read(), "grid", SIDE).transpose(2, 0, 1)[::-1, :, ::-1])

    return voxels


def _lines(folder: Path, name: str) -> list[str]:
    path = folder / "Lists" / name
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "cannot read a list of the IKEA set",
            where=str(path),
            got=str(error),
            wanted="the folders Images, Lists and Voxels",
            do="give the folder that holds them",
        ) from error
