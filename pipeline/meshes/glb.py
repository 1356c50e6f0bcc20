"""`Mesh` to binary glTF 2.0 and back; the file that every stage after `prepare` reads.

    12 bytes   "glTF", version 2, total length            (little endian throughout)
    chunk 0    length, "JSON": nodes, materials, accessors
    chunk 1    length, "BIN\\0": positions, UVs, colours, indices, pictures

One mesh, one node, one primitive for each material that has faces; the vertices are shared
by all primitives.  Where glTF and `Mesh` differ: glTF's colour factors and vertex colours are
linear, `Mesh` has sRGB bytes; glTF's v runs down from the top of the picture, `Mesh`'s runs
up.  Surfaces are two-sided, because the windings of real meshes cannot be trusted.  The same
mesh gives the same bytes.  `read_glb` reads what `write_glb` wrote; files from elsewhere go
through pipeline/meshes/load.py.  Specification:
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh, Wrap
from pipeline.pictures import decode
from pipeline.pictures.colour import linear_to_srgb, srgb_to_linear
from pipeline.state.files import parse_json

_JSON, _BIN = 0x4E4F534A, 0x004E4942
_DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}  # specification, table in 3.6.2.2
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_WRAPS: dict[Wrap, int] = {"repeat": 10497, "clamp": 33071, "mirror": 33648}
_WRAP_OF = {code: way for way, code in _WRAPS.items()}
_VERTEX_DATA, _INDICES = 34962, 34963  # ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER

# Opaque pictures above this many pixels are stored as JPEG, a fifth of the bytes; smaller ones
# and those with alpha stay exact.
_JPEG_FROM_PIXELS = 128 * 128
_JPEG_QUALITY = 95


def write_glb(mesh: Mesh) -> bytes:
    """One GLB; positions become float32, faces are ordered by material (stable)."""
    file = _Writer()
    vertices = mesh.vertices.astype("<f4")
    attributes = {"POSITION": file.accessor(vertices, "VEC3", _VERTEX_DATA, bounds=True)}
    if mesh.uv is not None:
        flipped = np.stack([mesh.uv[:, 0], 1.0 - mesh.uv[:, 1]], axis=1)
        attributes["TEXCOORD_0"] = file.accessor(flipped.astype("<f4"), "VEC2", _VERTEX_DATA)
    if mesh.vertex_colours is not None:
        attributes["COLOR_0"] = file.accessor(_linear_colours(mesh.vertex_colours), "VEC4", _VERTEX_DATA)

    index_type = "<u2" if len(vertices) < 65535 else "<u4"
    of_face, primitives = mesh.material_of_face, []
    for number in range(len(mesh.materials)):
        faces = mesh.faces if len(mesh.materials) == 1 else mesh.faces[of_face == number]
        if len(faces):
            indices = file.accessor(faces.astype(index_type).reshape(-1), "SCALAR", _INDICES)
            primitives.append({"attributes": attributes, "indices": indices, "material": number})

    materials = [file.material(material, textured=mesh.uv is not None) for material in mesh.materials]
    return file.assemble(primitives, materials)


def read_glb(data: bytes, *, textures: bool = True) -> Mesh:
    """Read what `write_glb` wrote; ``textures=False`` skips the pictures.

    Raises Reject("bad_glb") for anything else, before any index leaves the bytes given.
    """
    try:
        with np.errstate(invalid="ignore"):  # a signalling NaN is found below, by value
            return _read(data, textures)
    except (KeyError, IndexError, TypeError, ValueError, struct.error, RecursionError) as error:
        raise Reject("bad_glb", f"not a GLB of this pipeline: {error!r}") from error


def _read(data: bytes, textures: bool) -> Mesh:
    head, binary = _chunks(data)
    parts = head["meshes"][0]["primitives"]
    attributes = parts[0]["attributes"]
    vertices = _read_accessor(head, binary, attributes["POSITION"], 3).astype(np.float64)
    faces = [_read_accessor(head, binary, part["indices"], 1).reshape(-1, 3) for part in parts]
    materials = [_read_material(head, binary, item, textures) for item in head["materials"]]
    numbers = [int(part["material"]) for part in parts]
    uv = colours = None
    if "TEXCOORD_0" in attributes:
        uv = _read_accessor(head, binary, attributes["TEXCOORD_0"], 2).astype(np.float64)
        uv[:, 1] = 1.0 - uv[:, 1]
    if "COLOR_0" in attributes:
        colours = _srgb_colours(_read_accessor(head, binary, attributes["COLOR_0"], 4))
    mesh = Mesh(vertices, np.concatenate(faces).astype(np.int64), None, materials, uv, colours)
    if len(materials) > 1:
        mesh.face_material = np.repeat(np.array(numbers, dtype=np.int64), [len(f) for f in faces])
    _check(mesh, numbers)
    return mesh


class _Writer:
    """Collects the binary chunk and the tables that point into it."""

    def __init__(self) -> None:
        self._binary = bytearray()
        self._tables: dict[str, list[Any]] = {
            "bufferViews": [],
            "accessors": [],
            "images": [],
            "textures": [],
            "samplers": [],
        }
        self._image_of: dict[bytes, int] = {}

    def _view(self, payload: bytes, target: int | None) -> int:
        view = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": len(payload)}
        if target is not None:
            view["target"] = target
        self._binary += payload + b"\0" * (-len(payload) % 4)
        self._tables["bufferViews"].append(view)
        return len(self._tables["bufferViews"]) - 1

    def accessor(self, array: npt.NDArray[Any], kind: str, target: int, *, bounds: bool = False) -> int:
        """Add one array; its number.  `bounds` writes the min and max that positions must have."""
        code = next(code for code, name in _DTYPES.items() if np.dtype(name) == array.dtype)
        view = self._view(array.tobytes(), target)
        entry: dict[str, Any] = {"bufferView": view, "componentType": code, "count": len(array), "type": kind}
        if bounds:
            entry["min"], entry["max"] = array.min(axis=0).tolist(), array.max(axis=0).tolist()
        if kind == "VEC4":
            entry["normalized"] = True
        self._tables["accessors"].append(entry)
        return len(self._tables["accessors"]) - 1

    def material(self, material: Material, *, textured: bool) -> dict[str, Any]:
        """The glTF material: matt, two-sided."""
        red, green, blue = (float(v) for v in srgb_to_linear(np.array(material.colour[:3]) / 255))
        surface: dict[str, Any] = {
            "baseColorFactor": [red, green, blue, material.colour[3] / 255],
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        }
        entry: dict[str, Any] = {"name": material.name, "doubleSided": True, "pbrMetallicRoughness": surface}
        see_through = material.colour[3] < 255
        if material.texture is not None and textured:
            surface["baseColorTexture"] = {"index": self._texture(material)}
            see_through = see_through or bool((material.texture[..., 3] < 255).any())
        if see_through:
            entry["alphaMode"] = "BLEND"
        return entry

    def _texture(self, material: Material) -> int:
        """Add a picture once; equal pictures share their bytes."""
        assert material.texture is not None
        kind, payload = encode_picture(material.texture)
        if payload not in self._image_of:
            self._image_of[payload] = len(self._tables["images"])
            self._tables["images"].append({"bufferView": self._view(payload, None), "mimeType": f"image/{kind}"})
        along_s, along_t = (_WRAPS[way] for way in material.wrap)
        sampler = {"magFilter": 9729, "minFilter": 9987, "wrapS": along_s, "wrapT": along_t}
        return self._once("textures", {"sampler": self._once("samplers", sampler), "source": self._image_of[payload]})

    def _once(self, table: str, entry: dict[str, int]) -> int:
        """Number of an entry of a table, which is added where it is new."""
        if entry not in self._tables[table]:
            self._tables[table].append(entry)
        return self._tables[table].index(entry)

    def assemble(self, primitives: list[Any], materials: list[Any]) -> bytes:
        """The whole file."""
        head: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "shapes-to-vaegan"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": primitives}],
            "materials": materials,
            "buffers": [{"byteLength": len(self._binary)}],
            **{name: table for name, table in self._tables.items() if table},
        }
        text = json.dumps(head, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(self._binary)
        return b"".join(
            [
                b"glTF",
                struct.pack("<II", 2, total),
                struct.pack("<II", len(text), _JSON),
                text,
                struct.pack("<II", len(self._binary), _BIN),
                bytes(self._binary),
            ]
        )


def encode_picture(picture: npt.NDArray[np.uint8]) -> tuple[str, bytes]:
    """(H, W, 4) uint8 -> ("png" or "jpeg", bytes)."""
    out = io.BytesIO()
    opaque = bool((picture[..., 3] == 255).all())
    if opaque and picture.shape[0] * picture.shape[1] >= _JPEG_FROM_PIXELS:
        rgb = np.ascontiguousarray(picture[..., :3])
        Image.fromarray(rgb).save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return "jpeg", out.getvalue()
    channels = 3 if opaque else 4
    Image.fromarray(np.ascontiguousarray(picture[..., :channels])).save(out, "PNG", compress_level=6)
    return "png", out.getvalue()


def decode_picture(data: bytes) -> npt.NDArray[np.uint8]:
    """Picture bytes -> (H, W, 4) uint8; Reject("bad_texture") when they are not a picture."""
    try:
        return decode.decode_picture(data, upright=False).rgba
    except Reject as reject:
        raise Reject("bad_texture", f"cannot read an embedded picture: {reject.detail}") from reject


def _chunks(data: bytes) -> tuple[dict[str, Any], memoryview]:
    magic, version, total = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or version != 2 or total != len(data):
        raise ValueError("wrong magic, version or length")
    length, kind = struct.unpack_from("<II", data, 12)
    second = 20 + length
    binary_length, binary_kind = struct.unpack_from("<II", data, second)
    if kind != _JSON or binary_kind != _BIN or second + 8 + binary_length != len(data):
        raise ValueError("wrong chunks")
    return dict(parse_json(data[20:second])), memoryview(data)[second + 8 :]


def _view_bytes(head: dict[str, Any], binary: memoryview, number: int) -> memoryview:
    view = head["bufferViews"][number]
    start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
    if start < 0 or length < 0 or start + length > len(binary) or "byteStride" in view:
        raise ValueError("a buffer view leaves the file")
    return binary[start : start + length]


def _read_accessor(head: dict[str, Any], binary: memoryview, number: int, width: int) -> npt.NDArray[Any]:
    """(count, width) array; (count,) for a scalar."""
    entry = head["accessors"][number]
    count, dtype = int(entry["count"]), np.dtype(_DTYPES[entry["componentType"]])
    payload = _view_bytes(head, binary, entry["bufferView"])
    if _WIDTHS[entry["type"]] != width or count < 0 or count * width * dtype.itemsize > len(payload):
        raise ValueError("an accessor leaves its view")
    array = np.frombuffer(payload, dtype, count * width)
    return array if width == 1 else array.reshape(count, width)


def _read_material(head: dict[str, Any], binary: memoryview, item: dict[str, Any], textures: bool) -> Material:
    surface = item["pbrMetallicRoughness"]
    factor = surface["baseColorFactor"]
    rgb = np.rint(linear_to_srgb(np.array(factor[:3], dtype=np.float64)) * 255).clip(0, 255)
    colour = (int(rgb[0]), int(rgb[1]), int(rgb[2]), round(float(factor[3]) * 255))
    picture = None
    if textures and "baseColorTexture" in surface:
        texture = head["textures"][surface["baseColorTexture"]["index"]]
        picture = decode_picture(bytes(_view_bytes(head, binary, head["images"][texture["source"]]["bufferView"])))
        sampler = head["samplers"][texture["sampler"]]
        return Material(colour, picture, item.get("name", ""), (_WRAP_OF[sampler["wrapS"]], _WRAP_OF[sampler["wrapT"]]))
    return Material(colour, None, item.get("name", ""))


def _linear_colours(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """(V, 4) sRGB bytes -> linear 16-bit; fine enough that every byte comes back."""
    table = np.rint(srgb_to_linear(np.arange(256) / 255) * 65535).astype("<u2")
    return np.concatenate([table[colours[:, :3]], colours[:, 3:].astype("<u2") * np.uint16(257)], axis=1).astype("<u2")


def _srgb_colours(linear: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if linear.dtype != np.uint16:
        raise ValueError("vertex colours are not 16-bit")
    rgb = np.rint(linear_to_srgb(linear[:, :3] / 65535) * 255)
    return np.concatenate([rgb, linear[:, 3:] / 257], axis=1).astype(np.uint8)


def _check(mesh: Mesh, numbers: list[int]) -> None:
    """Every number that indexes something is in range, every coordinate finite."""
    count = len(mesh.vertices)
    if not np.isfinite(mesh.vertices).all() or not (mesh.uv is None or np.isfinite(mesh.uv).all()):
        raise Reject("bad_glb", "a coordinate is not finite")
    if len(mesh.faces) and not (mesh.faces.min() >= 0 and mesh.faces.max() < count):
        raise Reject("bad_glb", f"a face names a vertex beyond the {count} there are")
    if any(not 0 <= number < len(mesh.materials) for number in numbers):
        raise Reject("bad_glb", "a primitive names an unknown material")
    if any(part is not None and len(part) != count for part in (mesh.uv, mesh.vertex_colours)):
        raise Reject("bad_glb", "the vertex attributes have different lengths")
