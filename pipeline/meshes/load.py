"""Mesh files become a `Mesh`: OFF, OBJ and glTF by own strict readers, PLY and STL by trimesh.

A mesh names other files (materials, pictures).  They are asked for through `Files`, which
knows one model's root and answers nothing outside it, whether it lies in a folder or in a
zip.  What is missing is noted, never fatal: the surface stays neutral grey.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import posixpath
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.obj import read_obj
from pipeline.pictures.colour import linear_to_srgb
from pipeline.pictures.decode import decode_picture, scaled

SUFFIXES = (".off", ".obj", ".ply", ".stl", ".glb", ".gltf")
# All that trimesh's readers have been seen to raise for cut and flipped files (tests/pipeline/meshes/test_load.py).
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


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
    path = Path(path)
    base = Path(root) if root is not None else path.parent
    member = path.resolve().relative_to(base.resolve()).as_posix()
    return load_member(member, Files.of_folder(base), texture_px=texture_px).mesh


def load_member(member: str, files: Files, *, texture_px: int | None = None, looks: bool = True) -> Loaded:
    """Read one mesh of a model; pictures are scaled down to `texture_px` on their longer side.

    Without `looks` no picture is opened.
    """
    data = files.read(member)
    if data is None:
        raise Reject("missing_mesh", f"{member} is not there")
    if not data.strip(b" \t\r\n\0"):
        raise Reject("empty", f"{member} is empty")
    pictures = _Pictures(files.beside(member), texture_px)
    suffix = posixpath.splitext(member)[1].lower()
    if suffix == ".off":
        from pipeline.meshes.off import read_off  # its compiled code takes a moment to load

        mesh = Mesh(*read_off(data, member))
    elif suffix == ".obj":
        mesh = read_obj(data, files.beside(member), pictures.get if looks else lambda _: None)
    elif suffix in (".glb", ".gltf"):
        mesh = read_gltf(data, files.beside(member), pictures.decode if looks else None)
    elif suffix in SUFFIXES:
        mesh = _read_by_trimesh(data, suffix, files.beside(member), texture_px)
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


def _read_by_trimesh(data: bytes, suffix: str, read: Callable[[str], bytes | None], texture_px: int | None) -> Mesh:
    import trimesh

    logging.getLogger("trimesh").setLevel(logging.CRITICAL)  # it logs tracebacks of damage that we report ourselves

    class Resolver(trimesh.resolvers.Resolver):
        """Hands trimesh the model's own files and nothing else."""

        def __init__(self) -> None:
            pass

        def get(self, name: str) -> bytes:
            found = read(name)
            if found is None:
                raise FileNotFoundError(name)
            return found

        def write(self, name: str, data: Any) -> None:
            raise PermissionError(name)

        def namespaced(self, namespace: str) -> Resolver:
            return self

        def keys(self) -> list[str]:
            return []

    # trimesh's readers raise whatever the damage makes of their arithmetic; a bad file is a
    # rejected shape, so everything they can raise has to become one here.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = trimesh.load(io.BytesIO(data), file_type=suffix[1:], resolver=Resolver(), process=False)
            scene = loaded if isinstance(loaded, trimesh.Scene) else trimesh.Scene(loaded)
            parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
            parts = [part for part in parts if len(part.faces)]
    except MemoryError as error:
        raise Reject("too_large", f"not enough memory for this {suffix} file") from error
    except _DAMAGE as error:
        raise Reject("malformed", f"the {suffix} file cannot be read: {type(error).__name__}: {error}"[:300]) from error
    if not parts:
        raise Reject("no_faces", f"the {suffix} file has no triangles")
    return _join([_from_trimesh(part, linear=suffix in (".glb", ".gltf"), texture_px=texture_px) for part in parts])


def _from_trimesh(part: Any, *, linear: bool, texture_px: int | None) -> Mesh:
    """One trimesh geometry, transforms applied; `linear` colours are those of glTF."""
    mesh = Mesh(np.array(part.vertices, dtype=np.float64), np.array(part.faces, dtype=np.int64))
    visual = part.visual
    if getattr(visual, "kind", None) == "vertex":
        mesh.vertex_colours = _bytes(visual.vertex_colors, linear)
        mesh.materials = [Material((255, 255, 255, 255))]
    elif getattr(visual, "kind", None) == "face":
        colours, of_face = np.unique(_bytes(visual.face_colors, False), axis=0, return_inverse=True)
        mesh.materials = [Material((int(r), int(g), int(b), int(a))) for r, g, b, a in colours]
        mesh.face_material = of_face.reshape(-1).astype(np.int64)
    elif getattr(visual, "kind", None) == "texture":
        mesh.materials = [_material_from_trimesh(visual.material, linear, texture_px)]
        if visual.uv is not None and len(visual.uv) == len(mesh.vertices):
            mesh.uv = np.array(visual.uv, dtype=np.float64)[:, :2]
    return mesh


def _material_from_trimesh(look: Any, linear: bool, texture_px: int | None) -> Material:
    picture = getattr(look, "baseColorTexture", None) or getattr(look, "image", None)
    colour = getattr(look, "baseColorFactor", None)
    if colour is None:
        colour = (255, 255, 255, 255) if picture is not None or linear else Material().colour
    red, green, blue, alpha = (int(v) for v in _bytes(np.array([colour]), linear)[0])
    texture = None if picture is None else scaled(picture, texture_px)
    return Material((red, green, blue, alpha), texture, str(getattr(look, "name", "") or ""))


def _bytes(colours: Any, linear: bool) -> npt.NDArray[np.uint8]:
    """(N, 3 or 4) colours, bytes or floats in [0, 1] -> (N, 4) sRGB uint8."""
    values = np.asarray(colours)
    scaled = values / 255 if values.dtype.kind in "ui" else values.astype(np.float64)
    rgba = np.ones((len(values), 4))
    rgba[:, : values.shape[1]] = scaled.clip(0, 1)
    if linear:
        rgba[:, :3] = linear_to_srgb(rgba[:, :3])
    return np.rint(rgba * 255).astype(np.uint8)


def _join(parts: list[Mesh]) -> Mesh:
    """One mesh of many, materials kept apart."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    looks = np.cumsum([0] + [len(part.materials) for part in parts])
    joined = Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts)]),
        np.concatenate([part.material_of_face + first for part, first in zip(parts, looks)]),
        [material for part in parts for material in part.materials],
    )
    if any(part.uv is not None for part in parts):
        joined.uv = np.concatenate([np.zeros((len(p.vertices), 2)) if p.uv is None else p.uv for p in parts])
    if any(part.vertex_colours is not None for part in parts):
        white = [np.full((len(p.vertices), 4), 255, dtype=np.uint8) for p in parts]
        joined.vertex_colours = np.concatenate(
            [w if p.vertex_colours is None else p.vertex_colours for w, p in zip(white, parts)]
        )
    return joined
