"""`robust`: binvox's solid plus the thin parts that it loses, and nothing else.

1. solid    binvox's default (carve or vote).
2. thin     surface voxels (``-e``) with no solid voxel among themselves and their 26 neighbours:
            chair legs, rails, sheets.  So every point of the surface has an occupied voxel within one voxel.
            Crumbs do not count as solid here: a shell thinner than a voxel leaves scattered solid voxels
            wherever a centre happens to lie in it, and holes around them if they kept the surface away.
3. bridges  where solid + thin falls into more parts than surface + solid: first the surface
            voxels that touch two parts at once; where that is not enough, pairs of neighbouring
            surface voxels that touch different parts.  Every surface voxel touches some part,
            so this always restores what the surface connects.
4. specks   parts that touch no surface voxel are dropped: rays through holes of the mesh made them.

Each step is defined by sets, not by an order, so the result turns with the mesh.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from voxelize.bits import ONE, Words, span, spread
from voxelize.components import count_parts, run_labels
from voxelize.surface import surface_words

CRUMB = 8  # a face-connected solid part of fewer voxels is a crumb
_MANY = -2  # a voxel that touches several parts
_NONE = -1


def add_thin_parts(solid: Words, points: npt.NDArray[np.float64], faces: npt.NDArray[np.int64]) -> Words:
    """Solid (R, R, W) and the mesh in voxel units -> the robust words."""
    resolution = solid.shape[0]
    points = towards_centre(points, resolution)
    near_solid = np.empty_like(solid)
    thick, parts = without_crumbs(solid)
    spread(thick, near_solid)
    surface = np.zeros_like(solid)
    surface_words(points, faces, near_solid, surface)
    thin = surface & ~near_solid
    result: Words = solid | thin
    if (parts > 1 or thin.any()) and count_parts(result) > 1:
        # Several parts: now the surface is needed near the solid too.
        surface_words(points, faces, None, surface)
        near_surface = near_solid
        spread(surface, near_surface)
        result = without_specks(result, near_surface)
        _bridge(result, surface)
    return result


def compile_bridges() -> None:
    """Compile what only few meshes need, so that it is not compiled within one's time limit."""
    nothing = np.zeros((2, 2, 1), dtype=np.uint64)
    without_specks(nothing, nothing)
    _bridges(nothing, nothing, False)


def towards_centre(points: npt.NDArray[np.float64], resolution: int) -> npt.NDArray[np.float64]:
    """Shrink by 2^-24, so that a face exactly between two voxels goes to the inner one on either side."""
    middle = resolution / 2
    return middle + (points - middle) * (1 - 2.0**-24)


def _bridge(result: Words, surface: Words) -> None:
    wanted = count_parts(surface | result)
    for pairs in (False, True):
        while count_parts(result) > wanted:
            bridges = _bridges(result, surface & ~result, pairs)
            if not bridges.any():
                break
            result |= bridges


@njit(cache=True, nogil=True)
def without_crumbs(words):  # type: ignore[no-untyped-def]
    """The face-connected parts of words (R, R, W) of at least CRUMB voxels, and the number of all."""
    start, stop, offset, label, parts = run_labels(words, np.int64(6))
    kept = _sizes(start, stop, label, parts) >= CRUMB
    return (words if kept.all() else _draw(start, stop, offset, label, kept, words)), parts


@njit(cache=True, nogil=True)
def _sizes(start, stop, label, parts):  # type: ignore[no-untyped-def]
    """Voxels of every part."""
    voxels = np.zeros(parts, dtype=np.int64)
    for run in range(label.size):
        voxels[label[run]] += stop[run] - start[run]
    return voxels


@njit(cache=True, nogil=True)
def without_specks(words, near_surface):  # type: ignore[no-untyped-def]
    """The parts of words (R, R, W) that have a voxel in near_surface."""
    start, stop, offset, label, parts = run_labels(words, np.int64(26))
    kept = np.zeros(parts, dtype=np.bool_)
    size = words.shape[0]
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                for w in range(start[run] >> 6, ((stop[run] - 1) >> 6) + 1):
                    kept[label[run]] |= span(start[run], stop[run], w) & near_surface[x, y, w] != 0
    return _draw(start, stop, offset, label, kept, words)


@njit(cache=True, nogil=True)
def _draw(start, stop, offset, label, kept, words):  # type: ignore[no-untyped-def]
    """The runs whose part is kept, as words like `words`."""
    result = np.zeros_like(words)
    size = words.shape[0]
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                if kept[label[run]]:
                    for w in range(start[run] >> 6, ((stop[run] - 1) >> 6) + 1):
                        result[x, y, w] |= span(start[run], stop[run], w)
    return result


@njit(cache=True, nogil=True)
def _label_grid(words):  # type: ignore[no-untyped-def]
    start, stop, offset, label, _ = run_labels(words, np.int64(26))
    size = words.shape[0]
    grid = np.full((size, size, size), _NONE, dtype=np.int32)
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                for z in range(start[run], stop[run]):
                    grid[x, y, z] = label[run]
    return grid


@njit(cache=True, nogil=True)
def _touched(grid, x, y, z):  # type: ignore[no-untyped-def]
    """The part among the 26 neighbours: its label, _MANY or _NONE."""
    size, found = grid.shape[0], _NONE
    for i in range(max(x - 1, 0), min(x + 2, size)):
        for j in range(max(y - 1, 0), min(y + 2, size)):
            for k in range(max(z - 1, 0), min(z + 2, size)):
                label = grid[i, j, k]
                if label >= 0 and label != found:
                    if found >= 0:
                        return _MANY
                    found = label
    return found


@njit(cache=True, nogil=True)
def _bridges(result, candidates, pairs):  # type: ignore[no-untyped-def]
    """Candidates that touch several parts; or, with `pairs`, neighbours that touch different ones."""
    parts = _label_grid(result)
    touched = np.full(parts.shape, _NONE, dtype=np.int32)
    bridges = np.zeros_like(result)
    size = result.shape[0]
    for x in range(size):
        for y in range(size):
            for z in range(size):
                if (candidates[x, y, z >> 6] >> np.uint64(z & 63)) & ONE:
                    touched[x, y, z] = _touched(parts, x, y, z)
                    if not pairs and touched[x, y, z] == _MANY:
                        bridges[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    if pairs:
        for x in range(size):
            for y in range(size):
                for z in range(size):
                    if touched[x, y, z] >= 0:
                        around = _touched(touched, x, y, z)
                        if around == _MANY:
                            bridges[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    return bridges
