"""Grids as files: .binvox, and what ``-t`` offers beside it."""

from __future__ import annotations

import io

import numpy as np

from pipeline.formats.binvox import write_binvox
from voxelize.engines.builtin import Solid
from voxelize.kernels.frame import Frame


def encode(solid: Solid, kind: str, header_frame: Frame | None = None) -> bytes:
    """The file's bytes; `header_frame` replaces the true frame in the header of .binvox and .vtk.

    raw  one byte a voxel, 0 or 1, x slowest, then z, then y fastest, no header
    npy  (X, Y, Z) bool, for numpy.load
    vtk  legacy structured points of unsigned char, x fastest, for ParaView
    """
    translate, scale = solid.placement
    if header_frame is not None:
        translate, scale = header_frame.origin, header_frame.side
    if kind == "binvox":
        return write_binvox(solid.grid, translate, scale)
    if kind == "raw":
        return solid.grid.transpose(0, 2, 1).astype(np.uint8).tobytes()
    if kind == "npy":
        out = io.BytesIO()
        np.save(out, solid.grid)
        return out.getvalue()
    if kind == "vtk":
        return _vtk(solid, translate, scale)
    raise ValueError(kind)


def _vtk(solid: Solid, translate: tuple[float, float, float], scale: float) -> bytes:
    x, y, z = solid.grid.shape
    pitch = scale / max(solid.grid.shape)
    first = " ".join(f"{start + pitch / 2:.9g}" for start in translate)
    head = (
        "# vtk DataFile Version 3.0\noccupancy\nBINARY\nDATASET STRUCTURED_POINTS\n"
        f"DIMENSIONS {x} {y} {z}\nORIGIN {first}\nSPACING {pitch:.9g} {pitch:.9g} {pitch:.9g}\n"
        f"POINT_DATA {x * y * z}\nSCALARS occupancy unsigned_char 1\nLOOKUP_TABLE default\n"
    )
    return head.encode("ascii") + solid.grid.transpose(2, 1, 0).astype(np.uint8).tobytes() + b"\n"
