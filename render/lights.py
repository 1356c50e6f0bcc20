"""Seeded lights, one row each: direction or position xyz, kind, rgb, energy (see buffers.py).

Every view has a sky (ambient, brighter from above), a key light on the camera's side, and
up to two more; energies are kept so that a white wall facing the key light stays below 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from pipeline.conventions import Array
from pipeline.seeds import generator
from render.buffers import AMBIENT, DIRECTIONAL, POINT, Lights
from render.cameras import Camera

MOST_LIGHTS = 4


def plain(camera: Camera) -> Lights:
    """The same lights for every view: a sky and one light over the camera's left shoulder."""
    direction = _around(camera, 40.0, 45.0)
    return _table([(0, 1, 0, AMBIENT, 1, 1, 1, 0.5), (*direction, DIRECTIONAL, 1, 1, 1, 0.65)])


def make_lights(seed: int, shape_id: str, view: int, camera: Camera) -> Lights:
    """The lights of one view: number, direction, colour and energy."""
    rng = generator(seed, "lights", shape_id, view)
    rows: list[tuple[float, ...]] = [(0.0, 1.0, 0.0, AMBIENT, *_tint(rng), rng.uniform(0.35, 0.55))]
    rows.append(
        (*_around(camera, rng.uniform(-70, 70), rng.uniform(20, 70)), DIRECTIONAL, *_tint(rng), rng.uniform(0.45, 0.75))
    )
    if rng.random() < 0.5:  # a weaker light from the other side or from behind
        rows.append(
            (
                *_around(camera, rng.uniform(80, 280), rng.uniform(5, 60)),
                DIRECTIONAL,
                *_tint(rng),
                rng.uniform(0.1, 0.3),
            )
        )
    if rng.random() < 0.4:  # a lamp two unit boxes away
        rows.append(
            (
                *(2.0 * _around(camera, rng.uniform(-90, 90), rng.uniform(20, 80))),
                POINT,
                *_tint(rng),
                rng.uniform(0.4, 1.2),
            )
        )
    return _table(rows)


def _around(camera: Camera, azimuth_deg: float, elevation_deg: float) -> Float64[Array, " 3"]:
    """Unit vector at an azimuth relative to the camera's and an absolute elevation."""
    azimuth, elevation = np.radians([camera.azimuth_deg + azimuth_deg, elevation_deg])
    return np.array([-np.sin(azimuth) * np.cos(elevation), np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])


def _tint(rng: np.random.Generator) -> tuple[float, float, float]:
    """Between warm and cool white."""
    warmth = rng.uniform(-1, 1)
    return 1.0 + 0.06 * min(warmth, 0.0), 1.0 - 0.04 * abs(warmth), 1.0 - 0.12 * max(warmth, 0.0)


def _table(rows: list[tuple[float, ...]]) -> Lights:
    table = np.zeros((MOST_LIGHTS, 8), np.float32)
    table[: len(rows)] = rows
    return table
