"""MTL, the material file beside an OBJ.

    newmtl red wood
    Kd r g b                    colour          d a or Tr 1-a    opacity
    map_Kd -s 2 2 2 -o .5 0 0 images/a.jpg      picture; -s scales and -o shifts the texture coordinates
    map_d images/holes.png      opacity picture: its alpha, or its brightness where it has none

Where a picture is found it alone gives the colour, as in Blender's importer: ShapeNet writes
``Kd 0 0 0`` beside some pictures, and the product would be black.  A material that is not
defined, or whose picture is missing and whose Kd is black, is the neutral grey of
`mesh.Material`.  Format: http://paulbourke.net/dataformats/mtl/.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.meshes.mesh import Material, Wrap

Bytes: TypeAlias = npt.NDArray[np.uint8]
ReadPicture: TypeAlias = Callable[[str], Bytes | None]  # a name as written in the file -> (H, W, 4), None if absent

# Kd at or below this is what exporters write when "the picture is the colour".
_BLACK = 8
# Words behind each option of a picture; -s, -o, -t and -mm may have fewer.
_OPTION_WORDS = {"-s": 3, "-o": 3, "-t": 3, "-mm": 2} | dict.fromkeys(
    ("-bm", "-blendu", "-blendv", "-boost", "-clamp", "-texres", "-imfchan", "-type", "-cc"), 1
)


@dataclass(frozen=True)
class ObjMaterial:
    """A material, and how its picture lies: texture coordinates become ``scale * (u, v) + offset``."""

    material: Material
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


def text_of(data: bytes) -> str:
    """UTF-8 where it is, else Latin-1, as old exporters write; a byte order mark goes."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_mtl(data: bytes, read_picture: ReadPicture) -> dict[str, ObjMaterial]:
    """MTL bytes -> materials by name; unknown statements are skipped, bad numbers leave the default."""
    statements: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text_of(data).splitlines():
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        rest = rest.strip()
        if key.lower() == "newmtl" and rest:
            current = statements.setdefault(rest, {})
        elif rest and not key.startswith("#"):
            current[key.lower()] = rest
    made = {name: _material(name, found, read_picture) for name, found in statements.items()}
    return {without_comment(name): material for name, material in made.items()} | made


def without_comment(name: str) -> str:
    """What stands before a comment; a name of a material may hold the mark itself, so it is tried as it is first."""
    return re.split(r"\s#", name, maxsplit=1)[0].strip()


def _material(name: str, found: dict[str, str], read_picture: ReadPicture) -> ObjMaterial:
    alpha = _number(_words(found.get("d", "1"))[-1], 1.0)
    if "d" not in found and "tr" in found:
        alpha = 1.0 - _number(_words(found["tr"])[0], 0.0)
    opacity = round(min(max(alpha, 0.0), 1.0) * 255)
    picture, holes = (_Picture.parse(found.get(key, "")) for key in ("map_kd", "map_d"))
    texture = read_picture(picture.name) if picture.name else None
    cut = read_picture(holes.name) if holes.name else None
    if texture is not None:
        material = Material((255, 255, 255, opacity), texture if cut is None else _cut(texture, cut), name)
    else:
        material = _plain_material(name, found, opacity)
        picture = holes
        if cut is not None:
            material.texture = _cut(np.full_like(cut, 255), cut)
    if material.texture is None:
        return ObjMaterial(material)
    material.wrap = picture.wrap
    return ObjMaterial(material, picture.scale, picture.offset)


def _cut(picture: Bytes, holes: Bytes) -> Bytes:
    """The picture with the opacity of another one, which is laid over it at the picture's size."""
    rows = np.arange(picture.shape[0]) * holes.shape[0] // picture.shape[0]
    columns = np.arange(picture.shape[1]) * holes.shape[1] // picture.shape[1]
    opacity = holes[..., 3] if (holes[..., 3] < 255).any() else holes[..., :3].max(axis=2)
    cut = picture.copy()
    cut[..., 3] = np.minimum(cut[..., 3], opacity[np.ix_(rows, columns)])
    return cut


def _plain_material(name: str, found: dict[str, str], opacity: int) -> Material:
    """The material's own colour."""
    grey = Material().colour
    if "kd" not in found:
        return Material((*grey[:3], opacity), None, name)
    words = _words(found["kd"])
    values = (words * 3)[:3] if len(words) < 3 else words[:3]
    red, green, blue = (round(min(max(_number(v, 0.7), 0.0), 1.0) * 255) for v in values)
    if "map_kd" in found and max(red, green, blue) <= _BLACK:
        red, green, blue = grey[:3]
    return Material((red, green, blue, opacity), None, name)


@dataclass(frozen=True)
class _Picture:
    """A picture's name behind its options, and the options that move it."""

    name: str = ""
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")

    @classmethod
    def parse(cls, text: str) -> _Picture:
        """``-s 2 2 2 -o 0.5 -clamp on a picture.jpg``; the name may hold blanks and back-slashes."""
        scale, offset, wrap = (1.0, 1.0), (0.0, 0.0), cls.wrap
        while True:
            option, _, rest = text.partition(" ")
            most = _OPTION_WORDS.get(option.lower(), 0)
            if not most:
                return cls(text.strip(), scale, offset, wrap)
            rest = rest.lstrip()
            values: list[str] = []
            while rest and len(values) < most:
                word, _, after = rest.partition(" ")
                if most > 1 and not math.isfinite(_number(word, math.inf)):
                    break
                values.append(word)
                rest = after.lstrip()
            numbers = [_number(value, math.nan) for value in values]
            if option.lower() == "-s" and numbers:
                scale = (numbers[0], numbers[1] if len(numbers) > 1 else 1.0)
            elif option.lower() == "-o" and numbers:
                offset = (numbers[0], numbers[1] if len(numbers) > 1 else 0.0)
            elif option.lower() == "-clamp" and values:
                wrap = ("clamp", "clamp") if values[0].lower() == "on" else wrap
            text = rest


def _words(text: str) -> list[str]:
    return text.partition("#")[0].split() or [""]


def _number(text: str, default: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) else default
