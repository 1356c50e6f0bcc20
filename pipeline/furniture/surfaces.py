"""Patterns of a room's floor, walls and ceiling: functions of metres on the surface to colours.

Every paint takes u, v (N,) in metres and returns (N, 3) sRGB values in 0..255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from pipeline.conventions import Array

Floats: TypeAlias = Float[Array, "..."]  # of either precision
Paint = Callable[[Floats, Floats], Floats]


def noise(u: Floats, v: Floats, salt: int) -> Floats:
    """A pseudo-random number in [0, 1) for each whole (u, v) cell."""
    cell = np.floor(u).astype(np.int64) * 374761393 + np.floor(v).astype(np.int64) * 668265263 + salt * 144665
    cell = (cell ^ (cell >> 13)) * 1274126177
    return (((cell ^ (cell >> 16)) & 0xFFFF) / 65536).astype(np.float32)


def smooth_noise(u: Floats, v: Floats, salt: int) -> Floats:
    """Value noise: cells blended with smooth steps."""
    fu, fv = u - np.floor(u), v - np.floor(v)
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    low = noise(u, v, salt) * (1 - fu) + noise(u + 1, v, salt) * fu
    high = noise(u, v + 1, salt) * (1 - fu) + noise(u + 1, v + 1, salt) * fu
    return np.asarray(low * (1 - fv) + high * fv)


def _mix(first: Floats, second: Floats, share: Floats) -> Floats:
    return np.asarray((first + (second - first) * np.clip(share, 0, 1)[:, None]).astype(np.float32))


def boards(rng: np.random.Generator, base: Floats) -> Paint:
    """Floor boards or parquet: strips with staggered joints, each of its own shade."""
    wide, long, salt = rng.uniform(0.07, 0.2), rng.uniform(0.6, 1.6), int(rng.integers(1 << 20))
    dark, contrast, flip = base * rng.uniform(0.55, 0.75), rng.uniform(0.25, 0.8), rng.random() < 0.5

    def paint(u: Floats, v: Floats) -> Floats:
        u, v = (v, u) if flip else (u, v)
        row = v / wide
        along = u / long + noise(np.zeros_like(u), row, salt)
        shade = contrast * noise(along, row, salt + 1) + 0.3 * smooth_noise(u * 5, v * 60, salt)
        seam = ((row % 1) < 0.05) | ((along % 1) < 0.02)
        return _mix(base, dark, shade + 0.7 * seam)

    return paint


def tiles(rng: np.random.Generator, base: Floats) -> Paint:
    """Square tiles with grout, plain or as a chequerboard."""
    side, grout = rng.uniform(0.15, 0.6), rng.uniform(0.015, 0.05)
    other = base * rng.uniform(0.35, 0.95) + rng.uniform(0, 25, 3)
    joint, salt, chequer = base * rng.uniform(0.5, 1.2), int(rng.integers(1 << 20)), rng.random() < 0.5

    def paint(u: Floats, v: Floats) -> Floats:
        a, b = u / side, v / side
        share = (np.floor(a) + np.floor(b)) % 2 if chequer else noise(a, b, salt) * 0.7
        colours = _mix(base, other, share + 0.15 * smooth_noise(u * 9, v * 9, salt))
        return np.where((((a % 1) < grout) | ((b % 1) < grout))[:, None], joint, colours).astype(np.float32)

    return paint


def bricks(rng: np.random.Generator, base: Floats) -> Paint:
    """Bricks or wall tiles in running bond."""
    long, high = rng.uniform(0.18, 0.4), rng.uniform(0.06, 0.14)
    joint, dark, salt = base * rng.uniform(0.6, 1.3), base * 0.6, int(rng.integers(1 << 20))

    def paint(u: Floats, v: Floats) -> Floats:
        row = v / high
        along = u / long + 0.5 * (np.floor(row) % 2)
        colours = _mix(base, dark, 0.9 * noise(along, row, salt) + 0.2 * smooth_noise(u * 30, v * 30, salt))
        return np.where((((row % 1) < 0.1) | ((along % 1) < 0.05))[:, None], joint, colours).astype(np.float32)

    return paint


def stripes(rng: np.random.Generator, base: Floats) -> Paint:
    """Striped wallpaper or panelling."""
    pitch, wide = rng.uniform(0.08, 0.4), rng.uniform(0.1, 0.6)
    other = np.clip(base * rng.uniform(0.6, 1.25) + rng.uniform(-20, 20, 3), 0, 255).astype(np.float32)

    def paint(u: Floats, v: Floats) -> Floats:
        return _mix(base, other, ((u / pitch) % 1 < wide).astype(np.float32))

    return paint


def pattern(rng: np.random.Generator, base: Floats) -> Paint:
    """Wallpaper with staggered medallions."""
    pitch, size = rng.uniform(0.12, 0.35), rng.uniform(0.2, 0.4)
    other = np.clip(base * rng.uniform(0.55, 1.3), 0, 255).astype(np.float32)
    petals, depth = int(rng.integers(3, 7)), rng.uniform(0.0, 0.5)

    def paint(u: Floats, v: Floats) -> Floats:
        row = np.floor(v / pitch)
        a, b = (u / pitch + 0.5 * (row % 2)) % 1 - 0.5, (v / pitch) % 1 - 0.5
        edge = size * (1 + depth * np.cos(petals * np.arctan2(b, a)))
        return _mix(base, other, np.clip((edge - np.hypot(a, b)) * 12, 0, 1))

    return paint


def plaster(rng: np.random.Generator, base: Floats) -> Paint:
    """Paint or plaster with soft stains."""
    scale, depth, salt = rng.uniform(0.8, 4), rng.uniform(0.05, 0.35), int(rng.integers(1 << 20))
    dark = base * 0.7

    def paint(u: Floats, v: Floats) -> Floats:
        stain = smooth_noise(u * scale, v * scale, salt) + 0.5 * smooth_noise(u * scale * 4, v * scale * 4, salt)
        return _mix(base, dark, depth * stain)

    return paint


def carpet(rng: np.random.Generator, base: Floats) -> Paint:
    """Fitted carpet: fine speckle."""
    salt, depth, dark = int(rng.integers(1 << 20)), rng.uniform(0.2, 0.6), base * 0.6

    def paint(u: Floats, v: Floats) -> Floats:
        return _mix(base, dark, depth * noise(u * 90, v * 90, salt) + 0.25 * smooth_noise(u * 3, v * 3, salt))

    return paint


FLOORS = (boards, boards, tiles, tiles, carpet)
WALLS = (plaster, plaster, plaster, stripes, pattern, bricks)
