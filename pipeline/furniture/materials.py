"""Looks: palettes of wood, fabric, metal, plastic, stone, some of them with a texture.

A shape asks for a look per slot ("frame", "seat" ...); whether its looks carry textures
is drawn once for each, so that a good part of the set is textured and the rest is plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.furniture.draw import Draw
from pipeline.furniture.textures import PATTERNS, Colour
from pipeline.meshes.mesh import Material


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


def _palette(hexadecimal: str) -> tuple[Colour, ...]:
    """Colours from blank-separated RRGGBB."""
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in hexadecimal.split())


FAMILIES: dict[str, Family] = {
    "wood": Family(
        _palette("debe91 c49662 a47042 805230 6a4630 4a342a d6cab8 b05c3a"),
        spread=12,
        patterns={"wood": 1},
        textured=0.7,
        tile_m=(0.35, 0.7),
    ),
    "paint": Family(
        _palette("f0eee8 3a3a3e c4cecc 708a96 ded6c4 8ea68a ba483e e2b24a"),
        spread=10,
        patterns={"melange": 1},
        textured=0.1,
    ),
    "fabric": Family(
        _palette("bab4aa 787c82 485468 8e3c3a 5c7660 cebea0 505056 c48446 5888a0 aa7c96 e2ded6 ceac3e"),
        spread=14,
        patterns={"weave": 4, "checks": 2, "stripes": 2, "melange": 3, "dots": 1},
        textured=0.6,
        tile_m=(0.18, 0.4),
    ),
    "leather": Family(
        _palette("5a3c2c 3a3634 965c38 ded4c4 6e2222"),
        spread=8,
        patterns={"melange": 1},
        textured=0.4,
        tile_m=(0.2, 0.4),
    ),
    "metal": Family(_palette("b0b2b6 787a7e 303034 c6c4be a88c5c"), spread=8, patterns={"melange": 1}, textured=0.0),
    "plastic": Family(
        _palette("ececea 282a2e cc3e36 4270a8 609e62 ecba3e e07e42 96989c"),
        spread=12,
        patterns={"dots": 1},
        textured=0.0,
    ),
    "stone": Family(
        _palette("e2ded8 bab8b4 5c6062"),
        spread=8,
        patterns={"marble": 2, "melange": 1},
        textured=0.7,
        tile_m=(0.5, 0.9),
    ),
    "linen": Family(
        _palette("ece8e0 dee4ea f0e2d6 d6d8d2"),
        spread=8,
        patterns={"stripes": 2, "checks": 1, "weave": 2, "dots": 1},
        textured=0.4,
        tile_m=(0.25, 0.5),
    ),
}


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
