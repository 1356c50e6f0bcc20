"""Mesh files for the command line; pictures and materials are not even opened."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member
from pipeline.meshes.mesh import Mesh


def read_mesh(path: Path) -> Mesh:
    """Read OFF, OBJ, PLY, STL, GLB; Reject with a typed reason for anything that is not a mesh."""
    if not path.is_file():
        raise Reject("missing_mesh", f"{path} is not a file")
    folder = Files.of_folder(path.parent)

    def geometry_only(name: str) -> bytes | None:
        return None if name.lower().endswith(".mtl") else folder.open_bytes(name)

    return load_member(path.name, Files(geometry_only), looks=False).mesh
