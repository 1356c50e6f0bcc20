"""A small writer of glTF files for the tests: every piece by hand, so that any of it can be odd or wrong."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import Reject
from pipeline.meshes.gltf.read import read_gltf
from pipeline.meshes.mesh import Mesh
from pipeline.pictures.decode import decode_picture

CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
# A cube of side 1 from the origin, wound outwards.
CUBE = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)], dtype="<f4")
CUBE_FACES = np.array(
    [0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7, 3], "<u2"
)


class Builder:
    """Collects the tables and the bytes; `root` is open for anything."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {"asset": {"version": "2.0"}}
        self.binary = bytearray()

    def add(self, table: str, entry: dict[str, Any]) -> int:
        self.root.setdefault(table, []).append(entry)
        return len(self.root[table]) - 1

    def view(self, payload: bytes, **more: Any) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(payload), **more}
        self.binary += payload
        return self.add("bufferViews", view)

    def accessor(self, array: npt.ArrayLike, *, stride: int | None = None, offset: int = 0, **more: Any) -> int:
        """One array (N,) or (N, width), close together or `stride` bytes apart, `offset` bytes into its view."""
        held = np.asarray(array)
        rows = held.reshape(len(held), -1)
        size = rows.shape[1] * rows.dtype.itemsize
        if stride is None:
            payload = b"\xaa" * offset + rows.astype(rows.dtype.newbyteorder("<")).tobytes()
            view = self.view(payload)
        else:
            pieces = [row.astype(rows.dtype.newbyteorder("<")).tobytes().ljust(stride, b"\xaa") for row in rows]
            payload = b"\xaa" * offset + b"".join(pieces)[: stride * (len(rows) - 1) + size]
            view = self.view(payload, byteStride=stride)
        kind = {"componentType": CODES[held.dtype.str[1:]], "type": KINDS[rows.shape[1]]}
        return self.add("accessors", {"bufferView": view, "byteOffset": offset, "count": len(rows), **kind, **more})

    def picture(self, pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> int:
        """One image in the binary part, and a texture that shows it."""
        source = self.add(
            "images", {"bufferView": self.view(encoded(pixels, kind)), "mimeType": f"image/{kind.lower()}"}
        )
        return self.add("textures", {"source": source})

    def material(self, **surface: Any) -> int:
        return self.add("materials", {"pbrMetallicRoughness": surface})

    def primitive(self, attributes: dict[str, int], indices: int | None = None, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = {"attributes": attributes, **more}
        if indices is not None:
            made["indices"] = indices
        return made

    def scene(self, *primitives: dict[str, Any], **node: Any) -> Builder:
        """A mesh of these primitives and a root node that shows it."""
        mesh = self.add("meshes", {"primitives": list(primitives)})
        self.add("nodes", {"mesh": mesh, **node})
        return self

    def glb(self) -> bytes:
        root = dict(self.root)
        if self.binary:
            root.setdefault("buffers", [{"byteLength": len(self.binary)}])
        text = json.dumps(root).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        if binary:
            chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
        return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks

    def gltf(self, uri: str | None = None) -> bytes:
        """The JSON form; the buffer goes into a data: URI, or is named."""
        name = uri or "data:application/octet-stream;base64," + base64.b64encode(bytes(self.binary)).decode()
        return json.dumps({**self.root, "buffers": [{"byteLength": len(self.binary), "uri": name}]}).encode()


def cube(builder: Builder, **more: Any) -> dict[str, Any]:
    """A cube's primitive."""
    return builder.primitive({"POSITION": builder.accessor(CUBE)}, builder.accessor(CUBE_FACES), **more)


def square(builder: Builder, uv: npt.ArrayLike | None = None, **more: Any) -> dict[str, Any]:
    """A unit square in the plane z = 0, seen from +Z, with texture coordinates."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
    attributes = {"POSITION": builder.accessor(corners)}
    if uv is not None:
        attributes["TEXCOORD_0"] = builder.accessor(np.asarray(uv, "<f4"))
    return builder.primitive(attributes, builder.accessor(np.array([0, 1, 2, 0, 2, 3], "<u1")), **more)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def read(data: bytes, files: dict[str, bytes] | None = None, noted: list[str] | None = None) -> Mesh:
    """Read a file whose neighbours are `files`; names of damaged pictures go to `noted`."""
    find: Callable[[str], bytes | None] = (files or {}).get

    def decode(name: str, payload: bytes) -> npt.NDArray[np.uint8] | None:
        try:
            return decode_picture(payload, upright=False).rgba
        except Reject:
            if noted is not None:
                noted.append(name)
            return None

    return read_gltf(data, find, decode)


def volume(mesh: Mesh) -> float:
    """Six times less than the sum over the faces; positive where they are wound outwards."""
    t = mesh.triangles
    return float(np.einsum("ij,ij->", t[:, 0], np.cross(t[:, 1], t[:, 2])) / 6)


def triangles(mesh: Mesh) -> npt.NDArray[np.float64]:
    """(F, 9) the corners, each triangle beginning with its lowest corner, sorted."""
    t = np.round(mesh.triangles, 6) + 0.0
    turned = []
    for corners in t.tolist():
        start = corners.index(min(corners))
        turned.append(sum(corners[start:] + corners[:start], []))
    return np.array(sorted(turned))
