"""Primitives become triangles with their attributes; Draco streams are unpacked by the package DracoPy.

    mode 4      three corners a triangle
    mode 5      a strip: every corner makes a triangle with the two before it, every other one turned round
    mode 6      a fan: every corner makes a triangle with the one before it and the first
    mode 0 - 3  points and lines, which have no surface and are passed over

Specification, section 3.7.2: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html, and
https://github.com/KhronosGroup/glTF/tree/main/extensions/2.0/Khronos/KHR_draco_mesh_compression
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.conventions import Array, Faces, Vertices
from pipeline.errors import Reject
from pipeline.meshes.gltf.accessors import COMPONENTS, MOST_ELEMENTS, UNSIGNED, Accessors, Stored, Values
from pipeline.meshes.gltf.container import Buffers
from pipeline.meshes.gltf.document import Item, malformed
from pipeline.meshes.gltf.extensions import DRACO, draco_is_here, unsupported

Corners: TypeAlias = Int64[Array, " _C"]  # numbers of vertices, as a primitive lists them
TRIANGLES, STRIP, FAN = 4, 5, 6
_INFLUENCES = 4  # of joints, in each set of attributes


@dataclass
class Attributes:
    """What one primitive says of its vertices, from accessors or out of a Draco stream."""

    primitive: Item
    accessors: Accessors
    draco: Draco | None
    rows: Int64[Array, " _V"] | None = None  # the vertices that count; None: all

    @property
    def stored_as(self) -> tuple[int | None, ...]:
        """Equal for primitives whose places and corners are the same bytes of the file."""
        said = self.primitive.extension(DRACO)
        stream = None if said is None else said.index("bufferView")
        return self.primitive.wanted("attributes").index("POSITION"), self.primitive.index("indices"), stream

    def read(self, name: str, kinds: Collection[str], components: Collection[int] = COMPONENTS) -> Values | None:
        """One attribute; None where the primitive has none of this name."""
        table = self.primitive.wanted("attributes")
        number = table.index(name)
        if number is None:
            return None
        if self.draco is not None and name in self.draco.attributes:
            item = self.accessors.root.entry("accessors", number, table.place(name))
            values = Values(self.draco.attributes[name], item.flag("normalized"))
        else:
            values = self.accessors.read(number, table.place(name), kinds=kinds, components=components)
        return values if self.rows is None else self._chosen(values, name)

    def _chosen(self, values: Values, name: str) -> Values:
        assert self.rows is not None
        if self.rows[-1] >= len(values.raw):
            malformed(self.primitive.place(f"attributes.{name}"), f"{len(values.raw)} rows", "one for each vertex")
        return Values(values.raw[self.rows], values.normalised)

    def keep(self, faces: Faces, vertices: int) -> Faces:
        """The faces renumbered to the vertices that they use, where there are more vertices than corners.

        Some exporters let all primitives of a model share one list of vertices.
        """
        if vertices <= faces.size:
            return faces
        used = np.zeros(vertices, dtype=bool)
        used[faces] = True
        self.rows = np.flatnonzero(used)
        return np.asarray((np.cumsum(used) - 1)[faces])


@dataclass(frozen=True)
class Draco:
    """What a Draco stream held."""

    attributes: dict[str, Stored]  # by their glTF names
    faces: Faces


def unpacked(primitive: Item, accessors: Accessors, buffers: Buffers) -> Draco | None:
    """The Draco stream of a primitive; None where it has none, or plain accessors beside it and no decoder is here."""
    said = primitive.extension(DRACO)
    if said is None:
        return None
    if not draco_is_here():
        if _has_plain_positions(primitive, accessors):
            return None
        raise unsupported(DRACO)
    for place, number in [("indices", primitive.index("indices")), *_numbered(primitive)]:
        item = None if number is None else accessors.root.entry("accessors", number, primitive.place(place))
        if item is not None and item.whole("count", low=1) > MOST_ELEMENTS:
            raise Reject("too_large", f"glTF: {item.where} has {item.whole('count')} elements")
    stream, _ = buffers.view(said.whole("bufferView"), said.place("bufferView"))
    return _decoded(bytes(stream), said.wanted("attributes"))


def triangles_of(attributes: Attributes, vertices: int) -> Faces | None:
    """Corners of the primitive's triangles; None for points and lines."""
    primitive = attributes.primitive
    mode = primitive.whole("mode", TRIANGLES, high=FAN)
    if mode < TRIANGLES:
        return None
    if attributes.draco is not None:
        faces = attributes.draco.faces
    else:
        faces = _assembled(_corners(primitive, attributes.accessors, vertices), mode, primitive)
    if len(faces) and (faces.min() < 0 or faces.max() >= vertices):
        malformed(primitive.place("indices"), f"vertex {int(faces.max())}", f"one of the {vertices} vertices")
    return faces


