"""Wavefront OBJ and its MTL material file, read strictly and fast.

An example, with what matters to this project::

    mtllib model.mtl                v  x y z [w] [r g b]     position (w ignored, colours kept)
    usemtl red wood                 vt u v [w]               texture coordinate
    f 1/4/7 2/5/8 3/6/9 4/6/9       f  corners: position[/texture[/normal]], from 1, or from the end if < 0

    newmtl red wood                 Kd r g b    colour          d a or Tr 1-a    opacity
    map_Kd -s 2 2 2 images/a.jpg    picture; options before the name are skipped
    map_d images/holes.png          opacity picture: its alpha, or its brightness where it has none

Polygons become triangle fans.  Lines, points, curves and groups are skipped.  Where a picture
is found it alone gives the colour, as in Blender's importer: ShapeNet writes ``Kd 0 0 0``
beside some pictures, and the product would be black.  A material that is not defined, or
whose picture is missing and whose Kd is black, is the neutral grey of `mesh.Material`.
Formats: Wavefront Advanced Visualizer manual, appendix B1;
http://paulbourke.net/dataformats/obj/ and http://paulbourke.net/dataformats/mtl/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
ReadSibling = Callable[[str], bytes | None]  # a name as written in the file -> its bytes, None if absent
ReadPicture = Callable[[str], npt.NDArray[np.uint8] | None]  # likewise -> (H, W, 4) uint8

# Kd at or below this is what exporters write when "the picture is the colour".
_BLACK = 8
_OPTION_WORDS = {
    "-s": 3,
    "-o": 3,
    "-t": 3,
    "-mm": 2,
    "-bm": 1,
    "-blendu": 1,
    "-blendv": 1,
    "-boost": 1,
    "-clamp": 1,
    "-texres": 1,
    "-imfchan": 1,
    "-type": 1,
    "-cc": 1,
}


@dataclass
class _Lines:
    """The lines of one OBJ by kind; `base` holds how many v and vt came before a face, for counting back."""

    positions: list[bytes] = field(default_factory=list)
    coordinates: list[bytes] = field(default_factory=list)
    faces: list[bytes] = field(default_factory=list)
    base: list[tuple[int, int]] = field(default_factory=list)
    material: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)


def read_obj(data: bytes, read_sibling: ReadSibling, read_picture: ReadPicture) -> Mesh:
    """OBJ bytes -> Mesh with the materials of its faces; Reject with a typed reason if malformed."""
    lines = _sort_lines(data)
    if not lines.positions:
        raise Reject("empty", "the OBJ file has no vertices")
    positions, colours = _positions(lines.positions)
    corner_count = np.array([len(line.split()) for line in lines.faces], dtype=np.int64)
    if not (corner_count >= 3).any():
        raise Reject("no_faces", "the OBJ file has no face with three corners or more")
    corners = _corners(lines, corner_count, len(positions))
    triangles, face = _fans(corner_count)

    known: dict[str, Material] = {}
    for library in lines.libraries:
        text = read_sibling(library)
        if text is not None:
            known.update(read_mtl(text, read_picture))
    names = list(lines.names) or [""]
    materials = [known.get(name, Material(name=name)) for name in names]
    of_face = np.array(lines.material, dtype=np.int64)[face]
    used, of_face = np.unique(of_face, return_inverse=True)
    mesh = Mesh(positions, corners[triangles, 0], of_face, [materials[i] for i in used], None, colours)
    if lines.coordinates and any(material.texture is not None for material in mesh.materials):
        _split_at_seams(mesh, corners[triangles], _numbers(lines.coordinates, 2)[0])
    return mesh


def read_mtl(data: bytes, read_picture: ReadPicture) -> dict[str, Material]:
    """MTL bytes -> materials by name; unknown statements are skipped, bad numbers leave the default."""
    looks: dict[str, dict[str, list[str]]] = {}
    look: dict[str, list[str]] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "newmtl":
            look = looks.setdefault(line.split(None, 1)[1].strip(), {})
        elif len(words) >= 2:
            look[words[0].lower()] = words[1:]
    return {name: _material(name, look, read_picture) for name, look in looks.items()}


def _material(name: str, look: dict[str, list[str]], read_picture: ReadPicture) -> Material:
    alpha = _number(look.get("d", ["1"])[-1], 1.0)
    if "d" not in look and "tr" in look:
        alpha = 1.0 - _number(look["tr"][0], 0.0)
    opacity = round(min(max(alpha, 0.0), 1.0) * 255)
    texture = read_picture(_picture_name(look["map_kd"])) if look.get("map_kd") else None
    holes = read_picture(_picture_name(look["map_d"])) if look.get("map_d") else None
    if texture is not None:
        return Material((255, 255, 255, opacity), texture if holes is None else _cut(texture, holes), name)
    plain = _plain_material(name, look, opacity)
    if holes is not None:
        plain.texture = _cut(np.full_like(holes, 255), holes)
    return plain


def _cut(picture: npt.NDArray[np.uint8], holes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture with the opacity of another one, which is laid over it at the picture's size."""
    rows = np.arange(picture.shape[0]) * holes.shape[0] // picture.shape[0]
    columns = np.arange(picture.shape[1]) * holes.shape[1] // picture.shape[1]
    opacity = holes[..., 3] if (holes[..., 3] < 255).any() else holes[..., :3].max(axis=2)
    cut = picture.copy()
    cut[..., 3] = np.minimum(cut[..., 3], opacity[np.ix_(rows, columns)])
    return cut


