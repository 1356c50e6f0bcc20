"""Small files of the plain formats that use every part of their readers, written here byte by byte."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
U = [(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]


def picture() -> bytes:
    """A PNG of four colours."""
    out = io.BytesIO()
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _prism() -> tuple[list[tuple[int, int, int]], list[list[int]]]:
    """A U-shaped prism: two concave caps of eight corners and eight quads; its area is 30."""
    n = len(U)
    sides = [[k, (k + 1) % n, n + (k + 1) % n, n + k] for k in range(n)]
    return [(x, y, z) for z in (0, 1) for x, y in U], [list(range(n))[::-1], list(range(n, 2 * n)), *sides]


def _off() -> bytes:
    corners, faces = _prism()
    lines = [f"{x} {y} {z}" for x, y, z in corners]
    lines += [f"{len(face)} {' '.join(map(str, face))}" for face in faces]
    return "\n".join(["OFF", f"{len(corners)} {len(faces)} 0", *lines, ""]).encode()


def _coloured_off() -> bytes:
    lines = [f"{x} {y} {z} 255 {9 * k} 0 255" for k, (x, y, z) in enumerate(CORNERS)]
    faces = [f"4 {a} {b} {c} {d}  0.5 0.25 {k}" for k, (a, b, c, d) in enumerate(QUADS)]
    return "\n".join(["COFF8 6 12", "# a comment", *lines, *faces]).encode()


def _obj() -> bytes:
    corners, faces = _prism()
    text = ["\ufeff# mixed forms", "mtllib gone.mtl m.mtl", "vt 0.25 0.5", "vt .5 1e-1 0", "vn 0 0 1", "o prism"]
    text += [f"v {x}.0 {y} {z}e0" + (" 0.5 0.25 1" if x else "") for x, y, z in corners]
    forms = ["{0}", "{0}/1", "{0}//1", "{0}/2/1", "{0}/", "{0}//"]
    for number, face in enumerate(faces):
        text += [f"usemtl {'wood' if number % 2 else 'glass'}", f"s {number}"]
        at = [forms[(number + k) % 6].format(v + 1 if k % 2 else v - len(corners)) for k, v in enumerate(face)]
        text.append("f " + (" \\\n" if number == 3 else " ").join(at))
    return "\r\n".join([*text, "l 1 2", ""]).encode()


def _ply_header(form: str, faces: int) -> str:
    return (
        f"ply\nformat {form} 1.0\ncomment made by hand\nelement vertex 16\nproperty float x\nproperty float y\n"
        "property double z\nproperty ushort red\nproperty ushort green\nproperty ushort blue\n"
        f"element face {faces}\nproperty uchar flags\nproperty list uchar int vertex_indices\n"
        "property list uchar float texcoord\nelement edge 2\nproperty int vertex1\nproperty int vertex2\nend_header\n"
    )


def _text_ply() -> bytes:
    corners, faces = _prism()
    lines = [f"{x} {y}.0 {z}e0 65535 {k * 4000} 300" for k, (x, y, z) in enumerate(corners)]
    lines += [f"7 {len(face)} {' '.join(map(str, face))} {k % 3}{' 0.5' * (k % 3)}" for k, face in enumerate(faces)]
    return (_ply_header("ascii", len(faces)) + "\n".join([*lines, "0 1", "1 12", ""])).encode()


def _binary_ply(order: str) -> bytes:
    corners, faces = _prism()
    body = b"".join(struct.pack(f"{order}ffdHHH", x, y, z, 65535, k * 4000, 300) for k, (x, y, z) in enumerate(corners))
    for k, face in enumerate(faces):
        body += struct.pack(f"{order}BB{len(face)}iB{k % 3}f", 7, len(face), *face, k % 3, *[0.5] * (k % 3))
    head = _ply_header("binary_little_endian" if order == "<" else "binary_big_endian", len(faces))
    return head.encode() + body + struct.pack(f"{order}4i", 0, 1, 1, 12)


def _plain_ply() -> bytes:
    head = (
        "ply\r\nformat binary_little_endian 1.0\r\nelement vertex 8\r\nproperty float x\r\nproperty float y\r\n"
        "property float z\r\nproperty float s\r\nproperty float t\r\nelement face 6\r\n"
        "property list uint8 uint16 vertex_index\r\nproperty uchar red\r\nproperty uchar green\r\n"
        "property uchar blue\r\nend_header\r\n"
    )
    body = b"".join(struct.pack("<5f", *corner, 0.5, 0.25) for corner in CORNERS)
    return head.encode() + body + b"".join(struct.pack("<B4H3B", 4, *quad, 200, 30, 30) for quad in QUADS)


def _triangles() -> list[list[tuple[int, int, int]]]:
    return [[CORNERS[k] for k in part] for a, b, c, d in QUADS for part in ((a, b, c), (a, c, d))]


def _binary_stl() -> bytes:
    rows = [struct.pack("<12fH", 0, 0, 1, *(x for corner in t for x in corner), 7) for t in _triangles()]
    return b"solid made by a program".ljust(80, b" ") + struct.pack("<I", len(rows)) + b"".join(rows)


def _text_stl() -> bytes:
    text = ["solid first one"]
    for number, triangle in enumerate(_triangles()):
        text += ["endsolid first one", "solid"] if number == 4 else []
        text += ["  facet normal 0 0 1e0", "    outer loop"]
        text += [f"      vertex {x} {y}.0 {z}e0" for x, y, z in triangle]
        text += ["    endloop", "  endfacet"]
    return "\n".join([*text, "endsolid second one", ""]).encode()


SAMPLES: dict[str, bytes] = {
    "counts.off": _off(),
    "colours.off": _coloured_off(),
    "mixed.obj": _obj(),
    "text.ply": _text_ply(),
    "little.ply": _binary_ply("<"),
    "big.ply": _binary_ply(">"),
    "plain.ply": _plain_ply(),
    "binary.stl": _binary_stl(),
    "text.stl": _text_stl(),
}
