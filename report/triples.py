"""Shapes as the page shows them: the picture, the truth, the answer, each with its voxels for the 3D view."""

from __future__ import annotations

from typing import Any

from jaxtyping import UInt8

from pipeline.conventions import Array, Grid, PackedGrid
from pipeline.pictures.voxel_view import BLUE, GREY
from report import figures
from report.gather import Arrays
from report.packed import pack_levels, pack_voxels


def triple(table: Arrays, row: int, picture: str, levels: str) -> dict[str, Any]:
    """Input picture, true voxels and the network's answer of one row."""
    answer = cut(table[levels][row], int(table["threshold"]))
    return {
        "picture": figures.photograph(table[picture][row]),
        "truth": figures.voxels(figures.grid_of(table["truth"][row]), GREY),
        "prediction": figures.voxels(answer, BLUE),
        "solid": solid(table["truth"][row], table[levels][row], int(table["threshold"])),
    }


def solid(beside: PackedGrid | None, levels: UInt8[Array, " P"], threshold: int) -> dict[str, str | int]:
    """What the 3D view needs: the answer for every threshold, and the voxels beside it."""
    return {
        "levels": pack_levels(levels, threshold),
        "threshold": threshold,
        "beside": "" if beside is None else pack_voxels(beside),
        "resolution": figures.side_of(len(levels)),
    }


def cut(levels: Any, threshold: int) -> Grid:
    """(R, R, R) the voxels whose level reaches the threshold."""
    grid: Grid = (levels >= threshold).reshape((figures.side_of(len(levels)),) * 3)
    return grid
