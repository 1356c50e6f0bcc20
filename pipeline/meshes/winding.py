"""Faces that look the wrong way are turned where that is certain, and left alone everywhere else.

A part of a mesh is a set of faces joined by edges.  It is turned only if it is closed (every
edge has exactly two faces) and orientable: then its faces can be made to agree in one way and its
opposite.  The outward one has a positive volume (Gauss); a part that lies inside another may be
the wall of a hollow, so it is made to agree with most of its faces and not turned inside out.
Open sheets, edges of three faces and Moebius bands stay as they are: most real meshes are such.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NO_VOLUME = 1e-9  # six times the volume, in unit boxes: below this the sign is rounding
_MOST_PARTS = 4096


def wrong_faces(vertices: Floats, faces: Ints) -> npt.NDArray[np.bool_]:
    """Which faces (F,) have to be turned round; `faces` number equal positions alike."""
    edge, forward = _half_edges(faces, len(vertices))
    order = np.argsort(edge, kind="stable")
    starts = np.flatnonzero(np.r_[True, edge[order][1:] != edge[order][:-1]])
    counts = np.diff(np.r_[starts, len(edge)])
    pairs = starts[counts == 2]
    first, second = order[pairs], order[pairs + 1]
    # Two faces agree if they run along their common edge in opposite directions.
    differ = (forward[first] == forward[second]).astype(np.int64)
    root, turned, sound = _parts(len(faces), first // 3, second // 3, differ)
    lonely = np.ones(len(edge), dtype=bool)
    lonely[first], lonely[second] = False, False
    sound[root[np.flatnonzero(lonely) // 3]] = False
    return _chosen(vertices, faces, root, turned, sound[root])


def _half_edges(faces: Ints, bound: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Number of the undirected edge of each of the 3 F half-edges, and whether it runs from the lower vertex."""
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    return np.minimum(start, end) * bound + np.maximum(start, end), start < end


def _chosen(
    vertices: Floats, faces: Ints, root: Ints, turned: npt.NDArray[np.bool_], safe: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Of the two ways in which the faces of each safe part agree, the outward one, or that of most faces inside."""
    wrong = np.zeros(len(faces), dtype=bool)
    if not safe.any():
        return wrong
    chosen = np.flatnonzero(safe)
    roots, part = np.unique(root[chosen], return_inverse=True)
    corners = vertices[faces[chosen]]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    sign = np.where(turned[chosen], -1.0, 1.0)
    volume = np.bincount(part, sign * np.einsum("ij,ij->i", a, np.cross(b, c)), len(roots))
    inside_out = volume < 0
    hidden = _inside_another(corners, part, len(roots))
    hidden |= np.abs(volume) < _NO_VOLUME
    inside_out[hidden] = np.bincount(part, sign, len(roots))[hidden] < 0
    wrong[chosen] = turned[chosen] ^ inside_out[part]
    return wrong


def _inside_another(corners: Floats, part: Ints, parts: int) -> npt.NDArray[np.bool_]:
    """Whether the box of a part (P,) lies in the box of another."""
    if parts > _MOST_PARTS:  # each with each would take long; nothing is certain of such a heap
        return np.ones(parts, dtype=bool)
    low, high = np.full((parts, 3), np.inf), np.full((parts, 3), -np.inf)
    np.minimum.at(low, part, corners.min(axis=1))
    np.maximum.at(high, part, corners.max(axis=1))
    out: npt.NDArray[np.bool_] = _contained(low, high)
    return out


@njit(cache=True, nogil=True)
def _contained(low, high):  # type: ignore[no-untyped-def]
    """Whether box n lies in any other."""
    out = np.zeros(low.shape[0], dtype=np.bool_)
    for n in range(low.shape[0]):
        for m in range(low.shape[0]):
            if m != n and not out[n]:
                inside = True
                for axis in range(3):
                    inside = inside and low[n, axis] >= low[m, axis] and high[n, axis] <= high[m, axis]
                out[n] = inside
    return out


@njit(cache=True, nogil=True)
def _find(parent, parity, face):  # type: ignore[no-untyped-def]
    """Root of a face, and whether the face is turned against it; the way there becomes short."""
    root, turned = face, np.int64(0)
    while parent[root] != root:
        turned ^= parity[root]
        root = parent[root]
    while parent[face] != face:
        above, own = parent[face], parity[face]
        parent[face], parity[face] = root, turned
        turned ^= own
        face = above
    return root


@njit(cache=True, nogil=True)
def _parts(count, first, second, differ):  # type: ignore[no-untyped-def]
    """Union-find with parity over pairs of faces -> root (F,), turned against it (F,), no contradiction (F,)."""
    parent, parity = np.arange(count), np.zeros(count, dtype=np.int64)
    sound = np.ones(count, dtype=np.bool_)
    for n in range(first.shape[0]):
        a, b = _find(parent, parity, first[n]), _find(parent, parity, second[n])
        turn = parity[first[n]] ^ parity[second[n]] ^ differ[n]
        if a != b:
            parent[b], parity[b] = a, turn
            sound[a] = sound[a] and sound[b]
        elif turn:
            sound[a] = False
    for face in range(count):
        _find(parent, parity, face)
    return parent, parity == 1, sound
