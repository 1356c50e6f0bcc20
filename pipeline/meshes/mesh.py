"""`Mesh` and `Material`: a triangle mesh as every stage sees it, independent of any library.

Files become a Mesh in pipeline/meshes/load.py; a Mesh becomes a normalised .glb and comes back in
pipeline/meshes/glb.py.  Colours are sRGB uint8 with straight alpha; UV (0, 0) is the bottom left
of the picture, as in OBJ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Wrap: TypeAlias = Literal["repeat", "clamp", "mirror"]
"""What a picture shows outside [0, 1]: itself again, its border, or itself mirrored at every border."""


@dataclass
class Material:
    """One surface look."""

    colour: tuple[int, int, int, int] = (178, 178, 178, 255)
    """sRGB + alpha of the plain surface; multiplies the texture when there is one."""
    texture: npt.NDArray[np.uint8] | None = None
    """(H, W, 4) sRGB picture with straight alpha, row 0 on top; None for a plain surface."""
    name: str = ""
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """How the texture goes on along u and along v."""


def inside_picture(coordinate: npt.NDArray[np.float64], wrap: Wrap) -> npt.NDArray[np.float64]:
    """Texture coordinates (N,) along one axis -> the places in [0, 1] that they show."""
    if wrap == "clamp":
        return coordinate.clip(0.0, 1.0)
    if wrap == "mirror":
        return np.asarray(np.abs(coordinate - 2.0 * np.floor(0.5 * coordinate + 0.5)))
    return coordinate - np.floor(coordinate)


@dataclass
class Mesh:
    """Triangles with materials; vertices are split where their UVs or normals differ."""

    vertices: npt.NDArray[np.float64]  # (V, 3)
    faces: npt.NDArray[np.int64]  # (F, 3)
    face_material: npt.NDArray[np.int64] | None = None  # (F,) index into materials; None: all 0
    materials: list[Material] = field(default_factory=lambda: [Material()])
    uv: npt.NDArray[np.float64] | None = None  # (V, 2)
    vertex_colours: npt.NDArray[np.uint8] | None = None  # (V, 4), multiplies the material

    @property
    def material_of_face(self) -> npt.NDArray[np.int64]:
        """(F,) material index of every face."""
        if self.face_material is None:
            return np.zeros(len(self.faces), dtype=np.int64)
        return self.face_material

    @property
    def triangles(self) -> npt.NDArray[np.float64]:
        """(F, 3, 3) corner coordinates."""
        return self.vertices[self.faces]
