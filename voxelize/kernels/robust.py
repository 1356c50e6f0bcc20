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

from typing import TypeAlias

import numpy as np
from jaxtyping import Int32, Int64
from numba import njit

from pipeline.conventions import Array, Faces, Points
from voxelize.kernels.bits import ONE, Words, span, spread
from voxelize.kernels.components import run_labels
from voxelize.kernels.surface import surface_words

Runs: TypeAlias = tuple[Int32[Array, "..."], Int32[Array, "..."], Int64[Array, "..."], Int32[Array, "..."], int]
"""What `run_labels` returns."""
CRUMB = 8  # a face-connected solid part of fewer voxels is a crumb
_MANY = -2  # a voxel that touches several parts
_NONE = -1


def add_thin_parts(solid: Words, points: Points, faces: Faces) -> Words:
    """Solid (R, R, W) and the mesh in voxel units -> the robust words."""
    points = towards_centre(points, solid.shape[0])
    thick, parts = without_crumbs(solid)
    near_solid, surface = np.empty_like(solid), np.zeros_like(solid)
    spread(thick, near_solid)
    surface_words(points, faces, near_solid, surface)
    thin = surface & ~near_solid
    result: Words = solid | thin
    if parts > 1 or thin.any():
        result = bridged(result, surface, points, faces)
    return result


def compile_bridges() -> None:
    """Compile what only few meshes need, so that it is not compiled within one's time limit."""
    some = np.ones((2, 2, 1), dtype=np.uint64)
    runs = run_labels(some, np.int64(26))
    _draw(runs, _meeting(runs, some), some)
    _touching_two(runs, some)
    _between(runs, some)
    _any_corner(np.zeros((3, 3)), np.array([[0, 1, 2]]), some)
    surface_words(np.zeros((3, 3)), np.array([[0, 1, 2]]), None, some)


def towards_centre(points: Points, resolution: int) -> Points:
    """Shrink by 2^-24, so that a face exactly between two voxels goes to the inner one on either side."""
    middle = resolution / 2
    return middle + (points - middle) * (1 - 2.0**-24)


@njit(cache=True, nogil=True)
def without_crumbs(words):  # type: ignore[no-untyped-def]
    """The face-connected parts of words (R, R, W) of at least CRUMB voxels, and the number of all."""
    runs = run_labels(words, np.int64(6))
    kept = _sizes(runs) >= CRUMB
    return (words if kept.all() else _draw(runs, kept, words)), runs[4]


def without_specks(words: Words, near_surface: Words) -> Words:
    """The parts of words (R, R, W) that have a voxel in near_surface."""
    runs = run_labels(words, np.int64(26))
    kept: Words = _draw(runs, _meeting(runs, near_surface), words)
    return kept


def bridged(words: Words, surface: Words, points: Points, faces: Faces) -> Words:
    """Steps 3 and 4 on words (R, R, W), solid and thin parts; surface: its voxels known so far, completed here.

    Only the surface within two voxels of the parts other than the largest matters.  Every surface voxel
    touches some part; so one that touches two, or one of two neighbours that touch different ones,
    touches a part that is not the largest, or a bridge that does.  Not compiled as a whole: that would
    compile what it calls once more.
    """
    runs = run_labels(words, np.int64(26))
    if runs[4] < 2:
        return words
    near, region = np.empty_like(words), np.empty_like(words)
    largest = np.argmax(_sizes(runs))
    minor = np.arange(runs[4]) != largest
    spread(_draw(runs, minor, words), near)
    spread(near, region)
    surface_words(points, faces, ~region, surface)
    spread(surface, near)
    kept = _meeting(runs, near)
    if not kept[largest]:
        spread(_draw(runs, ~minor, words), near)
        kept[largest] = _any_corner(points, faces, near)
        if not kept[largest]:
            surface_words(points, faces, None, surface)
            kept[largest] = (near & surface).any()
    if not kept.all():
        words = _draw(runs, kept, words)
        runs = run_labels(words, np.int64(26))
    for pairs in (False, True):
        while runs[4] > 1:
            candidates = surface & ~words
            found = _between(runs, candidates) if pairs else _touching_several(runs, words, candidates)
            if not found.any():
                break
            words = words | found
            runs = run_labels(words, np.int64(26))
    return words


