"""The bytes of a glTF 2.0 file: GLB chunks or JSON, and the buffers that it names.

    .gltf   JSON; its buffers and pictures lie beside it or in data: URIs
    .glb    12 bytes   "glTF", version 2, total length          (little endian throughout)
            chunk 0    length, "JSON"
            chunk 1    length, "BIN\\0": the first buffer, where that names no URI
            more       chunks of other types, which are passed over

The magic tells which of the two a file is, whatever its name.  Specification, sections 3.6 and 4:
https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable
from urllib.parse import unquote, unquote_to_bytes

from pipeline.errors import Reject
from pipeline.meshes.gltf.document import Item, malformed, parse
from pipeline.meshes.gltf.extensions import MESHOPT, unsupported

_MAGIC, _JSON, _BIN = b"glTF", 0x4E4F534A, 0x004E4942
_DATA_URI = re.compile(r"data:[^,]*,", re.ASCII | re.IGNORECASE)

ReadFile = Callable[[str], bytes | None]
"""Answers the bytes of a file by its URI as the glTF writes it, or None."""


def open_file(data: bytes) -> tuple[Item, memoryview | None]:
    """The root object, and the binary chunk where there is one."""
    text, binary = _chunks(data) if data[:4] == _MAGIC else (data, None)
    root = parse(text)
    asset = root.wanted("asset")
    version = asset.text("version")
    least = asset.text("minVersion", version)
    if not (version.startswith("2.") and least in ("2.0", version)):
        raise Reject(
            "unsupported", f"glTF {version[:20]}: version 2.0 is read; export again as glTF 2.0 (`gltf-pipeline` can)"
        )
    return root, binary


def _chunks(data: bytes) -> tuple[bytes, memoryview | None]:
    if len(data) < 20:
        raise Reject("truncated", f"GLB: the file ends after {len(data)} bytes, inside its header")
    version, total = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise Reject("unsupported", f"GLB version {version}: version 2 is read; export again as glTF 2.0")
    if total > len(data):
        raise Reject("truncated", f"GLB: {len(data)} bytes of {total}; the file was cut")
    if total < len(data):
        raise Reject("malformed", f"GLB: {len(data)} bytes, but its header says {total}")
    chunks: list[tuple[int, memoryview]] = []
    start = 12
    while start < total:
        if start + 8 > total:
            raise Reject("malformed", f"GLB: {total - start} bytes behind the last chunk")
        length, kind = struct.unpack_from("<II", data, start)
        if start + 8 + length > total:
            raise Reject("malformed", f"GLB: a chunk of {length} bytes begins at {start} of {total}")
        chunks.append((kind, memoryview(data)[start + 8 : start + 8 + length]))
        start += 8 + length
    if chunks[0][0] != _JSON:
        raise Reject("malformed", "GLB: its first chunk is not JSON")
    binary = chunks[1][1] if len(chunks) > 1 and chunks[1][0] == _BIN else None
    return bytes(chunks[0][1]), binary


class Buffers:
    """The bytes that buffers, buffer views and URIs name; each buffer is opened once."""

    def __init__(self, root: Item, binary: memoryview | None, read: ReadFile):
        self._root, self._binary, self._read = root, binary, read
        self._open: dict[int, memoryview] = {}

    def view(self, number: int, by: str) -> tuple[memoryview, int | None]:
        """The bytes of a buffer view and its stride, None where the elements lie close together."""
        item = self._root.entry("bufferViews", number, by)
        if any(item.extension(name) is not None for name in MESHOPT):
            self._refuse_meshopt_without_fallback(item)
        buffer = self._buffer(item.whole("buffer"), item.place("buffer"))
        start, length = item.whole("byteOffset", 0), item.whole("byteLength", low=1)
        if start + length > len(buffer):
            malformed(item.where, f"{start} + {length}", f"bytes inside the buffer of {len(buffer)}")
        stride = item.whole("byteStride", low=4, high=252) if "byteStride" in item else None
        return buffer[start : start + length], stride

    def named(self, uri: str, by: str) -> bytes | None:
        """What a URI stands for: a data: URI, or a file beside this one; None where that is absent."""
        head = _DATA_URI.match(uri)
        if head is not None:
            return _data(uri, head.group(), by)
        return self._read(uri)  # which knows percent-encoded names (3.6.1.1), and fetches nothing from the network

    def _buffer(self, number: int, by: str) -> memoryview:
        if number not in self._open:
            item = self._root.entry("buffers", number, by)
            self._open[number] = self._load(item, number)
        return self._open[number]

    def _load(self, item: Item, number: int) -> memoryview:
        length = item.whole("byteLength", low=1)
        if "uri" in item:
            uri = item.text("uri")
            found = self.named(uri, item.place("uri"))
            if found is None:
                raise Reject("missing_buffer", f"glTF: {item.where} names {uri[:200]!r}, which is not there")
            held = memoryview(found)
        elif number == 0 and self._binary is not None:
            held = self._binary
        else:
            malformed(item.where, "without a URI", "a file, a data: URI or the binary chunk of a GLB")
        if len(held) < length:
            raise Reject("truncated", f"glTF: {item.where} has {len(held)} bytes of {length}; it was cut")
        return held[:length]

    def _refuse_meshopt_without_fallback(self, view: Item) -> None:
        """A compressed view may be read without its extension only where its plain bytes are there as well."""
        buffer = self._root.entry("buffers", view.whole("buffer"), view.place("buffer"))
        stated = any(
            said is not None and said.flag("fallback") for said in (buffer.extension(name) for name in MESHOPT)
        )
        if stated and "uri" not in buffer:
            raise unsupported(MESHOPT[0])


def _data(uri: str, head: str, by: str) -> bytes:
    payload = uri[len(head) :]
    if not head.lower().endswith(";base64,"):
        return unquote_to_bytes(payload)
    try:
        return base64.b64decode(unquote(payload), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Reject("malformed", f"glTF: {by} is no base64: {error}") from error
