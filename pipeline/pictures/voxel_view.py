"""Pictures of a voxel grid: shaded cubes under an orthographic camera, painted back to front."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageDraw

from pipeline.conventions import Array, Grid, Transform
from pipeline.pictures.camera import look_at_origin

Colour = tuple[int, int, int]
BLUE: Colour = (86, 134, 190)
GREY: Colour = (150, 150, 150)
GREEN: Colour = (98, 158, 98)

# The six faces of a unit cube: outward axis, sign, and corner offsets in drawing order.
_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
_LIGHT = np.array([-0.35, 0.85, -0.4])


def draw_voxels(
    grid: Grid,
    size_px: int = 128,
    colour: Colour = BLUE,
    azimuth_deg: float = 35.0,
    elevation_deg: float = 25.0,
    *,
    background: str | None = "white",  # None: an RGBA picture, transparent around the shape
) -> Image.Image:
    """Picture (size_px, size_px) of an (R, R, R) grid seen from the front left."""
    scale = 3 if size_px <= 160 else 2  # painted larger and reduced: smooth edges
    large = (size_px * scale, size_px * scale)
    canvas = Image.new("RGB", large, background) if background else Image.new("RGBA", large)
    pose = look_at_origin(azimuth_deg, elevation_deg, 1.0)
    corners, shades = _visible_faces(grid, pose)
    if len(corners):
        local = corners @ pose[:3, :3]
        order = np.argsort(local[..., 2].mean(axis=1), kind="stable")  # far faces first
        # A unit box seen along its diagonal spans up to sqrt(3); 1.45 fills the picture at these angles.
        pixels = (local[..., :2] * [1, -1] / 1.45 + 0.5) * size_px * scale
        tones = (np.array(colour) * shades[order, None]).astype(int)
        edges = (tones * 0.82).astype(int)
        draw = ImageDraw.Draw(canvas)
        # Lists of Python's own numbers: a noisy grid has ten thousand faces, and Pillow takes them one by one.
        for outline, tone, edge in zip(pixels[order].reshape(-1, 8).tolist(), tones.tolist(), edges.tolist()):
            draw.polygon(outline, fill=tuple(tone), outline=tuple(edge))
    return canvas.resize((size_px, size_px), Image.Resampling.LANCZOS)


def cavalier_picture(grid: Grid) -> UInt8[Array, "_H _W"]:
    """(3 R / 2, 3 R / 2) grey, ten times as fast as `draw_voxels`, which matters while a network is trained.

    Slices are painted from the back, half a voxel apart; the front (-Z) is towards us, tops are light.
    """
    size, reach = len(grid), len(grid) // 2
    room = np.pad(grid, 1)
    inner = slice(1, -1)
    top, front = ~room[inner, 2:, inner], ~room[inner, inner, :-2]
    shade = np.where(front, 170, np.where(top, 240, 95)).astype(np.uint8)
    canvas = np.zeros((size + reach, size + reach), np.uint8)
    for z in range(size - 1, -1, -1):
        right, up = z // 2, z // 2
        place = canvas[reach - up : reach - up + size, right : right + size]
        occupied = grid[::-1, ::-1, z].T  # from the front, x runs to the left; rows run down
        place[occupied] = shade[::-1, ::-1, z].T[occupied]
    return canvas


def outer_squares(grid: Grid, axis: int, sign: int) -> Float64[Array, "N 4 3"]:
    """Corners in the unit box of the squares between a filled voxel and an empty one on its side `sign` of `axis`.

    The squares are in the order of their voxels; their windings do not tell the side.
    """
    neighbour = np.roll(np.pad(grid, 1), -sign, axis=axis)[1:-1, 1:-1, 1:-1]
    cells = np.argwhere(grid & ~neighbour)
    offsets = np.zeros((4, 3))
    offsets[:, [other for other in range(3) if other != axis]] = _SQUARE
    offsets[:, axis] = max(sign, 0)
    return np.asarray((cells[:, None, :] + offsets) / len(grid) - 0.5)


def _visible_faces(grid: Grid, pose: Transform) -> tuple[Float64[Array, "N 4 3"], Float64[Array, " N"]]:
    """Corners (N, 4, 3) in the unit box and shades (N,) of the cube faces that look at the camera."""
    corners, shades = [], []
    for axis in range(3):
        sign = 1 if pose[axis, 2] > 0 else -1
        corners.append(outer_squares(grid, axis, sign))
        normal = np.zeros(3)
        normal[axis] = sign
        shade = 0.62 + 0.38 * max(0.0, float(normal @ _LIGHT) / float(np.linalg.norm(_LIGHT)))
        # A little darker towards the ground, so that legs and seats part from each other.
        layer = np.rint((corners[-1][:, :, 1].min(axis=1) + 0.5) * len(grid)) - (axis == 1 and sign > 0)
        shades.append(shade * (0.85 + 0.15 * layer / max(len(grid) - 1, 1)))
    return np.concatenate(corners), np.concatenate(shades)
