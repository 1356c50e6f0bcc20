"""Damaged glTF files are read or refused: none crashes, hangs or eats the memory."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh
from pipeline.seeds import generator
from pipeline.stages.prepare import normalise
from tests.pipeline.meshes.gltf.files import CUBE, CUBE_FACES, Builder, read, square
from tests.pipeline.meshes.mutations import mutated, outcomes, rounds

ODD: list[Any] = [
    -1,
    0,
    1,
    3,
    255,
    2**16,
    2**31,
    2**53,
    2**64,
    10**30,
    0.5,
    -1e300,
    1e-300,
    True,
    None,
    "",
    "VEC3",
    "BLEND",
    [],
    [0],
    [1e30] * 16,
    {},
    {"POSITION": 0},
    {"index": 0},
]


def everything() -> Builder:
    """A small file that uses every part of the reader."""
    made, rng = Builder(), generator(1, "everything")
    positions = made.accessor(CUBE, stride=16)
    made.root["accessors"][positions]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": made.view(bytes([1, 5])), "componentType": 5121},
        "values": {"bufferView": made.view(CUBE[:2].tobytes())},
    }
    colours = made.accessor(rng.integers(0, 256, (8, 4)).astype("<u1"), normalized=True)
    uv = made.accessor(rng.integers(0, 2**16, (8, 2)).astype("<u2"), normalized=True)
    joints, weights = made.accessor(np.zeros((8, 4), "<u1")), made.accessor(np.full((8, 4), 0.25, "<f4"))
    picture = made.picture(rng.integers(0, 256, (4, 4, 4)).astype(np.uint8))
    made.root["textures"][picture]["sampler"] = made.add("samplers", {"wrapS": 33071, "wrapT": 33648})
    moved = {"KHR_texture_transform": {"offset": [0.5, 0], "rotation": 0.3, "scale": [2, 2], "texCoord": 1}}
    masked = made.material(baseColorTexture={"index": picture, "extensions": moved}, baseColorFactor=[1, 0.5, 1, 0.9])
    made.root["materials"][masked] |= {"alphaMode": "MASK", "alphaCutoff": 0.4, "name": "masked"}
    clear = made.material(baseColorTexture={"index": picture})
    made.root["materials"][clear]["alphaMode"] = "BLEND"
    attributes = {"POSITION": positions, "COLOR_0": colours, "TEXCOORD_1": uv, "JOINTS_0": joints, "WEIGHTS_0": weights}
    targets = [{"POSITION": made.accessor(np.ones((8, 3), "<f4"))}]
    solid = made.primitive(attributes, made.accessor(CUBE_FACES), material=masked, targets=targets)
    made.scene(solid, square(made, [[0, 1], [1, 1], [1, 0], [0, 0]], material=clear, mode=5), skin=0, weights=[0.5])
    turn = made.accessor(np.array([[0, 0, 0, 1], [0, 0, 1, 0]], "<f4"))
    shift = made.accessor(np.array([[0, 0, 0], [3, 0, 0]], "<f4"))
    said = {"EXT_mesh_gpu_instancing": {"attributes": {"ROTATION": turn, "TRANSLATION": shift}}}
    made.add("nodes", {"mesh": 0, "rotation": [0, 0, 0, 1], "scale": [1, 2, 1], "extensions": said})
    made.add("nodes", {"children": [0, 1], "matrix": np.eye(4).reshape(-1).tolist()})
    bind = made.accessor(np.eye(4, dtype="<f4").reshape(1, 16))
    made.root |= {"skins": [{"joints": [1], "inverseBindMatrices": bind}], "scene": 0, "scenes": [{"nodes": [2]}]}
    made.root["buffers"] = [{"byteLength": len(made.binary)}]
    return made


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a JSON tree."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield from places(below, (*path, key))


def with_odd_value(root: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The tree with one to three values replaced, exchanged with others, or taken away."""
    made = copy.deepcopy(root)
    for _ in range(int(rng.integers(1, 4))):
        ways = list(places(made))
        *path, key = ways[int(rng.integers(len(ways)))]
        holder: Any = made
        for step in path:
            holder = holder[step]
        way = int(rng.integers(4))
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = int(holder[key]) + int(rng.choice([-1, 1, 2, 4, 1000]))
        else:
            holder[key] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    return made


def to_the_end(data: bytes) -> Mesh:
    """Read and normalised, as `prepare` does it."""
    mesh = normalise(read(data), np.eye(3), max_faces=10**7)[0]
    assert mesh.faces.max() < len(mesh.vertices) and np.abs(mesh.vertices).max() <= 0.5
    return mesh


def test_the_file_itself_is_read() -> None:
    mesh = to_the_end(everything().glb())
    assert len(mesh.faces) > 20 and len(mesh.materials) > 1 and mesh.uv is not None


@pytest.mark.parametrize("form", ["glb", "gltf"])
def test_fuzz_of_bytes(form: str) -> None:
    whole = everything().glb() if form == "glb" else everything().gltf()
    damaged = (mutated(whole, generator(seed, "bytes", form)) for seed in range(rounds(150)))
    counts, fatal = outcomes(to_the_end, damaged)
    assert not fatal, counts
    assert counts["read"] and counts["malformed"]


def test_fuzz_of_values() -> None:
    made = everything()

    def files() -> Iterator[bytes]:
        for seed in range(rounds(250)):
            made_odd = Builder()
            made_odd.root, made_odd.binary = with_odd_value(made.root, generator(seed, "values")), made.binary
            yield made_odd.glb()

    counts, fatal = outcomes(to_the_end, files())
    assert not fatal, counts
    assert counts["read"] and counts["malformed"]


def test_fuzz_of_draco() -> None:
    codec = pytest.importorskip("DracoPy", reason="Draco files need DracoPy")
    faces = CUBE_FACES.reshape(-1, 3).astype(np.uint32)
    streams = [codec.encode(CUBE, faces, quantization_bits=14, compression_level=level) for level in (0, 4, 7)]

    def files() -> Iterator[bytes]:
        for seed in range(rounds(90)):
            made = Builder()
            stream = mutated(streams[seed % 3], generator(seed, "draco")) if seed > 2 else streams[seed]
            said = {"bufferView": made.view(stream), "attributes": {"POSITION": 0}}
            attributes = {"POSITION": made.add("accessors", {"componentType": 5126, "count": 8, "type": "VEC3"})}
            made.scene(made.primitive(attributes, extensions={"KHR_draco_mesh_compression": said}))
            yield made.glb()

    counts, fatal = outcomes(to_the_end, files())
    assert not fatal, counts
    assert counts["read"] > 2 and counts["unsupported"]


def test_fuzz_of_cuts() -> None:
    whole = everything().glb()
    (length,) = struct.unpack_from("<I", whole, 12)
    json.loads(whole[20 : 20 + length])
    for cut in range(0, len(whole), 1 if rounds(0) else 11):
        with pytest.raises(Reject, match="malformed|truncated"):
            read(whole[:cut])