def _plain_material(name: str, look: dict[str, list[str]], opacity: int) -> Material:
    """The material's own colour."""
    grey = Material().colour
    if "kd" not in look:
        return Material((*grey[:3], opacity), None, name)
    values = (look["kd"] * 3)[:3] if len(look["kd"]) < 3 else look["kd"][:3]
    red, green, blue = (round(min(max(_number(v, 0.7), 0.0), 1.0) * 255) for v in values)
    if "map_kd" in look and max(red, green, blue) <= _BLACK:
        red, green, blue = grey[:3]
    return Material((red, green, blue, opacity), None, name)


def _picture_name(words: list[str]) -> str:
    """The file name behind the options; it may hold blanks and back-slashes."""
    while words and words[0].lower() in _OPTION_WORDS:
        option, words = words[0].lower(), words[1:]
        for _ in range(_OPTION_WORDS[option]):
            # -s, -o and -t take one to three numbers.
            if words and (_OPTION_WORDS[option] == 1 or _is_number(words[0])):
                words = words[1:]
    return " ".join(words).replace("\\", "/")


def _is_number(text: str) -> bool:
    return _number(text, float("nan")) == _number(text, float("nan"))


def _number(text: str, default: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return default
    return value if np.isfinite(value) else default


def _sort_lines(data: bytes) -> _Lines:
    """One pass over the lines; the hot loop of the parser."""
    if b"\0" in data:
        raise Reject("not_text", "the OBJ file holds zero bytes")
    lines, current = _Lines(), -1
    positions, coordinates, faces = lines.positions, lines.coordinates, lines.faces
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        head, _, rest = line.strip().partition(b" ")
        if b"\t" in head:
            head, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        if head == b"v":
            positions.append(rest)
        elif head == b"vt":
            coordinates.append(rest)
        elif head == b"f":
            if current < 0:  # faces before any usemtl
                current = lines.names.setdefault("", len(lines.names))
            faces.append(rest.partition(b"#")[0])
            lines.material.append(current)
            lines.base.append((len(positions), len(coordinates)))
        elif head == b"usemtl":
            current = lines.names.setdefault(rest.decode("utf-8", "replace").strip(), len(lines.names))
        elif head == b"mtllib":
            lines.libraries.append(rest.decode("utf-8", "replace").strip())
    return lines


def _positions(lines: list[bytes]) -> tuple[Floats, npt.NDArray[np.uint8] | None]:
    """(V, 3) positions and, where every line has six numbers, (V, 4) colours."""
    values, width = _numbers(lines, 3)
    if width not in (6, 7):
        return values[:, :3].copy(), None
    rgb = np.nan_to_num(values[:, width - 3 :])
    colours = np.full((len(values), 4), 255, dtype=np.uint8)
    colours[:, :3] = np.rint(rgb.clip(0, 1) * 255)
    return values[:, :3].copy(), colours


def _numbers(lines: list[bytes], least: int) -> tuple[Floats, int]:
    """(N, width) numbers, one line each; lines of different lengths are cut to the least width."""
    try:
        flat = np.fromstring(b" ".join(lines), sep=" ")
        width = len(lines[0].split())
        if width >= least and len(flat) == width * len(lines):
            return flat.reshape(-1, width), width
        rows = [[float(word) for word in line.split()[:least]] for line in lines]
    except ValueError as error:
        raise Reject("bad_number", "a v or vt line of the OBJ file holds something that is not a number") from error
    if any(len(row) < least for row in rows):
        raise Reject("truncated", f"a v or vt line of the OBJ file has fewer than {least} numbers")
    return np.array(rows, dtype=np.float64), least


def _corners(lines: _Lines, corner_count: Ints, positions: int) -> Ints:
    """(C, 2) position and texture index of every corner of every face, from 0; -1 for no texture index."""
    text = b" ".join(lines.faces)
    slashes, total = text.count(b"/"), int(corner_count.sum())
    corners = np.full((total, 2), 0, dtype=np.int64)
    try:
        if slashes == 0:
            corners[:, 0] = np.fromstring(text, dtype=np.int64, sep=" ")
        elif slashes == 2 * total and text.count(b"//") == total:
            corners[:, 0] = np.fromstring(text.replace(b"//", b" "), dtype=np.int64, sep=" ").reshape(total, 2)[:, 0]
        elif slashes in (total, 2 * total) and b"//" not in text and b"/ " not in text:
            width = slashes // total + 1
            flat = np.fromstring(text.replace(b"/", b" "), dtype=np.int64, sep=" ")
            corners[:] = flat.reshape(total, width)[:, :2]
        else:
            for row, word in enumerate(text.split()):
                parts = word.split(b"/")
                corners[row] = int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1] else 0
    except (ValueError, OverflowError) as error:
        raise Reject("bad_index", "a corner of an f line in the OBJ file is not a whole number") from error
    base = np.repeat(np.array(lines.base, dtype=np.int64), corner_count, axis=0)
    if (corners[:, 0] == 0).any():
        raise Reject("bad_index", "a face of the OBJ file names vertex 0; they are counted from 1")
    index = np.where(corners < 0, base + corners, corners - 1)
    if not (index[:, 0].min() >= 0 and index[:, 0].max() < positions):
        raise Reject("bad_index", f"a face of the OBJ file names a vertex beyond the {positions} there are")
    index[(corners[:, 1] == 0) | (index[:, 1] < 0) | (index[:, 1] >= len(lines.coordinates)), 1] = -1
    return index


