"""What can be said of one voxelized mesh; goes with it through the pipeline to the report."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt64

from pipeline.conventions import Array, Faces, Grid, Vertices
from voxelize.engines.builtin import Solid, surface_of
from voxelize.kernels import bits
from voxelize.kernels.components import count_parts
from voxelize.kernels.robust import without_specks


def quality(solid: Solid, vertices: Vertices, faces: Faces, surface: Grid | None = None) -> dict[str, Any]:
    """Plain JSON values about a grid and the mesh it came from (turned as the options say).

    watertight      no line along an axis enters without leaving; null where none were cast
    odd_lines       share of such lines along x, y, z
    faces, duplicate_faces   triangles, and those that repeat another's corners
    occupied        voxels that are on; occupancy: their share
    parts           26-connected parts of the grid; surface_parts: of the surface's own voxels;
                    bounded_parts: how many the grid should have, see the function of that name
    thin_recall     share of the surface's voxels with an occupied voxel among themselves and
                    their 26 neighbours
    """
    grid = solid.whole
    size = len(grid)
    if surface is None:
        surface = surface_of(solid.frame, vertices, faces, size)
    grid_words, surface_words = bits.from_grid(grid), bits.from_grid(surface)
    near = np.empty_like(grid_words)
    bits.spread(grid_words, near)
    on_surface = bits.count(surface_words)
    occupied = int(np.count_nonzero(grid))
    return {
        "resolution": size,
        "watertight": solid.watertight,
        "odd_lines": None if solid.odd_lines is None else [round(share, 6) for share in solid.odd_lines],
        "faces": len(faces),
        "duplicate_faces": duplicate_faces(vertices, faces),
        "occupied": occupied,
        "occupancy": round(occupied / size**3, 6),
        "parts": int(count_parts(grid_words)),
        "surface_parts": int(count_parts(surface_words)),
        "bounded_parts": bounded_parts(surface_words, grid_words),
        "thin_recall": round(bits.count(surface_words & near) / on_surface, 6) if on_surface else None,
    }


def bounded_parts(surface: bits.Words, solid: bits.Words) -> int:
    """Parts of what the surface bounds: the surface's own voxels, joined by the solid between its sheets.

    That is, 26-connected parts of surface and solid together, without those that hold no
    surface voxel.  A wall with an inside and an outside apart from each other, as around a
    cavity, is two parts of the surface but bounds one body; elsewhere this is the surface's
    own number of parts.
    """
    return int(count_parts(without_specks(surface | solid, surface)))


def duplicate_faces(vertices: Vertices, faces: Faces) -> int:
    """Triangles whose three corner positions, in any order, another triangle has too."""
    # 64-bit keys of positions instead of positions; + 0.0 turns -0 into 0.
    position = _mix(np.ascontiguousarray(vertices + 0.0).view(np.uint64))
    return len(faces) - len(np.unique(_mix(np.sort(position[faces], axis=1))))


_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def _mix(triples: UInt64[Array, "N 3"]) -> UInt64[Array, " N"]:
    """Keys: sums of products with odd constants, bits folded in between."""
    folded = triples ^ (triples >> np.uint64(29))
    products = folded * _ODD
    products ^= products >> np.uint64(32)
    total: UInt64[Array, " N"] = (products * _ODD[::-1]).sum(axis=1, dtype=np.uint64)
    return total
