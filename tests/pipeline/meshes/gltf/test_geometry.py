"""Accessors, primitives and nodes: every triangle stands where the specification puts it."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reject
from pipeline.seeds import generator
from tests.pipeline.meshes.gltf.files import CUBE, CUBE_FACES, Builder, cube, read, volume

LARGEST = {"i1": 127, "u1": 255, "i2": 32767, "u2": 65535}


def stored(name: str, count: int, width: int, seed: int) -> np.ndarray:
    rng = generator(seed, "stored")
    if name == "f4":
        return rng.normal(size=(count, width)).astype("<f4")
    info = np.iinfo(f"<{name}")
    return rng.integers(info.min, min(info.max, 2**31), (count, width), endpoint=True).astype(f"<{name}")


def meant(array: np.ndarray, normalised: bool) -> np.ndarray:
    """The table of section 3.6.2.2, one number at a time."""
    name = array.dtype.str[1:]
    if not normalised or name == "f4":
        return array.astype(np.float64)
    return np.array([[max(int(one) / LARGEST[name], -1.0) for one in row] for row in array])


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["i1", "u1", "i2", "u2", "u4", "f4"]),
    normalised=st.booleans(),
    extra=st.one_of(st.none(), st.integers(0, 5)),
    offset=st.integers(0, 3),
    sparse=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_every_way_to_store_positions_gives_the_same_numbers(
    name: str, normalised: bool, extra: int | None, offset: int, sparse: int, seed: int
) -> None:
    made, count = Builder(), 6
    normalised = normalised and name in LARGEST
    array = stored(name, count, 3, seed)
    size = 3 * array.dtype.itemsize
    stride = None if extra is None else -(-size // 4) * 4 + 4 * extra
    number = made.accessor(
        array, stride=stride, offset=offset * array.dtype.itemsize, **({"normalized": True} if normalised else {})
    )
    if sparse:
        places = np.sort(generator(seed, "places").choice(count, sparse, replace=False)).astype("<u1")
        others = stored(name, sparse, 3, seed + 1)
        made.root["accessors"][number]["sparse"] = {
            "count": sparse,
            "indices": {"bufferView": made.view(places.tobytes()), "componentType": 5121},
            "values": {"bufferView": made.view(others.tobytes())},
        }
        array = array.copy()
        array[places] = others
    made.scene(made.primitive({"POSITION": number}))
    mesh = read(made.glb())
    assert mesh.vertices == pytest.approx(meant(array, normalised), rel=1e-12)
    assert np.array_equal(mesh.faces, np.arange(count).reshape(-1, 3))


def test_a_sparse_accessor_without_a_view_is_zero_elsewhere() -> None:
    made = Builder()
    values = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    number = made.add("accessors", {"componentType": 5126, "count": 3, "type": "VEC3"})
    made.root["accessors"][number]["sparse"] = {
        "count": 2,
        "indices": {"bufferView": made.view(struct.pack("<2H", 0, 2)), "componentType": 5123},
        "values": {"bufferView": made.view(values.tobytes())},
    }
    assert read(made.scene(made.primitive({"POSITION": number})).glb()).vertices.tolist() == [
        [1, 2, 3],
        [0] * 3,
        [4, 5, 6],
    ]


@pytest.mark.parametrize("name", ["u1", "u2", "u4"])
@pytest.mark.parametrize("mode", [4, 5, 6])
@pytest.mark.parametrize("indexed", [True, False])
def test_lists_strips_and_fans(name: str, mode: int, indexed: bool) -> None:
    made, points = Builder(), generator(1, "points").normal(size=(6, 3)).astype("<f4")
    order = [5, 3, 0, 2, 1, 4] if indexed else list(range(6))
    indices = made.accessor(np.array(order, f"<{name}")) if indexed else None
    mesh = read(made.scene(made.primitive({"POSITION": made.accessor(points)}, indices, mode=mode)).glb())
    # The formulas of section 3.7.2.1.
    want = {
        4: [(order[0], order[1], order[2]), (order[3], order[4], order[5])],
        5: [(order[i], order[i + 1 + i % 2], order[i + 2 - i % 2]) for i in range(4)],
        6: [(order[i + 1], order[i + 2], order[0]) for i in range(4)],
    }[mode]
    assert np.array_equal(mesh.faces, want)


def test_points_and_lines_are_passed_over_and_alone_they_are_no_mesh() -> None:
    made = Builder()
    line = made.primitive({"POSITION": made.accessor(CUBE)}, mode=1)
    assert len(read(made.scene(line, cube(made)).glb()).faces) == 12
    lonely = Builder()
    with pytest.raises(Reject, match="no_faces"):
        read(lonely.scene(lonely.primitive({"POSITION": lonely.accessor(CUBE)}, mode=0)).glb())


def test_quantised_positions_stand_where_their_nodes_put_them() -> None:
    made = Builder()
    made.root["extensionsRequired"] = ["KHR_mesh_quantization"]
    positions = made.accessor((CUBE * 32767).astype("<i2"), stride=8, normalized=True)
    mesh = made.add("meshes", {"primitives": [made.primitive({"POSITION": positions}, made.accessor(CUBE_FACES))]})
    made.add("nodes", {"mesh": mesh})
    made.add("nodes", {"mesh": mesh, "translation": [3, 0, 0]})
    found = read(made.glb())
    assert found.vertices.min(axis=0).tolist() == [0, 0, 0] and found.vertices.max(axis=0).tolist() == [4, 1, 1]
    assert volume(found) == pytest.approx(2)


def rotation(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3), by rotating the axes with Hamilton's product."""
    vector, w = quaternion[:3], quaternion[3]
    return np.stack([e + 2 * np.cross(vector, np.cross(vector, e) + w * e) for e in np.eye(3)], axis=1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 4), as_matrix=st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_chain_of_nodes_applies_scale_rotation_and_shift_inside_out(
    seed: int, depth: int, as_matrix: list[bool]
) -> None:
    rng, made = generator(seed, "chain"), Builder()
    primitive = cube(made)
    made.add("meshes", {"primitives": [primitive]})
    want, sign = CUBE.astype(np.float64), 1.0
    for level in range(depth):  # node 0 holds the mesh, each further one is its parent
        quaternion, scale, shift = (
            rng.normal(size=4),
            rng.uniform(0.5, 2, 3) * rng.choice([-1, 1], 3),
            rng.normal(size=3),
        )
        quaternion /= np.linalg.norm(quaternion)
        turn = rotation(quaternion) * scale
        node: dict = {"mesh": 0} if level == 0 else {"children": [level - 1]}
        if as_matrix[level]:
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = turn, shift
            node["matrix"] = matrix.T.reshape(-1).tolist()
        else:
            node |= {"rotation": quaternion.tolist(), "scale": scale.tolist(), "translation": shift.tolist()}
        made.add("nodes", node)
        want, sign = want @ turn.T + shift, sign * np.prod(scale)
    mesh = read(made.glb())
    assert mesh.vertices == pytest.approx(want, abs=1e-9)
    # A mirror turns the winding, so that the cube is wound outwards whatever the scales are.
    assert volume(mesh) == pytest.approx(abs(sign))


