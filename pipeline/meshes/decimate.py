"""Meshes with more faces than wanted, simplified by Open3D's quadric decimation (Garland and Heckbert 1997).

Why Open3D and not fast_simplification, which needs no further package and is five to twenty times
as fast: it removes faces in any order of cost below a growing threshold.  Distance between the
surface before and after, root mean square / largest, in 1/10,000 of the unit box:

    mesh                  faces   to        Open3D        fast_simplification (aggressiveness 3, then 7)
    ModelNet bathtub      30,722  15,360    0.0 / 2       0.2 / 3
    ModelNet bathtub      30,722  3,072     2.6 / 45      6.6 / 34
    ModelNet bathtub 2    15,696  1,569     8.3 / 147     47.8 / 668
    ModelNet chair        3,990   399       25.5 / 174    482 / 2,250, stops at 444
    ShapeNet chair        2,677   267       32.5 / 245    494 / 4,646
    bunny                 4,968   496       57.7 / 277    38.7 / 474
    waved sheet           180,000 18,000    0.1 / 0       0.2 / 24

The decimation moves positions only: it knows neither materials nor texture coordinates.  Each
new face takes the material of the old face nearest to it; pictures become vertex colours,
taken from the picture at the nearest old face, which at the hundreds of thousands of faces
where this is of use is as fine as the picture was.  Holes of opacity maps close.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pipeline.errors import Reject, UserError
from pipeline.meshes.mesh import Mesh, inside_picture

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def decimate(
    mesh: Mesh,
    first: Ints,  # (P,) the first vertex at each different position
    place: Ints,  # (V,) the position of each vertex
    target: int,  # most faces of the result
) -> Mesh:
    """A mesh of at most `target` faces that looks alike; Reject where it does not get that small."""
    faces, vertices = _simplified(mesh.vertices[first], place[mesh.faces], target)
    if not 0 < len(faces) <= target:
        raise Reject("too_many_faces", f"{len(mesh.faces)} faces; simplified there are {len(faces)} of {target}")
    old = cKDTree(mesh.triangles.mean(axis=1))
    _, nearest = old.query(vertices[faces].mean(axis=1))
    materials = [dataclasses.replace(material, texture=None) for material in mesh.materials]
    colours = None
    if mesh.vertex_colours is not None or any(material.texture is not None for material in mesh.materials):
        _, beside = old.query(vertices)
        colours = _face_colours(mesh)[beside]
    return Mesh(vertices, faces, mesh.material_of_face[nearest], materials, None, colours)


def _simplified(vertices: npt.NDArray[np.float64], faces: Ints, target: int) -> tuple[Ints, npt.NDArray[np.float64]]:
    open3d = _open3d()
    body = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    body = body.simplify_quadric_decimation(target)
    return np.asarray(body.triangles).astype(np.int64), np.array(body.vertices, dtype=np.float64)


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise UserError(
            "meshes cannot be simplified here",
            got=str(error),
            wanted="the Python package open3d",
            do="pip install open3d (on Debian also libusb-1.0-0, libgl1, libgomp1), or set "
            "render.above_max_faces to reject",
        ) from error
    return open3d


def _face_colours(mesh: Mesh) -> Bytes:
    """(F, 4) what the picture and the vertex colours say in the middle of each face; white where they say nothing."""
    colours = np.full((len(mesh.faces), 4), 255, dtype=np.uint8)
    for number, material in enumerate(mesh.materials):
        of_it = mesh.material_of_face == number
        if material.texture is None or mesh.uv is None or not of_it.any():
            continue
        height, width = material.texture.shape[:2]
        u, v = mesh.uv[mesh.faces[of_it]].mean(axis=1).T
        column = np.minimum((inside_picture(u, material.wrap[0]) * width).astype(np.int64), width - 1)
        row = np.minimum(((1.0 - inside_picture(v, material.wrap[1])) * height).astype(np.int64), height - 1)
        colours[of_it, :3] = material.texture[row, column, :3]
    if mesh.vertex_colours is not None:
        mean = mesh.vertex_colours[mesh.faces].mean(axis=1)
        colours[:, :3] = np.rint(colours[:, :3] * (mean[:, :3] / 255))
    return colours