@njit(cache=True, nogil=True)
def _any_corner(points, faces, words):  # type: ignore[no-untyped-def]
    """Is the voxel of any face's first corner on in words (R, R, W)?"""
    size = words.shape[0]
    for face in range(faces.shape[0]):
        corner = faces[face, 0]
        x, y, z = np.floor(points[corner, 0]), np.floor(points[corner, 1]), np.floor(points[corner, 2])
        if min(x, y, z) >= 0 and max(x, y, z) < size:
            depth = int(z)
            if (words[int(x), int(y), depth >> 6] >> np.uint64(depth & 63)) & ONE:
                return True
    return False


@njit(cache=True, nogil=True)
def _sizes(runs):  # type: ignore[no-untyped-def]
    """Voxels of every part."""
    start, stop, _, label, parts = runs
    voxels = np.zeros(parts, dtype=np.int64)
    for run in range(label.size):
        voxels[label[run]] += stop[run] - start[run]
    return voxels


@njit(cache=True, nogil=True)
def _meeting(runs, words):  # type: ignore[no-untyped-def]
    """Which parts have a voxel that is on in words (R, R, W)."""
    start, stop, offset, label, parts = runs
    met = np.zeros(parts, dtype=np.bool_)
    size = words.shape[0]
    for x in range(size):
        for y in range(size):
            for run in range(offset[x * size + y], offset[x * size + y + 1]):
                for w in range(start[run] >> 6, ((stop[run] - 1) >> 6) + 1):
                    met[label[run]] |= span(start[run], stop[run], w) & words[x, y, w] != 0
    return met


@njit(cache=True, nogil=True)
def _draw(runs, kept, words):  # type: ignore[no-untyped-def]
    """The runs whose part is kept, as words like `words`."""
    start, stop, offset, label, _ = runs
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


def _touching_several(runs: Runs, words: Words, candidates: Words) -> Words:
    """Candidates that touch several parts of words (R, R, W)."""
    others = _draw(runs, np.arange(runs[4]) != np.argmax(_sizes(runs)), words)
    near_largest, near_others = np.empty_like(words), np.empty_like(words)
    spread(others, near_others)
    spread(words & ~others, near_largest)
    beside = candidates & near_others
    several: Words = beside & near_largest
    if runs[4] > 2:
        several |= _touching_two(runs, beside & ~near_largest)
    return several


@njit(cache=True, nogil=True)
def _touching_two(runs, candidates):  # type: ignore[no-untyped-def]
    """Candidates (R, R, W) that touch several parts, each looked at."""
    start, stop, offset, label, _ = runs
    several = np.zeros_like(candidates)
    places = _voxels(candidates)
    for n in range(len(places)):
        x, y, z = places[n]
        if _touched(start, stop, offset, label, candidates.shape[0], x, y, z) == _MANY:
            several[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    return several


@njit(cache=True, nogil=True)
def _between(runs, candidates):  # type: ignore[no-untyped-def]
    """Candidates (R, R, W) that touch one part and have a neighbour that touches another."""
    start, stop, offset, label, _ = runs
    size = candidates.shape[0]
    places = _voxels(candidates)
    touched = np.empty(len(places), dtype=np.int32)
    for n in range(len(places)):
        touched[n] = _touched(start, stop, offset, label, size, places[n, 0], places[n, 1], places[n, 2])
    known = touched >= 0
    places, touched = places[known], touched[known]
    # These are runs of one voxel, each with the part that it touches for a label.
    first = np.zeros(size * size + 1, dtype=np.int64)
    for n in range(len(places)):
        first[places[n, 0] * size + places[n, 1] + 1] += 1
    first = np.cumsum(first)
    depth = places[:, 2].astype(np.int32)
    between = np.zeros_like(candidates)
    for n in range(len(places)):
        x, y, z = places[n]
        if _touched(depth, depth + np.int32(1), first, touched, size, x, y, z) == _MANY:
            between[x, y, z >> 6] |= ONE << np.uint64(z & 63)
    return between
