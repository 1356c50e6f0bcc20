"""A glTF 2.0 file, .glb or .gltf, becomes a `Mesh`, by a strict reader of our own.

    scene -> nodes -> meshes -> primitives -> accessors -> buffer views -> buffers
                                primitives -> materials -> textures -> images

What is read: accessors of every type, strided, normalised and sparse; triangles, strips and fans;
transforms, instances, skins and morph targets in the pose of the file; vertex colours, factors
and pictures with their coordinates, wraps and alpha modes; Draco where DracoPy is installed.
What is not read is refused by name (extensions.py).  A damaged file is a Reject with its place, and
its sizes are checked before memory is taken.  Places stay in the file's own axes: glTF has +Y up
and its front at +Z (pipeline/meshes/frames.py).  Specification:
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from pipeline.conventions import Array, Faces, Vertices
from pipeline.errors import Reject
from pipeline.meshes.gltf.accessors import Accessors
from pipeline.meshes.gltf.container import Buffers, ReadFile, open_file
from pipeline.meshes.gltf.document import Item, malformed
from pipeline.meshes.gltf.extensions import check_required
from pipeline.meshes.gltf.materials import Decode, Look, Looks, uv_of
from pipeline.meshes.gltf.nodes import Placed, placed_meshes
from pipeline.meshes.gltf.primitives import Attributes, morphed, skinned, triangles_of, unpacked
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.colour import linear_to_srgb

Uv: TypeAlias = Float64[Array, "_V 2"]
Colours: TypeAlias = UInt8[Array, "_V 4"]  # sRGB and alpha
Numbers: TypeAlias = Int64[Array, " _F"]  # material of each face, or one of all of them

MOST_CORNERS = 2**25  # vertices and faces of all meshes together
MOST_COPIED = 2**22  # vertices and faces that stand in the file once and in the scene several times
_ALPHA_STEPS = 16  # the samples of a pixel tell no more apart


@dataclasses.dataclass
class _Part:
    """One primitive in its mesh's own axes."""

    vertices: Vertices
    faces: Faces
    look: Look
    attributes: Attributes
    uv: Uv | None
    colours: Colours | None


def read_gltf(data: bytes, read: ReadFile, decode: Decode | None = None) -> Mesh:
    """The default scene of a glTF file as one mesh.

    data    the bytes of the .glb or .gltf file
    read    answers the bytes of a file by the name that a URI gives it, or None
    decode  turns the bytes of a picture into (H, W, 4) sRGB, or None; without it pictures are passed over

    Raises Reject: `malformed`, `truncated`, `missing_buffer`, `unsupported`, `too_large`, `no_faces`.
    """
    with np.errstate(all="ignore"):  # what is no number, or grows without bounds, is found by value
        return _read(data, read, decode)


def _read(data: bytes, read: ReadFile, decode: Decode | None) -> Mesh:
    root, binary = open_file(data)
    check_required(root, looks=decode is not None)
    buffers = Buffers(root, binary, read)
    accessors, looks = Accessors(root, buffers), Looks(root, buffers, decode)
    scene = _Scene(looks)
    every = list(placed_meshes(root, accessors))
    uses = collections.Counter((placed.mesh, placed.weights) for placed in every)
    known: dict[Any, list[_Part]] = {}  # of meshes that stand in several places
    for placed in every:
        use = (placed.mesh, placed.weights)
        parts = known[use] if use in known else _parts(root, placed, accessors, buffers, looks)
        kept: list[_Part] = []
        for part in parts:  # added one by one, so that the limits are asked before the next one is made
            scene.add(part, placed)
            kept += [part] * (uses[use] > 1)
        known[use] = kept
    return scene.mesh()


def _parts(root: Item, placed: Placed, accessors: Accessors, buffers: Buffers, looks: Looks) -> Iterator[_Part]:
    """The primitives of a mesh that have a surface."""
    mesh = root.entry("meshes", placed.mesh, "mesh")
    weights = placed.weights
    if weights is None:
        given = mesh.value.get("weights", [])
        weights = mesh.numbers("weights", len(given) if isinstance(given, list) else 0, ())
    for primitive in mesh.table("primitives"):
        attributes = Attributes(primitive, accessors, unpacked(primitive, accessors, buffers))
        stored = attributes.read("POSITION", ("VEC3",))
        faces = None if stored is None else triangles_of(attributes, len(stored.raw))
        if stored is not None and faces is not None:
            faces = attributes.keep(faces, len(stored.raw))
            yield _part(attributes, faces, weights, looks)


def _part(attributes: Attributes, faces: Faces, weights: tuple[float, ...], looks: Looks) -> _Part:
    primitive = attributes.primitive
    stored = attributes.read("POSITION", ("VEC3",))
    assert stored is not None
    vertices = morphed(stored.floats(), attributes, weights)
    colours = attributes.read("COLOR_0", ("VEC3", "VEC4"), (5121, 5123, 5126))
    look = looks.look(primitive, coloured=colours is not None)
    uv = None
    if look.texture is not None:
        name = f"TEXCOORD_{look.texture.uv_set}"
        values = attributes.read(name, ("VEC2",))
        if values is not None and len(values.raw) == len(vertices):
            uv = uv_of(values.floats(), look.texture)
        elif values is not None:
            malformed(primitive.place(f"attributes.{name}"), f"{len(values.raw)} rows", f"{len(vertices)}")
    if uv is None and look.texture is not None:
        look = dataclasses.replace(look, texture=None)  # nothing says which part of the picture is where
    if colours is not None and len(colours.raw) != len(vertices):
        malformed(primitive.place("attributes.COLOR_0"), f"{len(colours.raw)} rows", f"{len(vertices)}")
    return _Part(
        vertices, faces, look, attributes, uv, None if colours is None else _srgb(colours.floats(normalised=True))
    )


