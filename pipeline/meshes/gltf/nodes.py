"""The scene of a glTF file: which mesh stands where.

Nodes form trees.  A node has a matrix (16 numbers, column after column) or a translation, a
rotation (quaternion x, y, z, w) and a scale; a point goes through its scale first, then the
rotation, then the translation, then the nodes above.  A skinned mesh goes where its joints are and not where
its node is; here in the pose of the file, without its animations.  Extensions:
EXT_mesh_gpu_instancing (one mesh in many places) and KHR_node_visibility.  Specification, sections 3.5 and 3.7.3:
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pipeline.conventions import Array, Transform
from pipeline.errors import Reject
from pipeline.meshes.gltf.accessors import Accessors
from pipeline.meshes.gltf.document import Item, malformed

Parents: TypeAlias = Int64[Array, " N"]  # the node above each node, -1 for a root
Matrices: TypeAlias = Float64[Array, "_N 4 4"]

_INSTANCING = "EXT_mesh_gpu_instancing"
_WORLD_LIMIT = 1e30  # products of such numbers with coordinates stay finite
MOST_INSTANCES = 2**20  # of one node


@dataclass(frozen=True)
class Placed:
    """One mesh of the scene."""

    mesh: int
    matrices: Matrices  # to the world: one for each instance
    joints: Matrices | None  # of a skin, from the mesh straight to the world; None where there is none
    weights: tuple[float, ...] | None  # of the morph targets; None takes the mesh's own


def placed_meshes(root: Item, accessors: Accessors) -> Iterator[Placed]:
    """Every mesh that the scene shows, in the order of the nodes."""
    nodes = root.table("nodes")
    parents, order = _tree(nodes)
    world = _world(nodes, parents, order)
    shown = _shown(root, nodes, parents, order)
    for number in np.flatnonzero(shown):
        node = nodes[number]
        mesh = node.index("mesh")
        if mesh is None:
            continue
        root.entry("meshes", mesh, node.place("mesh"))
        matrices = world[number][None]
        instancing = node.extension(_INSTANCING)
        if instancing is not None:
            matrices = matrices @ _instances(instancing, accessors)
        skin = node.index("skin")
        joints = None if skin is None else _joints(root, skin, node.place("skin"), accessors, world)
        weights = node.value.get("weights")
        given = None if weights is None else node.numbers("weights", len(weights) if isinstance(weights, list) else 0)
        yield Placed(mesh, matrices, joints, given)


def _tree(nodes: list[Item]) -> tuple[Parents, list[int]]:
    """Parent of each node, -1 for a root, and the nodes in an order in which each comes after its parent."""
    children = [node.indices("children") for node in nodes]
    parents = np.full(len(nodes), -1, dtype=np.int64)
    for number, node in enumerate(nodes):
        for child in children[number]:
            if child >= len(nodes) or parents[child] >= 0:
                malformed(node.place("children"), child, "nodes that are the children of one node only")
            parents[child] = number
    order = np.flatnonzero(parents < 0).tolist()
    for number in order:  # grows while it is walked
        order.extend(children[number])
    if len(order) < len(nodes):
        malformed("nodes", f"a circle of {len(nodes) - len(order)} nodes", "trees")
    return parents, order


def _world(nodes: list[Item], parents: Parents, order: list[int]) -> Matrices:
    """From each node to the world."""
    world = _local(nodes)
    for number in order:
        if parents[number] >= 0:
            world[number] = world[parents[number]] @ world[number]
    wild = np.flatnonzero(~(np.abs(world) < _WORLD_LIMIT).all(axis=(1, 2)))
    if len(wild):
        malformed(nodes[wild[0]].where, "a transform without bounds", f"numbers below {_WORLD_LIMIT:g}")
    return world


def _local(nodes: list[Item]) -> Matrices:
    """From each node to its parent."""
    translation, scale = np.zeros((len(nodes), 3)), np.ones((len(nodes), 3))
    rotation = np.tile((0.0, 0.0, 0.0, 1.0), (len(nodes), 1))
    given: dict[int, Transform] = {}
    for number, node in enumerate(nodes):
        if "matrix" in node:
            given[number] = np.array(node.numbers("matrix", 16)).reshape(4, 4).T
            if not np.allclose(given[number][3], (0, 0, 0, 1), atol=1e-5):
                malformed(node.place("matrix"), given[number][3].tolist(), "the last row 0, 0, 0, 1")
            continue
        if "translation" in node:
            translation[number] = node.numbers("translation", 3)
        if "rotation" in node:
            rotation[number] = node.numbers("rotation", 4)
            if not 1e-6 < np.abs(rotation[number]).max() < 1e6:
                malformed(node.place("rotation"), rotation[number].tolist(), "a unit quaternion")
        if "scale" in node:
            scale[number] = node.numbers("scale", 3)
    out = _composed(translation, rotation, scale)
    for number, matrix in given.items():
        out[number] = matrix
    return out


def _composed(
    translation: Float64[Array, "N 3"], rotation: Float64[Array, "N 4"], scale: Float64[Array, "N 3"]
) -> Float64[Array, "N 4 4"]:
    """Shifts, quaternions x, y, z, w, and scales, as one matrix each."""
    x, y, z, w = (rotation / np.linalg.norm(rotation, axis=1, keepdims=True)).T
    turned = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    out = np.zeros((len(translation), 4, 4))
    out[:, :3, :3] = turned.transpose(2, 0, 1) * scale[:, None, :]
    out[:, :3, 3] = translation
    out[:, 3, 3] = 1
    return out


def _shown(root: Item, nodes: list[Item], parents: Parents, order: list[int]) -> Bool[Array, " N"]:
    """Whether a node stands in the scene: the default one, the first one, or all nodes where there is none."""
    in_scene = parents < 0
    if root.table("scenes"):
        scene = root.entry("scenes", root.whole("scene", 0), "scene")
        in_scene = np.zeros(len(nodes), dtype=bool)
        for number in scene.indices("nodes"):
            if number >= len(nodes):
                malformed(scene.place("nodes"), number, f"one of the {len(nodes)} nodes")
            in_scene[number] = True
    hidden = np.zeros(len(nodes), dtype=bool)
    for number in order:
        said = nodes[number].extension("KHR_node_visibility")
        above = parents[number]
        in_scene[number] |= above >= 0 and in_scene[above]
        hidden[number] = (said is not None and not said.flag("visible", True)) or (above >= 0 and hidden[above])
    return in_scene & ~hidden


def _instances(said: Item, accessors: Accessors) -> Matrices:
    """From an instance to its node; attributes that are not there change nothing."""
    attributes = said.wanted("attributes")
    found: dict[str, Float64[Array, "_N _W"]] = {}
    for name, kind in (("TRANSLATION", "VEC3"), ("ROTATION", "VEC4"), ("SCALE", "VEC3")):
        number = attributes.index(name)
        if number is not None:
            found[name] = accessors.read(number, attributes.place(name), kinds=(kind,)).floats()
    counts = {len(values) for values in found.values()}
    if len(counts) > 1 or any(not np.isfinite(values).all() for values in found.values()):
        malformed(attributes.where, f"counts {sorted(counts)}", "finite attributes of one length")
    count = counts.pop() if counts else 1
    if count > MOST_INSTANCES:
        raise Reject("too_large", f"glTF: {said.where} has {count} instances, at most {MOST_INSTANCES}")
    defaults = {"TRANSLATION": (0.0, 0.0, 0.0), "ROTATION": (0.0, 0.0, 0.0, 1.0), "SCALE": (1.0, 1.0, 1.0)}
    translation, rotation, scale = (found.get(name, np.tile(default, (count, 1))) for name, default in defaults.items())
    largest = np.abs(rotation).max(axis=1)
    if not ((largest > 1e-6) & (largest < 1e6)).all():
        malformed(attributes.place("ROTATION"), "a quaternion without a length", "unit quaternions")
    return _composed(translation, rotation, scale)


def _joints(root: Item, number: int, by: str, accessors: Accessors, world: Matrices) -> Matrices:
    """From the mesh of a skin to the world: where the joint is, times its inverse bind matrix."""
    skin = root.entry("skins", number, by)
    joints = np.array(skin.indices("joints"), dtype=np.int64)
    if not len(joints) or joints.max() >= len(world):
        malformed(skin.place("joints"), joints.tolist(), f"one or more of the {len(world)} nodes")
    bind = skin.index("inverseBindMatrices")
    if bind is None:
        return np.asarray(world[joints])
    stored = accessors.read(bind, skin.place("inverseBindMatrices"), kinds=("MAT4",), components=(5126,)).floats()
    if len(stored) < len(joints) or not (np.abs(stored) < _WORLD_LIMIT).all():
        malformed(skin.place("inverseBindMatrices"), f"{len(stored)} matrices", f"{len(joints)} finite ones")
    return np.asarray(world[joints] @ stored[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1))
