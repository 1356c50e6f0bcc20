"""Camera presets: where a shape is looked at from, as a function of (seed, shape id, view).

Distances are in diameters of the shape (twice its farthest vertex from the origin), so a
flat bed and a cubic table fill their pictures alike.  After that the framing rule moves the
camera back until every vertex lies inside the picture, unless the preset cuts off on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.conventions import Floats, Intrinsics, Transform
from pipeline.pictures.camera import look_at_origin, project
from pipeline.seeds import generator

# 35 mm lens on a 32 mm wide sensor, the camera of 3D-R2N2's renderings.
FOV_DEG = float(2 * np.degrees(np.arctan(16 / 35)))
FREE_BORDER = 0.04  # share of the picture's half side that stays free on each side
NEAREST = 0.05  # the camera keeps this distance from the shape, in unit-box sides
PAPER_AZIMUTHS, PAPER_ELEVATIONS = 24, (5.0, 20.0, 35.0)


@dataclass(frozen=True)
class Pose:
    """What a preset decides about one view."""

    azimuth_deg: float
    elevation_deg: float
    diameters: float  # distance from the origin to the camera, in diameters of the shape
    roll_deg: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)  # of the principal point, in picture sides
    cut_off: bool = False  # the framing rule is left out on purpose


@dataclass(frozen=True)
class Camera:
    """One pinhole camera of conventions.py with the numbers it was made from."""

    K: Intrinsics
    camera_to_world: Transform
    azimuth_deg: float
    elevation_deg: float
    distance: float  # unit-box sides
    roll_deg: float
    size_px: int
    fov_deg: float = FOV_DEG


def _ring(rng: np.random.Generator, view: int, views: int) -> Pose:
    """Even azimuths from the front, a little above; nothing random."""
    return Pose(360.0 * view / views, 20.0, 1.3)


def _r2n2(rng: np.random.Generator, view: int, views: int) -> Pose:
    """Azimuth uniform, elevation 25-30 degrees, distance 0.65-1 of 1.75 diameters (Choy et al. 2016)."""
    return Pose(rng.uniform(0, 360), rng.uniform(25, 30), 1.75 * rng.uniform(0.65, 1.0))


def _paper(rng: np.random.Generator, view: int, views: int) -> Pose:
    """24 azimuths x 3 elevations (Wu et al. 2016, section 3.2); fewer views take even azimuths and all elevations."""
    azimuth = view * PAPER_AZIMUTHS // views
    return Pose(azimuth * 360.0 / PAPER_AZIMUTHS, PAPER_ELEVATIONS[view % len(PAPER_ELEVATIONS)], 1.3)


def _sphere(rng: np.random.Generator, view: int, views: int) -> Pose:
    """Uniform on the whole sphere, also from below."""
    azimuth, elevation = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
    return Pose(azimuth, float(np.clip(elevation, -89, 89)), rng.uniform(1.25, 1.6))


def _photo(rng: np.random.Generator, view: int, views: int) -> Pose:
    """As people take pictures: wide elevation, tilt, off centre, one in ten cut off (after RenderForCNN)."""
    azimuth, elevation = rng.uniform(0, 360), float(np.clip(rng.normal(15, 12), -10, 60))
    roll = float(np.clip(rng.normal(0, 5), -15, 15))
    cut_off = bool(rng.random() < 0.1)
    diameters = rng.uniform(0.8, 1.05) if cut_off else rng.uniform(1.15, 1.7)
    return Pose(azimuth, elevation, diameters, roll, (rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)), cut_off)


PRESETS: dict[str, Callable[[np.random.Generator, int, int], Pose]] = {
    "ring": _ring,
    "r2n2": _r2n2,
    "paper": _paper,
    "sphere": _sphere,
    "photo": _photo,
}


def make_cameras(
    preset: str,
    *,
    seed: int,
    shape_id: str,
    views: int,
    size_px: int,
    vertices: Floats,  # (V, 3) those that faces use
) -> list[Camera]:
    """The cameras of one shape; view i does not depend on how the others are drawn."""
    pose_of = PRESETS[preset]
    poses = (pose_of(generator(seed, "camera", shape_id, view), view, views) for view in range(views))
    return [place_camera(pose, size_px, vertices) for pose in poses]


def place_camera(pose: Pose, size_px: int, vertices: Floats) -> Camera:
    """Put a camera at a pose, far enough away for the shape to be inside the picture."""
    diameter = 2 * float(np.linalg.norm(vertices, axis=1).max())
    distance = max(pose.diameters * diameter, NEAREST)
    if not pose.cut_off:
        distance = max(distance, fitting_distance(pose, vertices))
    focal = size_px / 2 / np.tan(np.radians(FOV_DEG) / 2)
    centre = size_px / 2
    K = np.array(
        [[focal, 0, centre + pose.shift[0] * size_px], [0, focal, centre + pose.shift[1] * size_px], [0, 0, 1.0]]
    )
    camera_to_world = look_at_origin(pose.azimuth_deg, pose.elevation_deg, distance, pose.roll_deg)
    return Camera(K, camera_to_world, pose.azimuth_deg, pose.elevation_deg, distance, pose.roll_deg, size_px)


def fitting_distance(pose: Pose, vertices: Floats) -> float:
    """The smallest distance at which every vertex is inside the picture and its free border."""
    rotation = look_at_origin(pose.azimuth_deg, pose.elevation_deg, 1.0, pose.roll_deg)[:3, :3]
    local = vertices @ rotation  # x right, y up, z towards the camera, from the origin
    half = np.tan(np.radians(FOV_DEG) / 2)
    free = [half * (1 - FREE_BORDER - 2 * abs(shift)) for shift in pose.shift]
    needed = np.maximum(np.abs(local[:, 0]) / free[0], np.abs(local[:, 1]) / free[1])
    return float((np.maximum(needed, NEAREST) + local[:, 2]).max())


def face_samples(triangles: Floats) -> tuple[Floats, Floats]:
    """Centres (F, 3) and areas (F,) of (F, 3, 3) triangles, for `truncation`."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    return (a + b + c) / 3, np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def truncation(camera: Camera, centres: Floats, areas: Floats) -> float:
    """Share of the surface, by the centres of its faces, that is outside the picture."""
    pixels, depth = project(centres, camera.K, camera.camera_to_world)
    column, row = pixels[:, 0], pixels[:, 1]
    size = camera.size_px
    outside = (depth <= 0) | (column < 0) | (row < 0) | (column >= size) | (row >= size)
    return float(areas[outside].sum() / areas.sum()) if outside.any() else 0.0
