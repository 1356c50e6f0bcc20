"""Where the grid lies: origin and side of its cube, and the mesh in voxel units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.conventions import Vertices
from pipeline.errors import Reject

# Vertices are snapped to a lattice of 2^26 steps along the side of the grid.  Differences and
# products of such coordinates are exact in double precision, and the last bits that a scale
# or a shift of the mesh leaves behind vanish.
LATTICE = 2.0**26


@dataclass(frozen=True)
class Frame:
    """The cube that the grid fills."""

    origin: tuple[float, float, float]
    side: float


def fitted(vertices: Vertices, *, centred: bool = False) -> Frame:
    """binvox's own frame: minimum corner and longest side of the bounding box, no margin.

    `centred` (``-cb``) puts the two shorter axes into the middle.
    """
    low, high = bounds(np.ascontiguousarray(vertices, dtype=np.float64))
    side = float((high - low).max())
    if not 0.0 < side < np.inf:
        raise Reject("no_extent", "all vertices lie in one point" if side == 0.0 else "the bounding box is not finite")
    if centred:
        low = (low + high - side) / 2
    return Frame((float(low[0]), float(low[1]), float(low[2])), side)


def boxed(box: tuple[float, ...]) -> Frame:
    """``-bb``: origin = minimum corner, side = longest side of (x0, y0, z0, x1, y1, z1)."""
    return Frame((box[0], box[1], box[2]), max(box[3 + axis] - box[axis] for axis in range(3)))


@njit(cache=True, nogil=True)
def bounds(vertices):  # type: ignore[no-untyped-def]
    """Vertices (V, 3) -> minimum (3,) and maximum (3,) corner; NaN if any coordinate is NaN."""
    low = np.full(3, np.inf)
    high = np.full(3, -np.inf)
    for row in range(vertices.shape[0]):
        for axis in range(3):
            value = vertices[row, axis]
            if not (value >= low[axis]):
                low[axis] = value
            if not (value <= high[axis]):
                high[axis] = value
    return low, high


@njit(cache=True, nogil=True)
def snap(vertices, origin, side, resolution, out):  # type: ignore[no-untyped-def]
    """Vertices (V, 3) in mesh units -> out (V, 3) in voxel units, on the lattice; False if any is not finite."""
    finite = True
    step = resolution / LATTICE
    for row in range(vertices.shape[0]):
        for axis in range(3):
            value = np.rint((vertices[row, axis] - origin[axis]) / side * LATTICE) * step
            finite &= np.isfinite(value)
            out[row, axis] = value
    return finite
