"""OFF, OBJ and MTL text of a Mesh, written fast; the formats as ModelNet and ShapeNetCore v1 have them.

OFF (https://segeval.cs.princeton.edu/public/off_format.html): ``OFF``, counts, vertices, then
``3 a b c``.  Some ModelNet files glue the counts to the magic word: ``OFF700 664 0``.
OBJ (Wavefront): ``v``, ``vt``, ``usemtl``, ``f v/vt``, counted from 1; MTL names colours and pictures.
"""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image as Pillow

from pipeline.conventions import Array, Faces, Image, Points, Vertices
from pipeline.meshes.mesh import Material, Mesh

DECIMALS = 5


def weld(mesh: Mesh) -> tuple[Vertices, Faces]:
    """(P, 3) distinct points, rounded, and (F, 3) faces into them."""
    points, index = np.unique(np.round(mesh.vertices, DECIMALS), axis=0, return_inverse=True)
    return points, index.reshape(-1)[mesh.faces]


def off_text(points: Points, faces: Faces, *, glued: bool = False) -> str:
    """One OFF file; `glued` writes the header without its line break."""
    head = f"OFF{'' if glued else chr(10)}{len(points)} {len(faces)} 0\n"
    return head + _lines("%.6f %.6f %.6f\n", points) + _lines("3 %d %d %d\n", faces)


def obj_text(mesh: Mesh, names: list[str]) -> str:
    """One OBJ file whose materials are called `names`, faces grouped by material."""
    points, faces = weld(mesh)
    assert mesh.uv is not None, "furniture always has UVs"
    chunks = [
        "# procedural furniture\nmtllib model.mtl\n",
        _lines("v %.5f %.5f %.5f\n", points),
        _lines("vt %.5f %.5f\n", mesh.uv),
    ]
    corners = np.stack([faces, mesh.faces], axis=2).reshape(-1, 6) + 1
    for index, name in enumerate(names):
        rows = corners[mesh.material_of_face == index]
        chunks += [f"usemtl {name}\n", _lines("f %d/%d %d/%d %d/%d\n", rows)]
    return "".join(chunks)


def material_names(materials: list[Material]) -> list[str]:
    """Distinct names without blanks."""
    return [
        f"{re.sub('[^A-Za-z0-9]+', '_', material.name) or 'material'}_{index}"
        for index, material in enumerate(materials)
    ]


def mtl_text(materials: list[Material], names: list[str], pictures: list[str | None]) -> str:
    """One MTL file; `pictures` are paths relative to it."""
    blocks = []
    for material, name, picture in zip(materials, names, pictures):
        red, green, blue, alpha = (channel / 255 for channel in material.colour)
        blocks.append(
            f"newmtl {name}\nNs 96.078431\nKa 0.000000 0.000000 0.000000\nKd {red:.6f} {green:.6f} {blue:.6f}\n"
            f"Ks 0.100000 0.100000 0.100000\nd {alpha:.6f}\nillum 2\n" + (f"map_Kd {picture}\n" if picture else "")
        )
    return f"# Material Count: {len(materials)}\n\n" + "\n".join(blocks)


def picture_bytes(picture: Image, kind: str) -> bytes:
    """A texture as JPEG or PNG."""
    out = io.BytesIO()
    Pillow.fromarray(picture[..., :3]).save(
        out, format=kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 3})
    )
    return out.getvalue()


def _lines(template: str, rows: Array) -> str:
    return (template * len(rows)) % tuple(rows.ravel().tolist())
