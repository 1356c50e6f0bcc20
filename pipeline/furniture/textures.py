"""Small tileable pictures: wood grain, weave, checks, stripes, dots, melange, marble.

Each is a function of a generator and colours and returns (S, S, 4) sRGB uint8; columns run
along u, the grain.  All waves have whole periods, so the pictures repeat without a seam.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from pipeline.conventions import Array, Floats, Image

Colour = tuple[int, int, int]
SIZE_PX = 128


@functools.cache
def _uv() -> tuple[Floats, Floats]:
    """u along columns, v along rows, in [0, 1)."""
    axis = (np.arange(SIZE_PX) + 0.5) / SIZE_PX
    return axis[None, :], axis[:, None]


def _wave(rng: np.random.Generator, at: Floats, periods: int) -> Floats:
    return np.sin(2 * np.pi * (periods * at + rng.random()))


def _paint(base: Colour, other: Colour, share: Float[Array, ...], noise: Floats | float = 0.0) -> Image:
    """Blend two colours by `share` in [0, 1] and add `noise` in sRGB steps."""
    share = np.clip(np.broadcast_to(share, (SIZE_PX, SIZE_PX)), 0, 1)[..., None]
    rgb = (
        np.asarray(base) * (1 - share)
        + np.asarray(other) * share
        + (noise[..., None] if isinstance(noise, np.ndarray) else noise)
    )
    picture = np.full((SIZE_PX, SIZE_PX, 4), 255, dtype=np.uint8)
    picture[..., :3] = np.clip(rgb, 0, 255)
    return picture


def _grit(rng: np.random.Generator, strength: float) -> Floats:
    return strength * rng.standard_normal((SIZE_PX, SIZE_PX))


def wood(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Grain along u: year rings bent slowly, fine streaks over them."""
    u, v = _uv()
    bend = 0.02 * _wave(rng, u, 1) + 0.008 * _wave(rng, u, 2)
    rings = _wave(rng, v + bend, int(rng.integers(3, 7))) + 0.6 * _wave(rng, v + bend, int(rng.integers(9, 16)))
    streaks = np.repeat(rng.standard_normal((SIZE_PX, 4)), SIZE_PX // 4, axis=1)
    for _ in range(2):
        streaks = (streaks + np.roll(streaks, 7, axis=1) + np.roll(streaks, -7, axis=1)) / 3
    return _paint(base, other, 0.35 + 0.22 * rings + 0.16 * streaks)


def weave(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Coarse cloth: threads over and under, of two colours."""
    u, v = _uv()
    threads = int(rng.integers(10, 17))
    over = np.floor(u * threads) + np.floor(v * threads)
    thread = np.where(over % 2 < 1, np.sin(np.pi * u * threads) ** 2, np.sin(np.pi * v * threads) ** 2)
    return _paint(other, base, 0.25 + 0.75 * np.abs(thread), _grit(rng, 5))


def checks(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """A gingham: stripes both ways, darker where they cross."""
    u, v = _uv()
    count = int(rng.integers(2, 5))
    across, down = (u * count) % 1 < 0.5, (v * count) % 1 < 0.5
    return _paint(base, other, 0.5 * across + 0.5 * down, _grit(rng, 3))


def stripes(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Stripes along u, wide and narrow."""
    _, v = _uv()
    count, wide = int(rng.integers(3, 7)), rng.uniform(0.2, 0.5)
    at = (v * count) % 1
    return _paint(base, other, ((at < wide) | (np.abs(at - (1 + wide) / 2) < 0.05)) * 0.9, _grit(rng, 4))


def dots(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Dots in a staggered grid."""
    u, v = _uv()
    count, size = 2 * int(rng.integers(2, 4)), rng.uniform(0.2, 0.33)
    row = np.floor(v * count)
    inside = np.hypot((u * count + 0.5 * (row % 2)) % 1 - 0.5, (v * count) % 1 - 0.5) < size
    return _paint(base, other, inside * 0.9, _grit(rng, 3))


def melange(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Felt or leather: cloudy speckle."""
    cloud = rng.standard_normal((SIZE_PX, SIZE_PX))
    for shift in (1, 3):
        cloud = (
            cloud + np.roll(cloud, shift, 0) + np.roll(cloud, shift, 1) + np.roll(cloud, (shift, shift), (0, 1))
        ) / 2
    return _paint(base, other, 0.4 + 0.12 * cloud)


def marble(rng: np.random.Generator, base: Colour, other: Colour) -> Image:
    """Thin dark veins on a pale stone."""
    u, v = _uv()
    bend = 0.12 * _wave(rng, u, 2) + 0.08 * _wave(rng, v, 3) + 0.05 * _wave(rng, u + v, 4)
    veins = np.abs(_wave(rng, u + v + bend, 1)) * np.abs(_wave(rng, v - u + 2 * bend, 1))
    return _paint(base, other, 0.75 * np.exp(-9 * veins), _grit(rng, 2))


PATTERNS: dict[str, Callable[[np.random.Generator, Colour, Colour], Image]] = {
    pattern.__name__: pattern for pattern in (wood, weave, checks, stripes, dots, melange, marble)
}