class _Scene:
    """Collects the parts where they stand."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._vertices: list[Vertices] = []
        self._faces: list[Faces] = []
        self._numbers: list[Numbers] = []
        self._uv: list[Uv | None] = []
        self._colours: list[Colours | None] = []
        self._materials: list[Material] = []
        self._number_of: dict[tuple[Look, float], int] = {}
        self._vertex_count = self._corner_count = self._copied = 0
        self._stored: set[tuple[int | None, ...]] = set()

    def add(self, part: _Part, placed: Placed) -> None:
        """One primitive in all its places."""
        copies, size = len(placed.matrices), len(part.vertices) + len(part.faces)
        self._corner_count += copies * size
        stored = part.attributes.stored_as
        self._copied += (copies - (stored not in self._stored)) * size
        self._stored.add(stored)
        if self._corner_count > MOST_CORNERS or self._copied > MOST_COPIED:
            raise Reject(
                "too_large",
                f"glTF: {self._corner_count} vertices and faces, {self._copied} of them copies; "
                f"at most {MOST_CORNERS} and {MOST_COPIED} are read",
            )
        places, mirrored = _placed(part, placed)
        numbers = self._materials_of(part)
        for instance in range(copies):
            faces = part.faces[:, ::-1] if mirrored[instance] else part.faces
            self._faces.append(faces + self._vertex_count if self._vertex_count else faces)
            self._vertices.append(places[instance])
            self._numbers.append(numbers)
            self._uv.append(part.uv)
            self._colours.append(part.colours)
            self._vertex_count += len(part.vertices)

    def mesh(self) -> Mesh:
        """Everything that was added; Reject where that has no triangle."""
        if not self._faces:
            raise Reject("no_faces", "glTF: the scene shows no triangles; points and lines have no surface")
        mesh = Mesh(_joined(self._vertices), np.ascontiguousarray(_joined(self._faces)), None, self._materials)
        if len(self._materials) > 1:
            mesh.face_material = np.concatenate(
                [np.broadcast_to(number, len(faces)) for number, faces in zip(self._numbers, self._faces)]
            )
        counts = [len(vertices) for vertices in self._vertices]
        if any(material.texture is not None for material in self._materials):
            mesh.uv = _joined([np.zeros((count, 2)) if uv is None else uv for count, uv in zip(counts, self._uv)])
        if any(colours is not None for colours in self._colours):
            mesh.vertex_colours = _joined(
                [np.full((n, 4), 255, dtype=np.uint8) if own is None else own for n, own in zip(counts, self._colours)]
            )
        return mesh

    def _materials_of(self, part: _Part) -> Numbers:
        """Number of the material of each face (F,), or of all (1,); see-through vertices make more of them."""
        shares = _shares(part)
        if shares is None:
            return np.array([self._number(part.look, 1.0)])
        different, of_face = np.unique(shares, return_inverse=True)
        return np.array([self._number(part.look, float(share)) for share in different])[of_face]

    def _number(self, look: Look, share: float) -> int:
        key = (look, share)
        if key not in self._number_of:
            self._number_of[key] = len(self._materials)
            self._materials.append(self._looks.material(look, share))
        return self._number_of[key]


def _placed(part: _Part, placed: Placed) -> tuple[Float64[Array, "N V 3"], Bool[Array, " N"]]:
    """The vertices in all places of a part, and which of the places are mirrored."""
    if placed.joints is not None:
        bent = skinned(part.vertices, part.attributes, placed.joints)
        if bent is not None:
            mirrored = bool(np.median(np.linalg.det(placed.joints[:, :3, :3])) < 0)
            return np.repeat(bent[None], len(placed.matrices), axis=0), np.full(len(placed.matrices), mirrored)
    turns, shifts = placed.matrices[:, :3, :3], placed.matrices[:, None, :3, 3]
    if len(turns) == 1 and np.array_equal(placed.matrices[0], np.eye(4)):
        return part.vertices[None], np.zeros(1, dtype=bool)
    return part.vertices @ turns.transpose(0, 2, 1) + shifts, np.linalg.det(turns) < 0


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _shares(part: _Part) -> Float64[Array, " _F"] | None:
    """Alpha that the vertices give each face, in few steps; None where it is 1 or means nothing."""
    if part.colours is None or not part.look.takes_alpha or part.colours[:, 3].min() == 255:
        return None
    mean = part.colours[part.faces, 3].mean(axis=1) / 255
    if part.look.mode == "MASK" and part.look.texture is None:
        return np.asarray(mean * part.look.factor[3] >= part.look.cutoff, dtype=np.float64)
    return np.asarray(np.rint(mean * _ALPHA_STEPS) / _ALPHA_STEPS)


def _srgb(linear: Float64[Array, "V _C"]) -> UInt8[Array, "V 4"]:
    """Linear colours of 3 or 4 channels -> sRGB bytes with alpha."""
    steps = np.rint(np.nan_to_num(linear, nan=0.0).clip(0, 1) * 65535).astype(np.uint16)
    out = np.full((len(linear), 4), 255, dtype=np.uint8)
    out[:, :3] = _srgb_table()[steps[:, :3]]
    if linear.shape[1] == 4:
        out[:, 3] = np.rint(steps[:, 3] / 257)
    return out


@functools.cache
def _srgb_table() -> UInt8[Array, 65536]:
    """The sRGB byte of each 16-bit light."""
    return np.asarray(np.rint(linear_to_srgb(np.arange(65536) / 65535) * 255), np.uint8)
