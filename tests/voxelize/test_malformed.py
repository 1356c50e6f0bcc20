"""Damaged mesh files: a typed reason or a valid grid each, never an empty grid or a foreign exception."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from tests.pipeline.meshes.readers.test_off import MALFORMED as OFF
from tests.voxelize.solids import box
from voxelize.engines.builtin import voxelize
from voxelize.meshes import read_mesh
from voxelize.options import Options

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 1\n"
GLB = write_glb(Mesh(*box()))
PLY = (
    "ply\nformat ascii 1.0\nelement vertex {v}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {f}\nproperty list uchar int vertex_indices\nend_header\n{body}"
)
PLY_BODY = "0 0 0\n1 0 0\n1 1 0\n0 1 1\n3 0 1 2\n3 0 2 3\n"


def stl(count: int, triangles: int, value: float = 1.0) -> bytes:
    corner = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, value, 0, 0, 0, value, 1, 0)
    return b"\0" * 80 + struct.pack("<I", count) + corner * triangles


def glb(head: object, binary: bytes = b"") -> bytes:
    text = (json.dumps(head) if not isinstance(head, str) else head).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text
    body += struct.pack("<II", len(binary), 0x004E4942) + binary if binary else b""
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


FILES: dict[str, bytes] = {
    **{f"{name}.off": data for name, (data, _) in OFF.items()},
    "empty.obj": b"",
    "blank.obj": b"\n\n  \n",
    "only vertices.obj": SQUARE.encode(),
    "only faces.obj": b"f 1 2 3\n",
    "index 0.obj": (SQUARE + "f 0 1 2\n").encode(),
    "index too high.obj": (SQUARE + "f 1 2 9\n").encode(),
    "index too low.obj": (SQUARE + "f -9 -2 -1\n").encode(),
    "huge index.obj": (SQUARE + f"f 1 2 {10**30}\n").encode(),
    "index of words.obj": (SQUARE + "f one two three\n").encode(),
    "fraction.obj": (SQUARE + "f 1.5 2 3\n").encode(),
    "two corners.obj": (SQUARE + "f 1 2\n").encode(),
    "nan.obj": (SQUARE.replace("1 1 0", "nan 1 0") + "f 1 2 3\n").encode(),
    "inf.obj": (SQUARE.replace("1 1 0", "1e999 1 0") + "f 1 2 3\n").encode(),
    "two numbers.obj": (SQUARE.replace("1 1 0", "1 1") + "f 1 2 3\n").encode(),
    "words.obj": (SQUARE.replace("1 1 0", "a b c") + "f 1 2 3\n").encode(),
    "not text.obj": bytes(range(256)) * 40,
    "html.obj": b"<!DOCTYPE html><html><body>403 Forbidden</body></html>",
    "cut.obj": (SQUARE + "f 1 2 3\nf 1 3").encode(),
    "slashes.obj": (SQUARE + "f 1//// 2/ 3/x\n").encode(),
    "one point.obj": b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
    "material outside.obj": (f"mtllib ../../../etc/passwd\n{SQUARE}usemtl x\nf 1 2 3\nf 1 3 4\n").encode(),
    "many groups.obj": (SQUARE + "".join(f"g g{i}\nusemtl m{i}\nf 1 2 3\nf 1 3 4\n" for i in range(3000))).encode(),
    "empty.ply": b"",
    "only magic.ply": b"ply\n",
    "no format.ply": b"ply\nend_header\n",
    "cut.ply": PLY.format(v=4, f=2, body=PLY_BODY[:20]).encode(),
    "more vertices.ply": PLY.format(v=40, f=2, body=PLY_BODY).encode(),
    "billions.ply": PLY.format(v=4_000_000_000, f=2, body=PLY_BODY).encode(),
    "negative.ply": PLY.format(v=-4, f=2, body=PLY_BODY).encode(),
    "index too high.ply": PLY.format(v=4, f=2, body=PLY_BODY.replace("0 2 3", "0 2 7")).encode(),
    "nan.ply": PLY.format(v=4, f=2, body=PLY_BODY.replace("1 1 0", "nan 1 0")).encode(),
    "words.ply": PLY.format(v=4, f=2, body=PLY_BODY.replace("1 1 0", "a b c")).encode(),
    "no faces.ply": PLY.format(v=4, f=0, body="0 0 0\n1 0 0\n1 1 0\n0 1 1\n").encode(),
    "binary cut.ply": PLY.format(v=4, f=2, body="").replace("ascii", "binary_little_endian").encode() + b"\0" * 9,
    "empty.stl": b"",
    "short.stl": b"\0" * 40,
    "cut.stl": stl(4, 2),
    "billions.stl": stl(4_000_000_000, 1),
    "none.stl": stl(0, 0),
    "nan.stl": stl(2, 2, float("nan")),
    "inf.stl": stl(2, 2, float("inf")),
    "words.stl": b"solid x\nfacet normal 0 0 1\nouter loop\nvertex a b c\nendloop\nendfacet\nendsolid x\n",
    "ascii cut.stl": b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0",
    "empty.glb": b"",
    "only magic.glb": b"glTF",
    "cut.glb": GLB[: len(GLB) // 2],
    "cut head.glb": GLB[:30],
    "not json.glb": glb("{nonsense"),
    "no meshes.glb": glb({"asset": {"version": "2.0"}}),
    "list.glb": glb([1, 2]),
    "wrong version.glb": GLB[:4] + struct.pack("<I", 7) + GLB[8:],
    "flipped.glb": GLB[:200] + bytes(255 - b for b in GLB[200:260]) + GLB[260:],
    "nan.glb": GLB[:-200] + struct.pack("<50f", *[float("nan")] * 50),
    "accessor outside.glb": glb(
        {
            "asset": {"version": "2.0"},
            "buffers": [{"byteLength": 12}],
            "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 10**12}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**9, "type": "VEC3"}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
        },
        b"\0" * 12,
    ),
    "unknown.xyz": b"0 0 0\n",
}


def test_there_are_many() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("default")  # the readers of PLY, STL and GLB warn about some of these, as they may
def test_a_damaged_file_gives_a_reason_or_a_grid(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    try:
        mesh = read_mesh(path)
        grid = voxelize(mesh.vertices, mesh.faces, Options(mode="robust")).grid
    except Reject as reject:
        assert reject.reason.replace("_", "").isalpha() and reject.detail
        return
    assert grid.any() and np.isfinite(mesh.vertices).all()
    assert len(mesh.faces) and mesh.faces.max() < len(mesh.vertices)
