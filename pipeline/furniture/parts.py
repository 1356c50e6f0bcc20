"""Solid building blocks: every part is closed, wound outwards and measured in metres.

Nearly everything is a `loft`, a stack of rings closed by two caps: boxes, boards, turned
legs, bent tubes.  Soft things are `cushion`s.  UVs are a box projection in metres along
the part's own axes, so that grain runs along a board and stays with it when it is turned.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.conventions import Array, Floats, Ints

Span = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One closed solid and the name of the material slot it is made of."""

    slot: str
    points: Float64[Array, "P 3"]  # metres
    faces: Int64[Array, "F 3"]
    side: Int64[Array, " F"]  # axis of the box projection
    grain: Float64[Array, "P 3"]  # coordinates before any turn, longest extent first; the UVs come from them

    def rotated(self, axis: str, degrees: float, pivot: Sequence[float]) -> Part:
        """Turned about an axis through `pivot`, counter-clockwise seen from the axis' tip."""
        turn = rotation(axis, degrees)
        centre = np.asarray(pivot, dtype=float)
        return replace(self, points=(self.points - centre) @ turn.T + centre)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Part:
        """Shifted by metres."""
        return replace(self, points=self.points + np.array([x, y, z]))

    def mirrored(self) -> Part:
        """Mirrored left to right (x), with the winding put right again."""
        return replace(self, points=self.points * np.array([-1.0, 1.0, 1.0]), faces=self.faces[:, ::-1])


