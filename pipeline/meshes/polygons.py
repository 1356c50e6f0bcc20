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


def triangulate(vertices: Floats, corners: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Cut polygons into triangles.

    vertices  (V, 3) places
    corners   (C,) vertex of every corner of every polygon, one polygon after the other
    counts    (N,) corners of each polygon; polygons of one or two corners have no area and give no triangle

    Returns (T, 3) positions in `corners`, and (T,) the polygon of each triangle, in the order of the polygons.
    """
    if (counts == 3).all():
        return np.arange(3 * len(counts)).reshape(-1, 3), np.arange(len(counts))
    from pipeline.meshes.fans import fill_fans  # compiled code takes a moment to load

    total = int(np.maximum(counts - 2, 0).sum())
    triangles, polygon = np.empty((total, 3), dtype=np.int64), np.empty(total, dtype=np.int64)
    leaves = np.zeros(len(counts), dtype=np.bool_)
    fill_fans(vertices, corners, counts, triangles, polygon, leaves)
    left = np.flatnonzero(leaves)
    if not len(left):
        return triangles, polygon
    cut, owner = _clipped(vertices, corners, counts, left)
    stays = ~np.isin(polygon, left)
    triangles, polygon = np.concatenate([triangles[stays], cut]), np.concatenate([polygon[stays], owner])
    order = np.argsort(polygon, kind="stable")
    return triangles[order], polygon[order]


def _clipped(vertices: Floats, corners: Ints, counts: Ints, left: Ints) -> tuple[Ints, Ints]:
    """The polygons of these numbers by ear clipping: corners (T, 3) and polygon (T,) of the triangles."""
    from mapbox_earcut import triangulate_float64

    sizes = counts[left]
    ends = np.cumsum(sizes)
    rank = np.repeat(np.arange(len(left)), sizes)  # all their corners in one row, (C,)
    place = np.arange(len(rank)) - (ends - sizes)[rank] + (np.cumsum(counts) - counts)[left][rank]
    ring = vertices[corners[place]] - vertices[corners[place[(ends - sizes)[rank]]]]
    following = np.arange(1, len(rank) + 1)
    following[ends - 1] = ends - sizes
    with np.errstate(all="ignore"):
        normal = np.add.reduceat(np.cross(ring, ring[following]), ends - sizes)
    axis = np.abs(normal).argmax(axis=1)
    flat = np.take_along_axis(ring, np.stack([axis + 1, axis + 2], axis=1)[rank] % 3, axis=1)
    ears = [
        triangulate_float64(flat[end - size : end], np.array([size], dtype=np.uint32)).reshape(-1, 3) + (end - size)
        for end, size in zip(ends.tolist(), sizes.tolist())
    ]
    cut = np.concatenate(ears).astype(np.int64)
    # Ear clipping winds all its triangles in one way: they are turned to the polygon's.
    a, b, c = (flat[cut[:, k]] for k in range(3))
    with np.errstate(all="ignore"):
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        areas = np.bincount(rank[cut[:, 0]], weights=area, minlength=len(left))
        backwards = areas * np.take_along_axis(normal, axis[:, None], axis=1)[:, 0] < 0
    cut = np.where(backwards[rank[cut[:, 0]], None], cut[:, ::-1], cut)
    return place[cut], left[rank[cut[:, 0]]]
