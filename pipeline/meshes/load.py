"""Mesh files become a `Mesh`: each format by a strict reader of our own.

A mesh names other files (materials, pictures).  They are asked for through `Files`, which
knows one model's root and answers nothing outside it, whether it lies in a folder or in a
zip.  What is missing is noted, never fatal: the surface stays neutral grey.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.readers.ply import read_ply
from pipeline.meshes.readers.stl import read_stl
from pipeline.pictures.decode import decode_picture

SUFFIXES = (".off", ".obj", ".ply", ".stl", ".glb", ".gltf")


@dataclasses.dataclass
class Loaded:
    """A mesh and what was noted while it was read."""

    mesh: Mesh
    missing_textures: list[str]
    refused: list[str]


def load_mesh(path: str | Path, *, root: str | Path | None = None, texture_px: int | None = None) -> Mesh:
    """Read one file on disk; `root` (default: its folder) bounds where its pictures may lie.

    Raises Reject with a typed reason for a file that is malformed, empty or unknown.
    """
    place = Path(path).resolve()
    base = place.parent if root is None else Path(root).resolve()
    if not place.is_relative_to(base):  # a link: materials and pictures lie beside what it leads to
        base = place.parent
    return load_member(place.relative_to(base).as_posix(), Files.of_folder(base), texture_px=texture_px).mesh


def load_member(member: str, files: Files, *, texture_px: int | None = None, looks: bool = True) -> Loaded:
    """Read one mesh of a model; pictures are scaled down to `texture_px` on their longer side.

    Without `looks` no picture is opened.
    """
    data = files.exact(member)
    if data is None:
        raise Reject("missing_mesh", f"there is no file {member} inside its folder")
    if not data.strip(b" \t\r\n\0"):
        raise Reject("empty", f"{member} is empty")
    pictures = _Pictures(files.beside(member), texture_px)
    suffix = posixpath.splitext(member)[1].lower()
    if suffix == ".off":
        from pipeline.meshes.readers.off import read_off  # compiled code takes a moment to load

        mesh = Mesh(*read_off(data, member))
    elif suffix == ".obj":
        from pipeline.meshes.readers.obj import read_obj

        mesh = read_obj(data, files.beside(member), pictures.get if looks else lambda _: None)
    elif suffix in (".glb", ".gltf"):
        mesh = read_gltf(data, files.beside(member), pictures.decode if looks else None)
    elif suffix in SUFFIXES:
        mesh = read_ply(data) if suffix == ".ply" else read_stl(data)
    else:
        raise Reject("unknown_format", f"{member}: known are {', '.join(SUFFIXES)}")
    return Loaded(mesh, sorted(set(files.missing + pictures.damaged)), sorted(set(files.refused)))


class _Pictures:
    """Decodes each picture of a model once."""

    def __init__(self, read: Callable[[str], bytes | None], limit_px: int | None):
        self._read, self._limit_px = read, limit_px
        self._seen: dict[str, npt.NDArray[np.uint8] | None] = {}
        self.damaged: list[str] = []

    def get(self, name: str) -> npt.NDArray[np.uint8] | None:
        if name not in self._seen:
            data = self._read(name)
            self._seen[name] = None if data is None else self.decode(name, data)
        return self._seen[name]

    def decode(self, name: str, data: bytes) -> npt.NDArray[np.uint8] | None:
        """(H, W, 4) the picture that these bytes hold; a name that holds none is noted."""
        try:
            return decode_picture(data, upright=False, longest_px=self._limit_px).rgba
        except Reject:
            self.damaged.append(name)
            return None
