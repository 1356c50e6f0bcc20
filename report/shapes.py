"""Shapes as the page shows them: the picture, the truth, the answer, each with its voxels for the 3D view."""

from __future__ import annotations

from typing import Any

from pipeline.conventions import Grid
from pipeline.pictures.voxel_view import BLUE, GREY
from report import figures
from report.gather import Arrays


def triple(table: Arrays, row: int, picture: str, levels: str) -> dict[str, str]:
    """Input picture, true voxels and the network's answer of one row."""
    answer = cut(table[levels][row], int(table["threshold"]))
    return {
        "picture": figures.photograph(table[picture][row]),
        "truth": figures.voxels(figures.grid_of(table["truth"][row]), GREY),
        "prediction": figures.voxels(answer, BLUE),
    }


def cut(levels: Any, threshold: int) -> Grid:
    """(R, R, R) the voxels whose level reaches the threshold."""
    grid: Grid = (levels >= threshold).reshape((figures.side_of(len(levels)),) * 3)
    return grid