def rotation(axis: str, degrees: float) -> Floats:
    """(3, 3) right-handed rotation about "x", "y" or "z"."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = cosine
    turn[first, second], turn[second, first] = -sine, sine
    return turn


def solid(slot: str, points: Floats, faces: Ints) -> Part:
    """A part from raw triangles; the winding is turned outwards by the sign of the volume."""
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if np.einsum("ij,ij->", corners[:, 0] - points[0], normals) < 0:
        faces = faces[:, ::-1]
    order = np.argsort(-np.ptp(points, axis=0), kind="stable")
    side = np.argmax(np.abs(normals[:, order]), axis=1)
    return Part(slot, points, faces, side, points[:, order])


def loft(slot: str, rings: Floats) -> Part:
    """A stack of (R, N, 3) rings, each star-shaped about its mean, closed at both ends."""
    count, sides, _ = rings.shape
    points, faces = rings.reshape(-1, 3), _loft_faces(count, sides)
    if sides > 4:
        points = np.concatenate([points, rings[[0, -1]].mean(axis=1)])
    return solid(slot, points, faces)


@functools.cache
def _loft_faces(count: int, sides: int) -> Ints:
    index = np.arange(count * sides).reshape(count, sides)
    low, high = index[:-1], index[1:]
    low_next, high_next = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    walls = [np.stack([low, low_next, high_next], axis=-1), np.stack([low, high_next, high], axis=-1)]
    first, last = index[0][::-1], index[-1]
    if sides == 4:
        caps = [ring[[[0, 1, 2], [0, 2, 3]]] for ring in (first, last)]
    else:
        hubs = (count * sides, count * sides + 1)
        caps = [
            np.stack([ring, np.roll(ring, -1), np.full(sides, hub)], axis=-1) for ring, hub in zip((first, last), hubs)
        ]
    return np.concatenate([block.reshape(-1, 3) for block in walls + caps])


# ---------------------------------------------------------------- outlines: (N, 2), star-shaped


def rectangle(u: Span, v: Span, radius: float = 0.0, steps: int = 3) -> Floats:
    """A rectangle, its corners cut (one step) or rounded (more) by `radius`."""
    (u0, u1), (v0, v1) = u, v
    if radius <= 0:
        return np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]], dtype=np.float64)
    radius = min(radius, 0.499 * (u1 - u0), 0.499 * (v1 - v0))
    quarter = np.radians(np.linspace(0, 90, steps + 1))
    centres = [
        (u1 - radius, v1 - radius),
        (u0 + radius, v1 - radius),
        (u0 + radius, v0 + radius),
        (u1 - radius, v0 + radius),
    ]
    return np.concatenate(
        [
            np.stack([cu + radius * np.cos(quarter + turn), cv + radius * np.sin(quarter + turn)], axis=1)
            for (cu, cv), turn in zip(centres, np.radians([0, 90, 180, 270]))
        ]
    )


def ellipse(u: Span, v: Span, sides: int = 28) -> Floats:
    """An ellipse that fills the rectangle."""
    angle = np.arange(sides) * 2 * np.pi / sides
    return np.stack(
        [(u[0] + u[1]) / 2 + (u[1] - u[0]) / 2 * np.cos(angle), (v[0] + v[1]) / 2 + (v[1] - v[0]) / 2 * np.sin(angle)],
        axis=1,
    )


def arch(u: Span, v: Span, rise: float, steps: int = 12) -> Floats:
    """A rectangle whose upper edge swells by `rise` to reach v[1] in the middle."""
    across = np.linspace(1, -1, steps + 1)
    top = np.stack([(u[0] + u[1]) / 2 + (u[1] - u[0]) / 2 * across, v[1] - rise * across**2], axis=1)
    return np.concatenate([[[u[0], v[0]], [u[1], v[0]]], top])


# ---------------------------------------------------------------- parts


def extrude(slot: str, outline: Floats, along: str, span: Span, bevel: float = 0.0) -> Part:
    """A board of an outline: (x, z) along y, (x, y) along z, (z, y) along x; edges bevelled on both faces."""
    low, high = span
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    bevel = min(bevel, 0.45 * (high - low), 0.2 * float(np.ptp(outline, axis=0).min()))
    inner = middle + (outline - middle) * (1 - 2 * bevel / np.ptp(outline, axis=0))
    levels = (
        [(inner, low), (outline, low + bevel), (outline, high - bevel), (inner, high)]
        if bevel > 0
        else [(outline, low), (outline, high)]
    )
    rings = np.empty((len(levels), len(outline), 3))
    first, second, third = {"y": (0, 2, 1), "z": (0, 1, 2), "x": (2, 1, 0)}[along]
    for ring, (shape, level) in zip(rings, levels):
        ring[:, first], ring[:, second], ring[:, third] = shape[:, 0], shape[:, 1], level
    return loft(slot, rings)


def box(slot: str, x: Span, y: Span, z: Span, bevel: float = 0.0) -> Part:
    """An axis-aligned box; `bevel` cuts all its edges."""
    bevel = min(bevel, 0.3 * (x[1] - x[0]), 0.3 * (y[1] - y[0]), 0.3 * (z[1] - z[0]))
    return extrude(slot, rectangle(x, z, bevel, steps=1), "y", y, bevel)


def frustum(
    slot: str, base: Sequence[float], top: Sequence[float], base_half: float, top_half: float, sides: int = 4
) -> Part:
    """A leg with level ends, from `base` to `top`; square (4 sides) or round; half widths in metres."""
    if sides == 4:
        ring = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    else:
        angle = np.arange(sides) * 2 * np.pi / sides
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    flat = np.stack([ring[:, 0], np.zeros(len(ring)), ring[:, 1]], axis=1)
    return loft(slot, np.stack([np.asarray(base) + flat * base_half, np.asarray(top) + flat * top_half]))


def lathe(slot: str, profile: Sequence[Span], centre: Span = (0.0, 0.0), sides: int = 16) -> Part:
    """A turned part about the vertical through (x, z) = `centre`; profile of (radius, y), bottom up."""
    angle = np.arange(sides) * 2 * np.pi / sides
    rings = [
        np.stack([centre[0] + r * np.cos(angle), np.full(sides, y), centre[1] + r * np.sin(angle)], axis=1)
        for r, y in profile
    ]
    return loft(slot, np.stack(rings))


def tube(slot: str, path: Sequence[Sequence[float]], radius: float, sides: int = 10) -> Part:
    """A round bar along a path of (K, 3) points, mitred at the bends."""
    line = np.asarray(path, dtype=float)
    steps = np.diff(line, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    tangents = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normal = np.cross(steps[0], np.eye(3)[np.argmin(np.abs(steps[0]))])
    angle = (np.arange(sides) + 0.5) * 2 * np.pi / sides
    rings = []
    for point, tangent in zip(line, tangents):
        # The frame is carried along the path, so the tube does not twist.
        normal = normal - tangent * (normal @ tangent)
        normal /= np.linalg.norm(normal)
        rings.append(
            point + radius * (np.cos(angle)[:, None] * normal + np.sin(angle)[:, None] * np.cross(tangent, normal))
        )
    return loft(slot, np.stack(rings))


def bowed(slot: str, x: Span, y: Span, z: Span, sag: float, steps: int = 8) -> Part:
    """An upright board across x, bowed backwards (+z) by `sag` in its middle."""
    across = np.linspace(-1, 1, steps + 1)
    middle, half = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    back = sag * (1 - across**2)
    corner = np.array([[y[0], z[0]], [y[1], z[0]], [y[1], z[1]], [y[0], z[1]]])
    rings = np.empty((steps + 1, 4, 3))
    rings[:, :, 0] = (middle + half * across)[:, None]
    rings[:, :, 1] = corner[:, 0]
    rings[:, :, 2] = corner[:, 1] + back[:, None]
    return loft(slot, rings)


def cushion(slot: str, x: Span, y: Span, z: Span, radius: float, bulge: float = 0.0) -> Part:
    """A box with round edges; its upper side swells by `bulge`."""
    unit, faces = _cube_grid()
    half = np.array([x[1] - x[0], y[1] - y[0], z[1] - z[0]]) / 2
    centre = np.array([x[0] + x[1], y[0] + y[1], z[0] + z[1]]) / 2
    radius = min(radius, 0.98 * float(half.min()))
    inner = half - radius
    # Grid lines at the edge, within the rounding, at its end and in the middle of each axis.
    lines = np.stack([-half, -half + 0.35 * radius, -inner, 0 * half, inner, half - 0.35 * radius, half])
    points = np.take_along_axis(lines, unit, axis=0)
    core = np.clip(points, -inner, inner)
    out = points - core
    points = core + radius * out / np.linalg.norm(out, axis=1, keepdims=True)
    swell = np.clip(1 - (points[:, 0] / half[0]) ** 2, 0, 1) * np.clip(1 - (points[:, 2] / half[2]) ** 2, 0, 1)
    points[:, 1] += bulge * swell * (points[:, 1] > 0)
    return solid(slot, points + centre, faces)


@functools.cache
def _cube_grid(lines: int = 7) -> tuple[Ints, Ints]:
    """(P, 3) grid indices on the surface of a cube and (F, 3) triangles, vertices shared."""
    u, v = (axis.ravel() for axis in np.meshgrid(np.arange(lines - 1), np.arange(lines - 1), indexing="ij"))
    quads = []
    for axis in range(3):
        for level, flip in ((0, True), (lines - 1, False)):
            corners = []
            for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
                point = np.empty((len(u), 3), dtype=np.int64)
                point[:, axis], point[:, (axis + 1) % 3], point[:, (axis + 2) % 3] = level, u + du, v + dv
                corners.append(point)
            quads.append(np.stack(corners[::-1] if flip else corners, axis=1))
    flat = np.concatenate(quads)
    points, index = np.unique(flat.reshape(-1, 3), axis=0, return_inverse=True)
    index = index.reshape(-1, 4)
    return points, np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