def morphed(positions: Vertices, attributes: Attributes, weights: tuple[float, ...]) -> Vertices:
    """The positions with each morph target's shifts added, times its weight."""
    targets = attributes.primitive.table("targets")
    for target, weight in zip(targets, weights, strict=False):
        number = target.index("POSITION")
        if weight == 0 or number is None:
            continue
        shift = attributes.accessors.read(number, target.place("POSITION"), kinds=("VEC3",)).floats()
        if attributes.rows is not None and attributes.rows[-1] < len(shift):
            shift = shift[attributes.rows]
        if len(shift) != len(positions):
            malformed(target.place("POSITION"), f"{len(shift)} shifts", f"{len(positions)}")
        positions = positions + weight * shift
    return positions


def skinned(
    positions: Float64[Array, "V 3"], attributes: Attributes, joints: Float64[Array, "_J 4 4"]
) -> Float64[Array, "V 3"] | None:
    """Where the joints take the vertices; None where the primitive names no joints."""
    total = np.zeros(len(positions))
    placed = np.zeros_like(positions)
    number = 0
    while (which := attributes.read(f"JOINTS_{number}", ("VEC4",), (5121, 5123))) is not None:
        share = attributes.read(f"WEIGHTS_{number}", ("VEC4",), (5121, 5123, 5126))
        place = attributes.primitive.place(f"attributes.JOINTS_{number}")
        if share is None or len(which.raw) != len(positions) or len(share.raw) != len(positions):
            malformed(place, f"{len(which.raw)} rows", f"joints and weights for {len(positions)} vertices")
        weights, chosen = share.floats(normalised=True), which.raw.astype(np.int64)
        chosen[weights == 0] = 0  # the joint of a weight of zero means nothing
        if chosen.max() >= len(joints):
            malformed(place, f"joint {int(chosen.max())}", f"one of {len(joints)}")
        for column in range(_INFLUENCES):
            matrices, weight = joints[chosen[:, column]], weights[:, column]
            placed += weight[:, None] * (np.einsum("vij,vj->vi", matrices[:, :3, :3], positions) + matrices[:, :3, 3])
            total += weight
        number += 1
    if number == 0:
        return None
    bound = total > 0
    placed[bound] /= total[bound, None]
    return placed


def _corners(primitive: Item, accessors: Accessors, vertices: int) -> Corners:
    number = primitive.index("indices")
    if number is None:
        return np.arange(vertices, dtype=np.int64)
    place = primitive.place("indices")
    return accessors.read(number, place, kinds=("SCALAR",), components=UNSIGNED).raw[:, 0].astype(np.int64)


def _assembled(corners: Corners, mode: int, primitive: Item) -> Faces:
    if len(corners) < 3 or (mode == TRIANGLES and len(corners) % 3):
        malformed(primitive.where, f"{len(corners)} corners", "3 or more; a multiple of 3 where it is no strip or fan")
    if mode == TRIANGLES:
        return corners.reshape(-1, 3)
    if mode == FAN:
        return np.stack([corners[1:-1], corners[2:], np.full(len(corners) - 2, corners[0])], axis=1)
    odd = np.arange(len(corners) - 2) % 2
    place = np.arange(len(corners) - 2)
    return np.asarray(np.stack([corners[place], corners[place + 1 + odd], corners[place + 2 - odd]], axis=1))


def _numbered(primitive: Item) -> list[tuple[str, int]]:
    table = primitive.wanted("attributes")
    return [(name, table.whole(name)) for name in table.value]


def _has_plain_positions(primitive: Item, accessors: Accessors) -> bool:
    table = primitive.wanted("attributes")
    number = table.index("POSITION")
    return number is not None and "bufferView" in accessors.root.entry("accessors", number, table.place("POSITION"))


# Numbers a vertex, of attributes by the first part of their name (glTF 2.0, section 3.7.2.1).
_WIDTHS = {"POSITION": (3,), "NORMAL": (3,), "TANGENT": (4,), "TEXCOORD": (2,), "COLOR": (3, 4)}


def _decoded(stream: bytes, names: Item) -> Draco:
    import DracoPy

    # The decoder answers damage with its own exceptions and with those of Python's number types.
    try:
        found = DracoPy.decode(stream)
        held = {one["unique_id"]: np.asarray(one["data"]) for one in found.attributes}
        faces = np.asarray(found.faces, dtype=np.int64).reshape(-1, 3)
    except (DracoPy.FileTypeException, AttributeError, KeyError, RuntimeError, ValueError) as error:
        raise Reject(
            "unsupported",
            f"glTF extension {DRACO}: the decoder cannot read {names.where}: {str(error)[:100]}; "
            "export without Draco compression, or unpack it with `gltf-transform copy IN.glb OUT.glb`",
        ) from error
    missing = [name for name in names.value if names.whole(name) not in held]
    if missing:
        malformed(names.where, missing, f"attributes {sorted(held)} of the stream")
    read = {}
    for name in names.value:
        values = held[names.whole(name)]
        read[name] = values.reshape(len(values), -1) if len(values) else values.reshape(0, 0)
        width, wanted = read[name].shape[1], _WIDTHS.get(name.partition("_")[0])
        if wanted is not None and width not in wanted:
            malformed(names.place(name), f"{width} numbers a vertex", " or ".join(map(str, wanted)))
    return Draco(read, faces)
