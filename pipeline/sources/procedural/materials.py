"""Looks: palettes of wood, fabric, metal, plastic, stone, some of them with a texture.

A shape asks for a look per slot ("frame", "seat" ...); whether its looks carry textures
is drawn once for each, so that a good part of the set is textured and the rest is plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.mesh import Material
from pipeline.sources.procedural.draw import Draw
from pipeline.sources.procedural.textures import PATTERNS, Colour


@dataclass(frozen=True)
class Look:
    """A material and how many metres one repeat of its texture covers."""

    material: Material
    tile_m: float = 0.5


@dataclass(frozen=True)
class Family:
    """Base colours, how far they vary, and the textures that suit them by weight."""

    colours: tuple[Colour, ...]
    spread: int
    patterns: Mapping[str, float]
    textured: float  # share of looks that carry a texture
    tile_m: tuple[float, float] = (0.3, 0.6)


FAMILIES: dict[str, Family] = {
    "wood": Family(
        ((222, 190, 145), (196, 150, 98), (164, 112, 66), (128, 82, 48), (92, 58, 38), (62, 43, 34), (214, 202, 184), (176, 92, 58)),
        12, {"wood": 1.0}, 0.7, (0.35, 0.7),
    ),
    "paint": Family(
        ((240, 238, 232), (58, 58, 62), (196, 206, 204), (112, 138, 150), (222, 214, 196), (142, 166, 138), (186, 72, 62), (226, 178, 74)),
        10, {"melange": 1.0}, 0.1,
    ),
    "fabric": Family(
        ((186, 180, 170), (120, 124, 130), (72, 84, 104), (142, 60, 58), (92, 118, 96), (206, 190, 160), (64, 64, 68), (196, 132, 70),
         (88, 136, 160), (170, 124, 150), (226, 222, 214), (206, 172, 62)),
        14, {"weave": 4, "checks": 2, "stripes": 2, "melange": 3, "dots": 1}, 0.6, (0.18, 0.4),
    ),
    "leather": Family(((74, 48, 36), (40, 38, 38), (150, 92, 56), (222, 212, 196), (110, 34, 34)), 8, {"melange": 1.0}, 0.4, (0.2, 0.4)),
    "metal": Family(((176, 178, 182), (120, 122, 126), (48, 48, 52), (198, 196, 190), (168, 140, 92)), 8, {"melange": 1.0}, 0.0),
    "plastic": Family(
        ((236, 236, 234), (40, 42, 46), (204, 62, 54), (66, 112, 168), (96, 158, 98), (236, 186, 62), (224, 126, 66), (150, 152, 156)),
        12, {"dots": 1.0}, 0.0,
    ),
    "stone": Family(((226, 222, 216), (186, 184, 180), (92, 96, 98)), 8, {"marble": 2, "melange": 1}, 0.7, (0.5, 0.9)),
    "linen": Family(((236, 232, 224), (222, 228, 234), (240, 226, 214), (214, 216, 210)), 8,
                    {"stripes": 2, "checks": 1, "weave": 2, "dots": 1}, 0.4, (0.25, 0.5)),
}  # fmt: skip


def look(draw: Draw, family: str, name: str) -> Look:
    """A look of the family; equal draws give equal looks."""
    kind = FAMILIES[family]
    base = _vary(draw, kind.colours[draw.whole(0, len(kind.colours) - 1)], kind.spread)
    textured, tile = draw.chance(kind.textured), draw.between(*kind.tile_m)
    # The texture has a stream of its own: another pattern never moves the rest of the shape.
    rng = np.random.Generator(np.random.Philox(key=[draw.whole(0, 2**31), 0]))
    pattern = draw.choose(kind.patterns)
    if not textured:
        return Look(Material((*base, 255), name=f"{name}_{family}"), tile)
    picture = PATTERNS[pattern](rng, base, _partner(Draw(rng), base, pattern))
    return Look(Material((255, 255, 255, 255), picture, f"{name}_{pattern}"), tile)


def plain(colour: Colour, name: str) -> Look:
    """One flat colour."""
    return Look(Material((*colour, 255), name=name))


def _vary(draw: Draw, colour: Colour, spread: int) -> Colour:
    """Shift lightness, and each channel a little."""
    light = draw.between(-spread, spread)
    red, green, blue = (
        int(np.clip(channel + light + draw.between(-spread / 3, spread / 3), 8, 247)) for channel in colour
    )
    return red, green, blue


def _partner(draw: Draw, base: Colour, pattern: str) -> Colour:
    """The second colour of a pattern: close for grain and melange, contrasting for checks and stripes."""
    if pattern in ("wood", "melange", "weave", "marble"):
        factor = draw.between(0.55, 0.78)
        return (int(base[0] * factor), int(base[1] * factor), int(base[2] * factor))
    bright = sum(base) > 380
    shift = draw.between(60, 110) * (-1 if bright else 1)
    tint = [draw.between(-30, 30) for _ in range(3)]
    red, green, blue = (int(np.clip(channel + shift + t, 10, 245)) for channel, t in zip(base, tint))
    return red, green, blue
