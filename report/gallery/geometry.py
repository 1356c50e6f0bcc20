"""Meshes and voxels small enough to travel in a page, and what `unpack.js` makes of them.

    mesh      uint32 V, F, P; uint8 palette (P, 3) sRGB, padded to 4 bytes;
              uint16 x of every vertex, then y, then z, each as the difference to the one before;
              uint16 corners (F, 3), as differences; uint8 palette place of every face
    voxels    R^3 / 8 bytes as in conventions.py: C order x, y, z, most significant bit first

Both are little endian, then zlib (RFC 1950), then base64: browsers undo that by themselves.  A
coordinate c is round((c + 0.5) * 4095) of the unit box: a quarter of a thousandth of its side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import fast_simplification
import numpy as np
from jaxtyping import UInt8
from scipy.spatial import cKDTree

from pipeline.conventions import Array, Faces, Floats, Ints, Vertices
from pipeline.formats.html import packed
from pipeline.meshes.mesh import Material, Mesh

STEPS = 4095  # a coordinate has 12 bits: differences of neighbours are small and pack well
_COLOURS = 255
_HARDER = (3.0, 4.0, 5.0)  # the simplifier's `agg`; larger ones reach fewer faces and lose more of the surface
_LOST = 0.4

Colours: TypeAlias = UInt8[Array, "_F 3"]  # sRGB


@dataclass(frozen=True)
class Drawn:
    """A mesh as the page draws it: few faces, one plain colour each."""

    vertices: Vertices  # on the grid of STEPS
    faces: Faces
    colours: Colours


def pack_mesh(drawn: Drawn) -> str:
    """The text that `unpackMesh` of unpack.js reads."""
    palette, places = np.unique(drawn.colours, axis=0, return_inverse=True)
    steps = np.rint((drawn.vertices + 0.5) * STEPS).clip(0, STEPS).astype(np.int64)
    head = np.array([len(steps), len(drawn.faces), len(palette)], "<u4").tobytes()
    body = [
        palette.tobytes() + b"\0" * (-palette.size % 4),
        *(_differences(steps[:, axis]) for axis in range(3)),
        _differences(drawn.faces.reshape(-1)),
        places.reshape(-1).astype("u1").tobytes(),
    ]
    return packed(head + b"".join(body))


def drawable(mesh: Mesh, most_faces: int) -> Drawn:
    """At most `most_faces` faces that look like the mesh, with the average colour of their materials.

    Quadric edge collapse (Garland and Heckbert, SIGGRAPH 1997) by fast_simplification.  By its measure
    a loose sheet shrinks from its border at no cost, so what keeps most of the surface is taken; where
    all of them lose more than _LOST of it, the largest faces of the mesh stay as they are.
    """
    vertices, faces = _welded(mesh)
    colours = _face_colours(mesh)
    if len(faces) > most_faces:
        points, few = _collapsed(vertices, faces, most_faces)
        largest = _largest(vertices, faces, most_faces)
        whole, kept, picked = (
            float(_areas(*part).sum()) for part in ((vertices, faces), (points, few), (vertices, faces[largest]))
        )
        if kept < (1 - _LOST) * whole and kept < picked:
            faces, colours = faces[largest], colours[largest]
        else:
            _, nearest = cKDTree(vertices[faces].mean(axis=1)).query(points[few].mean(axis=1))
            vertices, faces, colours = points, few, colours[nearest]
    return _in_order_of_use(vertices, faces, _few_colours(colours))


def _collapsed(vertices: Vertices, faces: Faces, most: int) -> tuple[Vertices, Faces]:
    """At most `most` faces by edge collapse; of what stays too many, the largest."""
    best: tuple[float, Vertices, Faces] | None = None
    for harder in _HARDER:
        points, few = fast_simplification.simplify(
            vertices.astype(np.float32), faces.astype(np.int32), target_count=most, agg=harder
        )
        found, few = points.astype(np.float64), few.astype(np.int64)
        kept = few[_largest(found, few, most)]
        area = float(_areas(found, kept).sum())
        if best is None or area > best[0]:
            best = (area, found, kept)
        if len(few) <= most:
            break
    assert best is not None
    return best[1], best[2]


def _welded(mesh: Mesh) -> tuple[Vertices, Faces]:
    """Vertices at the same place become one: UV seams are no edges of the shape."""
    vertices, place = np.unique(mesh.vertices.astype(np.float32), axis=0, return_inverse=True)
    return vertices.astype(np.float64), place.reshape(-1)[mesh.faces]


def _largest(vertices: Vertices, faces: Faces, count: int) -> Ints:
    """Numbers of the faces of the largest area, in their order."""
    return np.sort(np.argsort(-_areas(vertices, faces), kind="stable")[:count])


def _areas(vertices: Vertices, faces: Faces) -> Floats:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)


def _in_order_of_use(vertices: Vertices, faces: Faces, colours: Colours) -> Drawn:
    """Vertices in the order in which faces name them, equal ones once: small differences, and only those used."""
    grid = np.rint((vertices + 0.5) * STEPS).clip(0, STEPS)
    places, number = np.unique(grid, axis=0, return_inverse=True)
    faces = number.reshape(-1)[faces]
    used, first = np.unique(faces.reshape(-1), return_index=True)
    order = used[np.argsort(first)]
    rank = np.zeros(len(places), np.int64)
    rank[order] = np.arange(len(order))
    return Drawn(places[order] / STEPS - 0.5, rank[faces], colours)


def _face_colours(mesh: Mesh) -> Colours:
    """(F, 3) sRGB: the material's colour, times the average of its picture or of the corners' colours."""
    plain = np.array([_average(material) for material in mesh.materials], np.float64)
    colours = plain[mesh.material_of_face]
    if mesh.vertex_colours is not None:
        colours = colours * mesh.vertex_colours[mesh.faces, :3].mean(axis=1) / 255
    return np.rint(colours).astype(np.uint8)


def _average(material: Material) -> Floats:
    colour = np.array(material.colour[:3], np.float64)
    if material.texture is None:
        return colour
    weight = material.texture[..., 3:].astype(np.float64)
    total = float(weight.sum())
    return colour if not total else colour * (material.texture[..., :3] * weight).sum(axis=(0, 1)) / total / 255


def _few_colours(colours: Colours) -> Colours:
    """As they are where one byte can number them, else on six levels a channel."""
    if len(np.unique(colours, axis=0)) <= _COLOURS:
        return colours
    return (np.rint(colours / 51.0) * 51).astype(np.uint8)


def _differences(values: Ints) -> bytes:
    return np.diff(values, prepend=0).astype("<u2").tobytes()  # wraps around, and so does the reader
