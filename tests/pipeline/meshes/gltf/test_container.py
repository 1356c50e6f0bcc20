"""Containers, URIs, extensions and limits: what a legal file says is found, and nothing else gets through."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.meshes.files import Files
from pipeline.meshes.gltf import accessors, extensions
from pipeline.meshes.gltf import read as reader
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.load import load_member, load_mesh
from tests.pipeline.meshes.gltf.files import CUBE, CUBE_FACES, Builder, cube, read, triangles, volume


def made() -> Builder:
    builder = Builder()
    return builder.scene(cube(builder))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("my%20mesh.bin", "my mesh.bin"),
        ("my mesh.bin", "my mesh.bin"),
        ("my%20mesh.bin", "my%20mesh.bin"),
        ("St%C3%BChle.bin", "Stühle.bin"),
        ("a/../parts/%23one.bin", "parts/#one.bin"),
        ("100%.bin", "100%.bin"),
        ("no-suffix", "no-suffix"),
    ],
)
def test_a_buffer_lies_beside_the_file_under_its_decoded_name(tmp_path: Path, uri: str, name: str) -> None:
    builder = made()
    (tmp_path / "m.gltf").write_bytes(builder.gltf(uri))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(bytes(builder.binary))
    loaded = load_member("m.gltf", Files.of_folder(tmp_path))
    assert (len(loaded.mesh.vertices), len(loaded.mesh.faces)) == (8, 12)
    assert (loaded.missing_textures, loaded.refused) == ([], [])


@pytest.mark.parametrize(
    "head", ["data:application/octet-stream;base64,", "data:;base64,", "DATA:application/gltf-buffer;BASE64,"]
)
def test_a_buffer_in_a_data_uri(head: str) -> None:
    import base64

    builder = made()
    assert volume(read(builder.gltf(head + base64.b64encode(builder.binary).decode()))) == pytest.approx(1)


def test_the_magic_tells_what_a_file_is_and_other_chunks_are_passed_over(tmp_path: Path) -> None:
    builder = made()
    (tmp_path / "a.gltf").write_bytes(builder.glb())
    (tmp_path / "b.glb").write_bytes(b"\xef\xbb\xbf" + builder.gltf())
    more = builder.glb() + struct.pack("<II", 4, 0x12345678) + b"more"
    (tmp_path / "c.glb").write_bytes(more[:8] + struct.pack("<I", len(more)) + more[12:])
    for path in sorted(tmp_path.iterdir()):
        assert volume(load_mesh(path)) == pytest.approx(1)


def test_every_cut_is_refused() -> None:
    builder = made()
    data = builder.glb()
    for cut in range(1, len(data)):
        with pytest.raises(Reject, match="truncated|malformed"):
            read(data[:cut])
    text = builder.gltf("m.bin")
    for cut in range(1, len(text)):
        with pytest.raises(Reject, match="malformed"):
            read(text[:cut], {"m.bin": bytes(builder.binary)})
    for cut in range(len(builder.binary)):
        with pytest.raises(Reject, match="truncated"):
            read(text, {"m.bin": bytes(builder.binary[:cut])})


@pytest.mark.parametrize("name", ["gone.bin", "https://example.org/m.bin", "../m.bin", "/etc/hostname", "%2e%2e/m.bin"])
def test_a_buffer_that_is_not_there_or_not_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.bin").write_bytes(bytes(made().binary))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.gltf").write_bytes(made().gltf(name))
    with pytest.raises(Reject, match="missing_buffer: glTF: buffers.0. names '"):
        load_mesh(tmp_path / "models" / "m.gltf")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("EXT_meshopt_compression", "gltf-transform copy"),
        ("KHR_meshopt_compression", "export without meshopt compression"),
        ("VENDOR_something", "export the file again without this extension"),
        ("KHR_texture_basisu", "PNG, JPEG or WebP"),
    ],
)
def test_a_required_extension_that_is_not_read_is_named_with_what_to_do(name: str, remedy: str) -> None:
    builder = made()
    builder.root["extensionsUsed"] = [name]
    read(builder.glb())
    builder.root["extensionsRequired"] = ["KHR_mesh_quantization", name]
    with pytest.raises(Reject, match=f"unsupported: glTF extension {name} .*{remedy}"):
        read(builder.glb())


@pytest.mark.parametrize(
    ("name", "shape_is_known"), [("KHR_texture_basisu", True), ("KHR_materials_new", True), ("EXT_mesh_new", False)]
)
def test_an_extension_of_looks_hinders_nobody_who_asks_for_the_shape_only(name: str, shape_is_known: bool) -> None:
    builder = made()
    builder.root["extensionsRequired"] = [name]
    if shape_is_known:
        assert volume(read_gltf(builder.glb(), lambda _: None)) == pytest.approx(1)
    else:
        with pytest.raises(Reject, match=f"unsupported: glTF extension {name}"):
            read_gltf(builder.glb(), lambda _: None)
    with pytest.raises(Reject, match=f"unsupported: glTF extension {name}"):
        read(builder.glb())


@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_meshopt_without_its_fallback_is_named_even_where_it_is_not_required(name: str) -> None:
    builder = made()
    builder.root["buffers"] = [
        {"byteLength": len(builder.binary)},
        {"byteLength": len(builder.binary), "extensions": {name: {"fallback": True}}},
    ]
    for view in builder.root["bufferViews"]:
        view["extensions"] = {name: {"buffer": 0, "byteStride": 12, "count": 8, "mode": "ATTRIBUTES"}}
    assert volume(read(builder.glb())) == pytest.approx(1), "the plain bytes are there"
    for view in builder.root["bufferViews"]:
        view["buffer"] = 1
    with pytest.raises(Reject, match="unsupported: glTF extension EXT_meshopt_compression"):
        read(builder.glb())


def test_draco_is_decoded() -> None:
    codec = pytest.importorskip("DracoPy", reason="Draco files need DracoPy")
    builder, faces = Builder(), CUBE_FACES.reshape(-1, 3).astype(np.uint32)
    colours = np.arange(32, dtype=np.uint8).reshape(8, 4)
    stream = codec.encode(CUBE, faces, colors=colours, quantization_bits=14, preserve_order=True)
    numbers = {one["attribute_type"]: one["unique_id"] for one in codec.decode(stream).attributes}
    position, colour = numbers[0], numbers[2]
    said = {"bufferView": builder.view(stream), "attributes": {"POSITION": position, "COLOR_0": colour}}
    attributes = {
        "POSITION": builder.add("accessors", {"componentType": 5126, "count": 8, "type": "VEC3"}),
        "COLOR_0": builder.add("accessors", {"componentType": 5121, "count": 8, "type": "VEC4", "normalized": True}),
    }
    indices = builder.add("accessors", {"componentType": 5123, "count": 36, "type": "SCALAR"})
    builder.scene(builder.primitive(attributes, indices, extensions={extensions.DRACO: said}))
    builder.root["extensionsRequired"] = [extensions.DRACO]
    mesh = read(builder.glb())
    assert volume(mesh) == pytest.approx(1, rel=1e-3)
    assert np.abs(triangles(mesh) - triangles(read(made().glb()))).max() < 1e-3
    assert mesh.vertex_colours[:, 3].tolist() == colours[:, 3].tolist()


def test_attributes_of_draco_have_the_widths_of_their_names() -> None:
    """A stream says for itself how many numbers each of its attributes has."""
    codec = pytest.importorskip("DracoPy", reason="Draco files need DracoPy")
    faces, colours = CUBE_FACES.reshape(-1, 3).astype(np.uint32), np.zeros((8, 4), np.uint8)
    stream = codec.encode(CUBE, faces, colors=colours, quantization_bits=14)
    numbers = {one["attribute_type"]: one["unique_id"] for one in codec.decode(stream).attributes}
    builder = Builder()
    said = {"bufferView": builder.view(stream), "attributes": {"POSITION": numbers[2]}}
    attributes = {"POSITION": builder.add("accessors", {"componentType": 5126, "count": 8, "type": "VEC3"})}
    builder.scene(builder.primitive(attributes, extensions={extensions.DRACO: said}))
    with pytest.raises(Reject, match="malformed: .*POSITION is 4 numbers a vertex; wanted 3"):
        read(builder.glb())


@pytest.mark.parametrize("required", [True, False])
def test_draco_without_its_decoder_or_with_damage_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    builder = Builder()
    attributes = {"POSITION": builder.add("accessors", {"componentType": 5126, "count": 8, "type": "VEC3"})}
    said = {"bufferView": builder.view(b"DRACO and nonsense"), "attributes": {"POSITION": 0}}
    builder.scene(builder.primitive(attributes, extensions={extensions.DRACO: said}))
    if required:
        builder.root["extensionsRequired"] = [extensions.DRACO]
    if extensions.draco_is_here():
        with pytest.raises(Reject, match="unsupported: .*KHR_draco.*cannot read.*without Draco compression"):
            read(builder.glb())
    monkeypatch.setattr(extensions, "draco_is_here", lambda: False)
    monkeypatch.setattr("pipeline.meshes.gltf.primitives.draco_is_here", lambda: False)
    with pytest.raises(Reject, match="unsupported: glTF extension KHR_draco_mesh_compression .*pip install DracoPy"):
        read(builder.glb())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asset": {"version": "1.0"}}, "unsupported: glTF 1.0: version 2.0 is read"),
        ({"asset": {"version": "2.1", "minVersion": "2.2"}}, "unsupported: glTF 2.1"),
        ({"asset": 3}, "malformed: glTF: asset is 3; wanted an object"),
        ({"nodes": [{"mesh": 7}]}, r"nodes\[0\].mesh is 7; wanted one of the 1 meshes"),
        ({"nodes": [{"mesh": True}]}, r"nodes\[0\].mesh is True; wanted a whole number"),
        ({"nodes": [{"mesh": 0, "scale": [1, "2", 3]}]}, r"nodes\[0\].scale\[1\] is '2'; wanted a finite number"),
        ({"nodes": [{"mesh": 0, "matrix": [1] * 15}]}, r"nodes\[0\].matrix is .*; wanted 16 numbers"),
        ({"nodes": [{"mesh": 0, "matrix": [1] * 16}]}, "the last row 0, 0, 0, 1"),
        ({"nodes": [{"mesh": 0, "rotation": [0, 0, 0, 0]}]}, "wanted a unit quaternion"),
        ({"nodes": [{"mesh": 0, "scale": [1e300, 1, 1]}]}, "a transform without bounds"),
        ({"nodes": [{"mesh": 0, "skin": 0}], "skins": [{"joints": [4]}]}, r"skins\[0\].joints"),
        ({"scenes": [{"nodes": [3]}]}, r"scenes\[0\].nodes is 3; wanted one of the 1 nodes"),
        ({"scenes": [{}], "scene": 1}, "scene is 1; wanted one of the 1 scenes"),
        ({"bufferViews": []}, r"accessors\[0\].bufferView is 0; wanted one of the 0 bufferViews"),
        ({"accessors": [{"componentType": 5130, "count": 1, "type": "VEC3"}]}, "wanted VEC3 of"),
        ({"accessors": [{"componentType": 5126, "count": 0, "type": "VEC3"}]}, r"accessors\[0\].count is 0"),
        ({"accessors": [{"componentType": 5126, "count": 1e9, "type": "VEC3"}]}, "too_large"),
        ({"accessors": [{"componentType": 5126, "count": 2**23, "type": "VEC3"}]}, "too_large"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}]}, "8 corners; wanted 3 or more"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 9}]}]}, "mode is 9"),
        (
            {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}]},
            "one of the 0 materials",
        ),
        ({"extensionsRequired": [3]}, "extensionsRequired.0 is 3; wanted a text"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    builder = made()
    builder.root |= change
    with pytest.raises(Reject, match=message):
        mesh = read(builder.glb())
        raise AssertionError(mesh)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"asset": {"version": "2.0"}, "nodes": NaN}',
        b"[" * 100_000,
        b'{"a": ' * 50_000,
        b"\xff",
    ],
)
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(Reject, match="malformed"):
        read(text)
    glb = b"glTF" + struct.pack("<II", 2, 20 + len(text)) + struct.pack("<II", len(text), 0x4E4F534A) + text
    with pytest.raises(Reject, match="malformed"):
        read(glb)


@pytest.mark.parametrize(
    ("places", "count"), [([3, 1], 2), ([1, 1], 2), ([1, 8], 2), ([0, 1], 9), ([0, 1], 3)], ids=str
)
def test_sparse_numbers_grow_and_stay_inside(places: list[int], count: int) -> None:
    builder = made()
    builder.root["accessors"][0]["sparse"] = {
        "count": count,
        "indices": {"bufferView": builder.view(bytes(places)), "componentType": 5121},
        "values": {"bufferView": builder.view(bytes(24))},
    }
    with pytest.raises(Reject, match="malformed"):
        read(builder.glb())


@pytest.mark.parametrize(("key", "value"), [("byteOffset", 10**6), ("count", 9), ("byteOffset", -4), ("count", 2.5)])
def test_an_accessor_stays_inside_its_view(key: str, value: float) -> None:
    builder = made()
    builder.root["accessors"][0][key] = value
    with pytest.raises(Reject, match=r"malformed: glTF: accessors\[0\]"):
        read(builder.glb())


def test_copies_are_counted_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = made()
    builder.root["nodes"] = [{"mesh": 0} for _ in range(5)]
    monkeypatch.setattr(reader, "MOST_COPIED", 4 * 20)
    assert len(read(builder.glb()).faces) == 60
    monkeypatch.setattr(reader, "MOST_COPIED", 4 * 20 - 1)
    with pytest.raises(Reject, match="too_large: .* 80 of them copies"):
        read(builder.glb())
    fans = Builder()
    fans.scene(*(fans.primitive({"POSITION": 0}, mode=6) for _ in range(7)))
    fans.accessor(CUBE)
    monkeypatch.setattr(reader, "MOST_COPIED", 6 * 14)
    assert len(read(fans.glb()).faces) == 7 * 6
    monkeypatch.setattr(reader, "MOST_COPIED", 6 * 14 - 1)
    with pytest.raises(Reject, match="too_large: .* 84 of them copies"):
        read(fans.glb())
    many = Builder()
    zeros = many.add("accessors", {"componentType": 5126, "count": accessors.MOST_ZEROS, "type": "VEC3"})
    said = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": zeros}}}
    many.scene(cube(many), extensions=said)
    with pytest.raises(Reject, match="too_large"):
        read(many.glb())


def test_a_message_never_repeats_a_long_value() -> None:
    builder = made()
    builder.root["asset"] = {"version": "2" * 10_000}
    with pytest.raises(Reject) as caught:
        read(json.dumps(builder.root).encode())
    assert len(str(caught.value)) < 300
