"""The same triangles and colours as trimesh reads, for every feature that trimesh reads rightly."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.meshes.mesh import Mesh
from pipeline.pictures.colour import srgb_to_linear
from pipeline.seeds import generator
from tests.pipeline.meshes.gltf.files import Builder, read


def scene(seed: int) -> bytes:
    """A random tree of nodes with random meshes: strided, indexed by every type, plain, coloured or pictured."""
    rng, made = generator(seed, "scene"), Builder()
    meshes = int(rng.integers(1, 4))
    for _ in range(meshes):
        made.add("meshes", {"primitives": [_primitive(made, rng) for _ in range(rng.integers(1, 4))]})
    nodes = int(rng.integers(1, 6))
    for number in range(nodes):
        node: dict[str, Any] = {"mesh": int(rng.integers(meshes))} if rng.random() < 0.8 or number == 0 else {}
        if rng.random() < 0.5:
            matrix = np.eye(4)
            matrix[:3] += rng.normal(size=(3, 4))
            node["matrix"] = matrix.T.reshape(-1).tolist()
        else:
            turn = rng.normal(size=4)
            node["rotation"] = (turn / np.linalg.norm(turn)).tolist()
            node["translation"], node["scale"] = rng.normal(size=3).tolist(), rng.uniform(0.2, 2, 3).tolist()
        if number and rng.random() < 0.6:
            made.root["nodes"][int(rng.integers(number))].setdefault("children", []).append(number)
        made.add("nodes", node)
    children = {child for node in made.root["nodes"] for child in node.get("children", [])}
    made.root |= {"scene": 0, "scenes": [{"nodes": [n for n in range(nodes) if n not in children]}]}
    return made.glb()


def _primitive(made: Builder, rng: np.random.Generator) -> dict[str, Any]:
    count = int(rng.integers(3, 12))
    stride = None if rng.random() < 0.5 else 12 + 4 * int(rng.integers(0, 3))
    attributes = {"POSITION": made.accessor(rng.normal(size=(count, 3)).astype("<f4"), stride=stride)}
    kind, more = rng.choice(["plain", "factor", "coloured", "pictured"]), {}
    if kind == "coloured":
        colours = rng.integers(0, 256, (count, 4)).astype("<u1")  # of 16 bits trimesh keeps the lower 8
        attributes["COLOR_0"] = made.accessor(colours, normalized=True)
    elif kind == "factor":
        more["material"] = made.material(baseColorFactor=rng.uniform(0, 1, 4).tolist())
    elif kind == "pictured":
        attributes["TEXCOORD_0"] = made.accessor(rng.uniform(-1, 2, (count, 2)).astype("<f4"))
        picture = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        more["material"] = made.material(baseColorTexture={"index": made.picture(picture)})
    corners = rng.integers(0, count, 3 * int(rng.integers(1, 6))).astype(f"<{rng.choice(['u1', 'u2', 'u4'])}")
    return made.primitive(attributes, made.accessor(corners), **more)


def by_trimesh(data: bytes) -> list[trimesh.Trimesh]:
    loaded = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    return [part for part in loaded.dump() if len(part.faces)]


def looks(triangles: np.ndarray, colours: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(F, 9) of each triangle: the middle, the extent, the light in 255ths and the place on the picture."""
    middle, extent = triangles.mean(axis=1), np.ptp(triangles, axis=1).max(axis=1)
    return np.column_stack([middle, extent, 255 * colours, uv.mean(axis=1)])


def of_ours(mesh: Mesh) -> np.ndarray:
    plain = np.array([material.colour[:3] for material in mesh.materials])[mesh.material_of_face]
    light = srgb_to_linear(plain / 255)
    if mesh.vertex_colours is not None:
        light = light * srgb_to_linear(mesh.vertex_colours[mesh.faces][..., :3] / 255).mean(axis=1)
    uv = np.zeros((len(mesh.faces), 3, 2)) if mesh.uv is None else mesh.uv[mesh.faces]
    pictured = np.array([material.texture is not None for material in mesh.materials])[mesh.material_of_face]
    return looks(mesh.triangles, light, np.where(pictured[:, None, None], uv, 0.0))


def of_theirs(part: trimesh.Trimesh) -> np.ndarray:
    light, uv = np.tile(srgb_to_linear(178 / 255), (len(part.faces), 3)), np.zeros((len(part.faces), 3, 2))
    if part.visual.kind == "vertex":
        light = part.visual.vertex_colors[part.faces][..., :3].mean(axis=1) / 255
    elif part.visual.kind == "texture":
        material = part.visual.material
        factor = (255, 255, 255) if material.baseColorFactor is None else material.baseColorFactor[:3]
        light = np.tile(np.array(factor) / 255, (len(part.faces), 1))
        if material.baseColorTexture is not None:
            uv = part.visual.uv[part.faces]
    return looks(part.triangles, light, uv)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_same_triangles_and_colours(seed: int) -> None:
    data = scene(seed)
    mesh, parts = read(data), by_trimesh(data)
    ours, theirs = of_ours(mesh), np.concatenate([of_theirs(part) for part in parts])
    assert ours.shape == theirs.shape
    away = np.abs(ours[:, None, :4] - theirs[None, :, :4]).max(axis=2)
    other = np.abs(ours[:, None, 4:7] - theirs[None, :, 4:7]).max(axis=2)
    moved = np.abs(ours[:, None, 7:] - theirs[None, :, 7:]).max(axis=2)
    # Ours are bytes of sRGB and theirs bytes of light; half a step of each is 1.64 / 255 of light where it is bright.
    match = (away < 1e-3) & (other < 1.7) & (moved < 1e-4)
    assert match.any(axis=0).all() and match.any(axis=1).all()


@pytest.mark.parametrize("name", ["icosphere", "box", "cylinder", "torus"])
def test_what_trimesh_writes(name: str) -> None:
    make = {
        "icosphere": lambda: trimesh.creation.icosphere(2),
        "box": lambda: trimesh.creation.box((1, 2, 3)),
        "cylinder": lambda: trimesh.creation.cylinder(1, 2),
        "torus": lambda: trimesh.creation.torus(2, 0.5),
    }
    solid = make[name]()
    mesh = read(solid.export(file_type="glb"))
    assert np.array_equal(mesh.faces, solid.faces)
    assert mesh.vertices == pytest.approx(solid.vertices, abs=1e-6)
