"""Occupancy levels as shapes in files: meshes, voxels, or the levels themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from pipeline.atomic import atomic_path
from pipeline.conventions import Grid
from pipeline.errors import UserError
from pipeline.formats.binvox import write_binvox
from pipeline.meshes.export import SUFFIXES as MESH_SUFFIXES
from pipeline.meshes.export import mesh_bytes
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.surface import level_surface
from training.inference.model import Model
from training.inference.picture import grid_picture
from training.metrics.voxels import Level, Levels

SUFFIXES = (*MESH_SUFFIXES, ".binvox", ".npy")


@dataclass(frozen=True)
class Cut:
    """How occupancy levels become a shape."""

    threshold: int  # level 1 ... 255
    largest: bool = False  # keep the largest face-connected part only

    def bits(self, levels: Level, resolution: int) -> Grid:
        """(P,) levels -> (R, R, R) occupied voxels."""
        grid = levels.reshape((resolution,) * 3) >= self.threshold
        if not self.largest or not grid.any():
            return grid
        labels, _ = ndimage.label(grid)
        return np.asarray(labels == np.bincount(labels.reshape(-1))[1:].argmax() + 1)


def threshold_of(model: Model, wanted: float | None) -> int:
    """The level for a wanted probability, or the one that suited the validation shapes."""
    if wanted is not None:
        if not 0 < wanted < 1:
            raise UserError("the threshold must lie between 0 and 1", got=str(wanted))
        return max(1, round(255 * wanted))
    return model.threshold


def write_shape(path: Path, levels: Level, resolution: int, cut: Cut) -> None:
    """Write one shape; the suffix says how.  Raises UserError for another suffix or an empty shape."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            "cannot write such a file", where=str(path), got=suffix or "no suffix", wanted=", ".join(SUFFIXES)
        )
    bits = cut.bits(levels, resolution)
    if not bits.any() and suffix != ".npy":
        raise UserError(
            "the shape is empty at this threshold",
            where=str(path),
            got=f"{cut.threshold / 255:.2f}",
            wanted=f"below {levels.max() / 255:.2f}",
            do="lower --threshold",
        )
    with atomic_path(path) as temporary:
        if suffix == ".npy":
            np.save(temporary, levels.reshape((resolution,) * 3), allow_pickle=False)
        else:
            temporary.write_bytes(
                write_binvox(bits)
                if suffix == ".binvox"
                else mesh_bytes(mesh_of(levels, bits, resolution, cut.threshold), suffix)
            )


def write_grid(path: Path, levels: Levels, resolution: int, cut: Cut) -> None:
    """One picture of all shapes (n, P), each from the front."""
    shapes = np.stack([cut.bits(one, resolution).reshape(-1) for one in levels])
    with atomic_path(path) as temporary:
        Image.fromarray(grid_picture(shapes * np.uint8(255), resolution)).save(temporary)


def mesh_of(levels: Level, bits: Grid, resolution: int, threshold: int) -> Mesh:
    """The surface where the probability crosses the threshold; removed parts count as empty."""
    field = levels.reshape((resolution,) * 3).astype(np.float64)
    # Between two levels, so that no vertex falls on a voxel centre.
    field[~bits & (field >= threshold)] = 0.0
    mesh = level_surface(field, threshold - 0.5)
    return Mesh(mesh.vertices, mesh.faces, materials=[Material((150, 170, 190, 255), name="reconstruction")])