def _fans(corner_count: Ints) -> tuple[Ints, Ints]:
    """Corners (F, 3) of the triangle fans of all polygons, and the polygon (F,) of each triangle."""
    first = np.cumsum(corner_count) - corner_count
    fans = np.maximum(corner_count - 2, 0)
    polygon = np.repeat(np.arange(len(corner_count)), fans)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(fans) - fans, fans)
    start = first[polygon]
    return np.stack([start, start + step + 1, start + step + 2], axis=1), polygon


def _split_at_seams(mesh: Mesh, corners: Ints, coordinates: Floats) -> None:
    """Give every (position, texture coordinate) pair a vertex of its own; corners (F, 3, 2)."""
    pairs = corners.reshape(-1, 2)
    keys, first, inverse = np.unique(
        pairs[:, 0] * (len(coordinates) + 1) + pairs[:, 1] + 1, return_index=True, return_inverse=True
    )
    chosen = pairs[first]
    mesh.faces = inverse.reshape(-1, 3).astype(np.int64)
    mesh.vertices = mesh.vertices[chosen[:, 0]]
    mesh.uv = np.where(chosen[:, 1:] >= 0, coordinates[chosen[:, 1], :2], 0.0)
    if mesh.vertex_colours is not None:
        mesh.vertex_colours = mesh.vertex_colours[chosen[:, 0]]
