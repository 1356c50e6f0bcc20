"""Meshes for other programs: .glb, .obj and .stl, each in the axes that its readers expect (frames.py)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.meshes.frames import in_frame_of
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh


def mesh_bytes(mesh: Mesh, suffix: str) -> bytes:
    """A mesh of the world as a file of one of `SUFFIXES`."""
    return _WRITERS[suffix](in_frame_of(suffix, mesh))


def _obj(mesh: Mesh) -> bytes:
    """Wavefront OBJ, one-based faces."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")


def _stl(mesh: Mesh) -> bytes:
    """Binary STL: 80 bytes of header, the count, then normal, three corners and a 16-bit zero for each face."""
    triangles = mesh.triangles.astype("<f4")
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    facets = np.zeros(len(triangles), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("zero", "<u2")])
    facets["normal"], facets["corners"] = normals / np.where(lengths > 0, lengths, 1), triangles
    return bytes(80) + np.array(len(triangles), "<u4").tobytes() + facets.tobytes()


_WRITERS: dict[str, Callable[[Mesh], bytes]] = {".glb": write_glb, ".obj": _obj, ".stl": _stl}
SUFFIXES = tuple(_WRITERS)
