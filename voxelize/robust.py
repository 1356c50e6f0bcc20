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
    # A solid in several parts most likely stays so; then the surface is needed near the solid too.
    whole = parts > 1
    surface_words(points, faces, None if whole else near_solid, surface)
    thin = surface & ~near_solid
    result: Words = solid | thin
    if (whole or thin.any()) and count_parts(result) > 1:
        if not whole:
            surface_words(points, faces, None, surface)
        near_surface = near_solid
        spread(surface, near_surface)
        result = without_specks(result, near_surface)
        _bridge(result, surface)
    return result


def compile_bridges() -> None:
    """Compile what only few meshes need, so that it is not compiled within one's time limit."""
    some = np.ones((2, 2, 1), dtype=np.uint64)
    without_specks(some, some)
    _bridges(some, some, False)


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
def _touched(start, stop, offset, label, size, x, y, z):  # type: ignore[no-untyped-def]
    """The part among the 26 neighbours of a voxel: its label, _MANY or _NONE."""
    found = _NONE
    for i in range(max(x - 1, 0), min(x + 2, size)):
        for j in range(max(y - 1, 0), min(y + 2, size)):
            for run in range(offset[i * size + j], offset[i * size + j + 1]):
                if start[run] <= z + 1 and stop[run] >= z and label[run] != found:
                    if found >= 0:
                        return _MANY
                    found = label[run]
    return found


@njit(cache=True, nogil=True)
def _voxels(words):  # type: ignore[no-untyped-def]
    """The voxels that are on -> (N, 3) x, y, z, in order."""
    size, _, width = words.shape
    places = np.empty((64, 3), dtype=np.int64)
    n = 0
    for x in range(size):
        for y in range(size):
            for w in range(width):
                if words[x, y, w]:
                    if n + 64 > len(places):
                        places = np.concatenate((places, np.empty_like(places)))
                    for bit in range(64):
                        if (words[x, y, w] >> np.uint64(bit)) & ONE:
                            places[n, 0], places[n, 1], places[n, 2] = x, y, 64 * w + bit
                            n += 1
    return places[:n]


@njit(cache=True, nogil=True)
def _bridges(result, candidates, pairs):  # type: ignore[no-untyped-def]
    """Candidates that touch several parts; or, with `pairs`, neighbours that touch different ones."""
    size = result.shape[0]
    start, stop, offset, label, parts = run_labels(result, np.int64(26))
    if not pairs:
        # What touches several parts touches one that is not the largest.
        sizes = _sizes(start, stop, label, parts)
        near = np.empty_like(result)
        spread(_draw(start, stop, offset, label, np.arange(parts) != np.argmax(sizes), result), near)
        candidates = candidates & near
    places = _voxels(candidates)
    touched = np.empty(len(places), dtype=np.int32)
    bridges = np.zeros_like(result)
    for n in range(len(places)):
        x, y, z = places[n]
        touched[n] = _touched(start, stop, offset, label, size, x, y, z)
        if not pairs and touched[n] == _MANY:
            bridges[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    if pairs:
        # The candidates are runs of one voxel, each with the part that it touches for a label.
        first = np.zeros(size * size + 1, dtype=np.int64)
        known = touched >= 0
        places, touched = places[known], touched[known]
        for n in range(len(places)):
            first[places[n, 0] * size + places[n, 1] + 1] += 1
        first = np.cumsum(first)
        depth = places[:, 2].astype(np.int32)
        for n in range(len(places)):
            x, y, z = places[n]
            if _touched(depth, depth + np.int32(1), first, touched, size, x, y, z) == _MANY:
                bridges[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    return bridges
