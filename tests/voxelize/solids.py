"""Closed solids made here, with the function that says what is inside, so that truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vertices = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int64]
Mesh = tuple[Vertices, Faces]
Inside = Callable[[Vertices], npt.NDArray[np.bool_]]


def box(low: tuple[float, ...] = (-0.4, -0.3, -0.2), high: tuple[float, ...] = (0.4, 0.3, 0.2)) -> Mesh:
    """12 triangles, outward."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [[q[0], q[k], q[k + 1]] for q in quads for k in (1, 2)]
    return np.asarray(low) + corners * (np.asarray(high) - np.asarray(low)), np.array(faces, dtype=np.int64)


def sphere(radius: float = 0.45, rings: int = 24, centre: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Mesh:
    """A globe of `rings` x 2 `rings` patches, poles on y."""
    return _revolved(
        np.sin(np.linspace(0, np.pi, rings + 1)) * radius,
        -np.cos(np.linspace(0, np.pi, rings + 1)) * radius,
        2 * rings,
        centre,
    )


def cylinder(radius: float = 0.3, height: float = 0.8, sides: int = 48) -> Mesh:
    """Closed, axis on y."""
    return _revolved(np.array([0, radius, radius, 0.0]), np.array([-0.5, -0.5, 0.5, 0.5]) * height, sides, (0, 0, 0))


def torus(ring: float = 0.3, tube: float = 0.14, steps: int = 40) -> Mesh:
    """Axis on y."""
    a = np.arange(steps) / steps * 2 * np.pi
    u, v = np.meshgrid(a, a, indexing="ij")
    away = ring + tube * np.cos(v)
    vertices = np.stack([away * np.cos(u), tube * np.sin(v), away * np.sin(u)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(steps), np.arange(steps), indexing="ij")
    at = lambda di, dj: ((i + di) % steps * steps + (j + dj) % steps).reshape(-1)  # noqa: E731
    faces = np.concatenate([np.stack([at(0, 0), at(0, 1), at(1, 1)], 1), np.stack([at(0, 0), at(1, 1), at(1, 0)], 1)])
    return vertices, faces.astype(np.int64)


def _revolved(away: Vertices, heights: Vertices, sides: int, centre: tuple[float, ...]) -> Mesh:
    angle = np.arange(sides) / sides * 2 * np.pi
    rows = [np.stack([r * np.cos(angle), np.full(sides, h), r * np.sin(angle)], axis=1) for r, h in zip(away, heights)]
    faces = []
    for row in range(len(rows) - 1):
        for side in range(sides):
            a, b = row * sides + side, row * sides + (side + 1) % sides
            faces += [[a, a + sides, b + sides], [a, b + sides, b]]
    return np.concatenate(rows) + np.asarray(centre), np.array(faces, dtype=np.int64)


def joined(*meshes: Mesh) -> Mesh:
    """All in one."""
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    return (
        np.concatenate([vertices for vertices, _ in meshes]),
        np.concatenate([faces + start for (_, faces), start in zip(meshes, starts)]),
    )


def table() -> Mesh:
    """Four legs of half a voxel at 32^3 and a thin top: what robust is for."""
    legs = [box((x - 0.008, -0.45, z - 0.008), (x + 0.008, 0.3, z + 0.008)) for x in (-0.4, 0.39) for z in (-0.3, 0.29)]
    return joined(box((-0.45, 0.3, -0.35), (0.45, 0.31, 0.35)), *legs)


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Intersection over union; 1 for two empty grids."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def truth(inside: Inside, resolution: int) -> npt.NDArray[np.bool_]:
    """The voxels of the unit box whose centres are inside."""
    centres = (np.arange(resolution) + 0.5) / resolution - 0.5
    points = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1).reshape(-1, 3)
    return inside(points).reshape((resolution,) * 3)