def test_only_what_the_scene_shows_is_read() -> None:
    made = Builder()
    made.scene(cube(made)).add("nodes", {"mesh": 0, "translation": [5, 0, 0]})
    made.add("nodes", {"mesh": 0, "translation": [9, 0, 0], "extensions": {"KHR_node_visibility": {"visible": False}}})
    made.root["scenes"] = [{"nodes": [0]}, {"nodes": [1, 2]}]
    assert read(made.glb()).vertices[:, 0].max() == 1
    made.root["scene"] = 1
    assert read(made.glb()).vertices[:, 0].tolist() == [5] * 4 + [6] * 4
    del made.root["scenes"], made.root["scene"]
    assert len(read(made.glb()).faces) == 24


def test_instances_stand_where_their_attributes_say() -> None:
    made = Builder()
    made.root["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    shifts = np.array([[0, 0, 0], [4, 0, 0], [0, 6, 0]], "<f4")
    turns = np.array([[0, 0, 0, 127], [0, 0, 90, 90], [0, 0, 127, 0]], "<i1")
    scales = np.array([[1, 1, 1], [2, 2, 2], [-1, 1, 1]], "<f4")
    attributes = {
        "TRANSLATION": made.accessor(shifts),
        "ROTATION": made.accessor(turns, normalized=True),
        "SCALE": made.accessor(scales),
    }
    made.scene(cube(made), translation=[0, 0, 10], extensions={"EXT_mesh_gpu_instancing": {"attributes": attributes}})
    mesh = read(made.glb())
    parts = mesh.vertices.reshape(3, 8, 3)
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert parts[0] == pytest.approx(CUBE + [0, 0, 10])
    assert parts[1] == pytest.approx(2 * CUBE @ quarter.T + [4, 0, 10], abs=1e-6)
    assert parts[2] == pytest.approx(CUBE * [1, -1, 1] + [0, 6, 10], abs=1e-6)
    assert volume(mesh) == pytest.approx(1 + 8 + 1, rel=1e-6)


def test_a_skinned_mesh_goes_where_its_joints_are_and_not_where_its_node_is() -> None:
    made = Builder()
    primitive = cube(made)
    joints = np.zeros((8, 4), "<u1")
    joints[4:, 0] = 1
    weights = np.zeros((8, 4), "<u1")
    weights[:, 0] = 255
    primitive["attributes"] |= {"JOINTS_0": made.accessor(joints), "WEIGHTS_0": made.accessor(weights, normalized=True)}
    bind = np.stack([np.eye(4), np.eye(4)]).astype("<f4")
    bind[1, :3, 3] = (-1, 0, 0)
    matrices = made.accessor(bind.transpose(0, 2, 1).reshape(2, 16))
    made.scene(primitive, translation=[100, 0, 0], skin=0)
    made.add("nodes", {"children": [2], "scale": [2, 2, 2]})
    made.add("nodes", {"translation": [3, 0, 0]})
    made.root["skins"] = [{"joints": [1, 2], "inverseBindMatrices": matrices}]
    mesh = read(made.glb())
    assert mesh.vertices[:4] == pytest.approx(2 * CUBE[:4])
    assert mesh.vertices[4:] == pytest.approx(2 * (CUBE[4:] + [-1 + 3, 0, 0]))
    assert volume(mesh) > 0


def test_morph_targets_count_as_much_as_their_weights() -> None:
    made = Builder()
    shift = np.zeros((8, 3), "<f4")
    shift[:, 1] = 2
    primitive = cube(made, targets=[{"POSITION": made.accessor(shift)}, {"POSITION": made.accessor(-shift)}])
    made.scene(primitive)
    assert read(made.glb()).vertices == pytest.approx(CUBE)
    made.root["meshes"][0]["weights"] = [0.5, 0]
    assert read(made.glb()).vertices == pytest.approx(CUBE + [0, 1, 0])
    made.root["nodes"][0]["weights"] = [0, 1]
    assert read(made.glb()).vertices == pytest.approx(CUBE - [0, 2, 0])


def test_primitives_that_share_one_list_of_vertices_keep_their_own_only() -> None:
    made = Builder()
    rng = generator(2, "shared")
    points, count = rng.normal(size=(40, 3)).astype("<f4"), 5
    positions, colours = (
        made.accessor(points),
        made.accessor(rng.integers(0, 256, (40, 4)).astype("<u1"), normalized=True),
    )
    chosen = [rng.integers(0, 40, 6).astype("<u1") for _ in range(count)]
    made.scene(*(made.primitive({"POSITION": positions, "COLOR_0": colours}, made.accessor(one)) for one in chosen))
    mesh = read(made.glb())
    assert len(mesh.vertices) <= 6 * count
    assert mesh.triangles == pytest.approx(points[np.concatenate(chosen)].reshape(-1, 3, 3))
    whole = Builder()
    whole.scene(
        whole.primitive(
            {
                "POSITION": whole.accessor(points),
                "COLOR_0": whole.accessor(made_colours(made, colours), normalized=True),
            },
            whole.accessor(np.tile(np.concatenate(chosen), 3)),
        )
    )
    theirs = read(whole.glb())
    assert np.array_equal(mesh.vertex_colours[mesh.faces], theirs.vertex_colours[theirs.faces][: 2 * count])


def made_colours(made: Builder, number: int) -> np.ndarray:
    view = made.root["bufferViews"][made.root["accessors"][number]["bufferView"]]
    payload = bytes(made.binary)[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.frombuffer(payload, "<u1").reshape(-1, 4)


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations([0, 1, 2], 2)))
def test_a_node_has_one_parent_and_no_circle(first: int, second: int) -> None:
    made = Builder()
    made.scene(cube(made))
    made.root["nodes"] += [{}, {}]
    made.root["nodes"][first]["children"] = [second]
    assert len(read(made.glb()).faces) == 12
    made.root["nodes"][second]["children"] = [first]
    with pytest.raises(Reject, match="malformed: glTF: nodes is a circle of 2 nodes"):
        read(made.glb())
    made.root["nodes"][second]["children"] = []
    made.root["nodes"][3 - first - second]["children"] = [second]
    with pytest.raises(Reject, match="children of one node only"):
        read(made.glb())


def test_a_chain_of_ten_thousand_nodes_is_no_trouble() -> None:
    made = Builder()
    made.scene(cube(made))
    made.root["nodes"] += [{"children": [n], "translation": [1e-4, 0, 0]} for n in range(10_000)]
    assert read(made.glb()).vertices == pytest.approx(CUBE + [1, 0, 0])
