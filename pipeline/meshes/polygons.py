"""Polygons of any number of corners become triangles: the one triangulator behind all readers.

A fan from the first corner covers a convex polygon.  Of a concave one it covers the notch as well, so such polygons are
cut by ear clipping (mapbox_earcut) in the coordinate plane that their normal is nearest to; slits and holes that are
joined to the border by a bridge are polygons of this kind.  The areas of the triangles then add up to the area of the
polygon, whichever corner comes first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A triangle of a fan that is turned against its polygon by more than this share of the polygon's area leaves it.
_OUTSIDE = 1e-9


def triangulate(vertices: Floats, corners: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Cut polygons into triangles.

    vertices  (V, 3) places
    corners   (C,) vertex of every corner of every polygon, one polygon after the other
    counts    (N,) corners of each polygon; polygons of one or two corners have no area and give no triangle

    Returns (T, 3) positions in `corners`, and (T,) the polygon of each triangle, in the order of the polygons.
    """
    triangles, polygon = _fans(counts)
    if counts.size == 0 or counts.max() <= 3:
        return triangles, polygon
    left = _leave_their_polygon(vertices, corners, counts, triangles, polygon)
    if not len(left):
        return triangles, polygon
    starts = np.cumsum(counts) - counts
    cut = [
        _clipped(vertices[corners[start : start + count]]) + start for start, count in zip(starts[left], counts[left])
    ]
    stays = ~np.isin(polygon, left)
    triangles = np.concatenate([triangles[stays], *cut])
    polygon = np.concatenate([polygon[stays], np.repeat(left, [len(part) for part in cut])])
    order = np.argsort(polygon, kind="stable")
    return triangles[order], polygon[order]


def _fans(counts: Ints) -> tuple[Ints, Ints]:
    """Corners (T, 3) of the fans of all polygons, and the polygon (T,) of each triangle."""
    fans = np.maximum(counts - 2, 0)
    polygon = np.repeat(np.arange(len(counts)), fans)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(fans) - fans, fans)
    start = (np.cumsum(counts) - counts)[polygon]
    return np.stack([start, start + step + 1, start + step + 2], axis=1), polygon


def _leave_their_polygon(vertices: Floats, corners: Ints, counts: Ints, triangles: Ints, polygon: Ints) -> Ints:
    """The polygons whose fan has a triangle that is turned against the polygon."""
    several = counts[polygon] > 3
    a, b, c = (vertices[corners[triangles[several, k]]] for k in range(3))
    owner = polygon[several]
    with np.errstate(all="ignore"):  # places that are no numbers: the mesh is refused later
        areas = np.cross(b - a, c - a)
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        normal = np.add.reduceat(areas, first)  # of each polygon: the fan's area vectors add up to Newell's normal
        rank = np.cumsum(np.diff(owner, prepend=-1) != 0) - 1
        turned = (areas * normal[rank]).sum(axis=1) < -_OUTSIDE * (normal[rank] ** 2).sum(axis=1)
    return np.unique(owner[turned])


def _clipped(ring: Floats) -> Ints:
    """(T, 3) corners of the triangles of one polygon (n, 3), wound as the polygon is."""
    from mapbox_earcut import triangulate_float64

    following = np.roll(ring, -1, axis=0)
    normal = np.cross(ring - ring[0], following - ring[0]).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    flat = np.ascontiguousarray(ring[:, [(axis + 1) % 3, (axis + 2) % 3]] - ring[0, [(axis + 1) % 3, (axis + 2) % 3]])
    ears = triangulate_float64(flat, np.array([len(ring)], dtype=np.uint32)).reshape(-1, 3).astype(np.int64)
    a, b, c = (flat[ears[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    backwards = area.sum() * normal[axis] < 0
    return ears[:, ::-1] if backwards else ears
