"""What makes a triangle mesh the surface of a solid, asked in the strongest way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def fault(vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> str:
    """Why these are not a closed, manifold surface wound outwards; nothing where they are one.

    Every edge has two faces, which run along it in opposite directions; the faces around every vertex form one ring;
    no two vertices lie in one place; and the faces enclose more than nothing.
    """
    start, end = faces.reshape(-1).astype(np.int64), np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    forward, backward = start * len(vertices) + end, end * len(vertices) + start
    order = np.argsort(forward)
    if (np.diff(forward[order]) == 0).any():
        return "an edge with two faces on one side"
    if not np.array_equal(forward[order], np.sort(backward)):
        return "an edge with one face"
    # Corners of neighbouring faces at one vertex belong together: as many groups as vertices, one ring each.
    half, other = np.arange(faces.size), order[np.searchsorted(forward[order], backward)]
    after = half // 3 * 3 + (half + 1) % 3
    pairs = np.r_[half, after[other]]
    rings, _ = connected_components(
        coo_matrix((np.ones(2 * faces.size), (pairs, np.r_[after[other], half]))), directed=False
    )
    if rings != len(np.unique(faces)):
        return f"{rings} rings of faces around {len(np.unique(faces))} vertices"
    if len(np.unique(vertices, axis=0)) != len(vertices):
        return "two vertices in one place"
    t = vertices[faces].astype(np.float64)
    volume = np.einsum("ij,ij->", t[:, 0], np.cross(t[:, 1], t[:, 2])) / 6
    return "" if volume > 0 else f"a volume of {volume}"
