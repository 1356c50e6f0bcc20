"""Does a sample's ray meet a triangle? Decided in rational numbers, for where floating point can go either way."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pipeline.conventions import Floats
from render.cameras import Camera

NEAR_AN_EDGE = 1e-6  # of a ray from an edge, as the sine of an angle: some float32 roundings
SAMPLES = 2  # along each side of a pixel


def rays(camera: Camera) -> tuple[Floats, Floats]:
    """Eye and direction (N, 3) of every sample, row by row."""
    places = (np.arange(camera.size_px * SAMPLES) + 0.5) / SAMPLES
    columns, rows = np.meshgrid(places, places)
    directions = (
        np.stack(
            [
                (columns - camera.K[0, 2]) / camera.K[0, 0],
                -(rows - camera.K[1, 2]) / camera.K[1, 1],
                -np.ones_like(rows),
            ],
            axis=-1,
        ).reshape(-1, 3)
        @ camera.camera_to_world[:3, :3].T
    )
    return np.broadcast_to(camera.camera_to_world[:3, 3], directions.shape), directions


def meets(triangles: Floats, eye: Floats, ray: Floats) -> bool:
    """Does the ray meet any of the triangles (F, 3, 3), edges included?"""
    near = np.nonzero(margins(triangles, eye, ray) > -NEAR_AN_EDGE)[0]
    return any(meets_exactly(triangles[face], eye, ray) for face in near)


def margins(triangles: Floats, eye: Floats, ray: Floats) -> Floats:
    """(F,) sine of the angle by which the ray passes inside (> 0) or outside (< 0) each triangle's nearest edge."""
    a, b, c = (triangles[:, corner] - eye for corner in range(3))
    planes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    side = np.sign(np.einsum("ij,ij->i", a, planes[:, 0]))
    lengths = np.maximum(np.linalg.norm(planes, axis=2), 1e-300) * np.linalg.norm(ray)
    return np.asarray((planes @ ray * side[:, None] / lengths).min(axis=1))


def meets_exactly(triangle: Floats, eye: Floats, ray: Floats) -> bool:
    """Does the ray meet the triangle, edges included? In rational numbers, without any rounding."""
    origin, direction = [Fraction(x) for x in eye.tolist()], [Fraction(x) for x in ray.tolist()]
    a, b, c = ([Fraction(x) - o for x, o in zip(corner, origin, strict=True)] for corner in triangle.tolist())

    def triple(u: list[Fraction], v: list[Fraction], w: list[Fraction]) -> Fraction:
        return (
            u[0] * (v[1] * w[2] - v[2] * w[1]) + u[1] * (v[2] * w[0] - v[0] * w[2]) + u[2] * (v[0] * w[1] - v[1] * w[0])
        )

    volume = triple(a, b, c)
    inside = [triple(direction, *pair) for pair in ((b, c), (c, a), (a, b))]
    return volume != 0 and all(value * volume >= 0 for value in inside)
