"""The pinhole camera of conventions.py: where it stands, and where a point falls in its picture."""

from __future__ import annotations

import numpy as np

from pipeline.conventions import Floats, Intrinsics, Transform


def project(points: Floats, K: Intrinsics, camera_to_world: Transform) -> tuple[Floats, Floats]:
    """World points (N, 3) -> pixels (N, 2) as (column, row), and depths (N,) along the view axis.

    Pixel (row, column) covers [column, column + 1) x [row, row + 1).  Points behind the
    camera have a depth <= 0 and a meaningless pixel.
    """
    rotation, centre = camera_to_world[:3, :3], camera_to_world[:3, 3]
    local = (points - centre) @ rotation  # world to camera; the camera looks along its own -Z
    depth = -local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        column = K[0, 0] * local[:, 0] / depth + K[0, 2]
        row = -K[1, 1] * local[:, 1] / depth + K[1, 2]
    return np.stack([column, row], axis=1), depth


def look_at_origin(azimuth_deg: float, elevation_deg: float, distance: float, roll_deg: float = 0.0) -> Transform:
    """camera_to_world (4, 4) of a camera on a sphere about the origin, looking at it.

    Azimuth 0 stands at -Z (in front of the object) and grows counter-clockwise seen from
    above: azimuth 90 stands at -X, 180 at +Z, 270 at +X.
    """
    azimuth, elevation, roll = np.radians([azimuth_deg, elevation_deg, roll_deg])
    direction = np.array(
        [-np.sin(azimuth) * np.cos(elevation), np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)]
    )
    backward = direction  # the camera's own +Z points from the object to the camera
    right = np.array([-np.cos(azimuth), 0.0, np.sin(azimuth)])
    up = np.cross(backward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = c * right + s * up, -s * right + c * up, backward
    pose[:3, 3] = distance * direction
    return pose
