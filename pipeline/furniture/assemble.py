"""From parts to a Mesh: no two parts share a plane, vertices are split where UVs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.conventions import Floats, Ints
from pipeline.furniture.materials import Look
from pipeline.furniture.parts import Part
from pipeline.meshes.mesh import Mesh

GAP_M = 0.0016
"""Parts whose bounding planes are closer than this are pulled apart by it: 1/20 of a voxel at most."""


def assemble(parts: Sequence[Part], looks: Mapping[str, Look]) -> Mesh:
    """Put the parts together; slots become materials in the order of `looks`."""
    parts = separate(parts)
    slots = {part.slot for part in parts}
    # Slots that share a look share one material.
    used = list({id(look): look for name, look in looks.items() if name in slots}.values())
    number = {name: index for name, look in looks.items() for index, one in enumerate(used) if one is look}
    vertices, uvs, faces, material, start = [], [], [], [], 0
    for index, part in enumerate(parts):
        # A vertex is one point seen along one axis of the box projection: 3 keys a point.
        key = part.faces * 3 + part.side[:, None]
        keys, inverse = np.unique(key, return_inverse=True)
        point, axis = keys // 3, keys % 3
        vertices.append(part.points[point])
        uvs.append(_project(part.grain[point], axis, index) / looks[part.slot].tile_m)
        faces.append(inverse.reshape(-1, 3) + start)
        material.append(np.full(len(part.faces), number[part.slot]))
        start += len(keys)
    return Mesh(
        vertices=np.concatenate(vertices),
        faces=np.concatenate(faces).astype(np.int64),
        face_material=np.concatenate(material).astype(np.int64),
        materials=[look.material for look in used],
        uv=np.concatenate(uvs),
    )


def _project(grain: Floats, axis: Ints, index: int) -> Floats:
    """(K, 2) metres: u along the longest remaining extent; each part starts elsewhere in the texture."""
    u = np.where(axis == 0, grain[:, 1], grain[:, 0])
    v = np.where(axis == 2, grain[:, 1], grain[:, 2])
    return np.stack([u + 0.618034 * index, v + 0.381966 * index], axis=1)


def separate(parts: Sequence[Part]) -> list[Part]:
    """Shrink a part by a hair wherever a bounding plane of it lies on one of an earlier, overlapping part.

    Coplanar faces that overlap would flicker between two colours (z-fighting).  Boxes are
    most of the parts, so bounding planes are most of the danger.
    """
    done: list[Part] = []
    low, high = np.empty((len(parts), 3)), np.empty((len(parts), 3))
    for index, part in enumerate(parts):
        points = part.points
        lo, hi = points.min(axis=0), points.max(axis=0)
        for _ in range(6):
            inset = _insets(lo, hi, low[:index], high[:index])
            if not inset.any():
                break
            # Move the faces on those planes inwards by squeezing the part between its new bounds.
            new_lo, new_hi = lo + inset[0], hi - inset[1]
            points = new_lo + (points - lo) * ((new_hi - new_lo) / (hi - lo))
            lo, hi = new_lo, new_hi
        low[index], high[index] = lo, hi
        done.append(part if points is part.points else replace(part, points=points))
    return done


def _insets(lo: Floats, hi: Floats, low: Floats, high: Floats) -> Floats:
    """(2, 3): how far the lower and upper bounds must move inwards."""
    inset = np.zeros((2, 3))
    touching = (low < hi + GAP_M) & (high > lo - GAP_M)
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        near = touching[:, others].all(axis=1)
        planes = np.concatenate([low[near, axis], high[near, axis]])
        for end, plane in enumerate((lo[axis], hi[axis])):
            if (np.abs(planes - plane) < 0.9 * GAP_M).any():
                inset[end, axis] = GAP_M
    return inset
