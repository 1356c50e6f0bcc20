"""Cameras: what the presets promise, and that objects stay inside the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pictures.camera import project
from render.cameras import PRESETS, Camera, Pose, face_samples, make_cameras, place_camera, truncation
from tests.render.helpers import ball, calibration, camera, draw, unlit

NUMBERS = ("azimuth_deg", "elevation_deg", "distance", "roll_deg")


def cameras(preset: str, views: int = 12, seed: int = 1, shape_id: str = "a/b/c") -> list[Camera]:
    return make_cameras(preset, seed=seed, shape_id=shape_id, views=views, size_px=64, vertices=calibration().vertices)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_and_shape_give_the_same_cameras(preset: str) -> None:
    for one, two in zip(cameras(preset), cameras(preset), strict=True):
        assert np.array_equal(one.K, two.K)
        assert np.array_equal(one.camera_to_world, two.camera_to_world)


@pytest.mark.parametrize("preset", ["r2n2", "sphere", "photo"])
def test_random_presets_depend_on_seed_and_shape_but_not_on_how_many_views_there_are(preset: str) -> None:
    azimuths = [c.azimuth_deg for c in cameras(preset)]
    assert azimuths != [c.azimuth_deg for c in cameras(preset, seed=2)]
    assert azimuths != [c.azimuth_deg for c in cameras(preset, shape_id="a/b/d")]
    assert azimuths == [c.azimuth_deg for c in cameras(preset, views=24)][:12]


def test_ring_is_even_and_starts_in_front() -> None:
    ring = cameras("ring", 8)
    assert [c.azimuth_deg for c in ring] == [45.0 * i for i in range(8)]
    assert ring[0].camera_to_world[2, 3] < 0, "azimuth 0 stands at -Z"
    assert len({c.elevation_deg for c in ring}) == 1


def test_r2n2_keeps_its_ranges() -> None:
    views = cameras("r2n2", 200)
    assert all(25 <= c.elevation_deg <= 30 for c in views)
    assert np.histogram([c.azimuth_deg for c in views], 4, (0, 360))[0].min() > 25


def test_paper_is_24_azimuths_at_3_elevations() -> None:
    views = cameras("paper", 72)
    assert len({(c.azimuth_deg, c.elevation_deg) for c in views}) == 72
    assert len({c.azimuth_deg for c in views}) == 24
    assert len({c.elevation_deg for c in views}) == 3
    twelve = cameras("paper", 12)
    assert len({(c.azimuth_deg, c.elevation_deg) for c in twelve}) == 12
    assert len({c.elevation_deg for c in twelve}) == 3


def test_sphere_also_looks_from_below_and_photo_tilts_and_cuts_off() -> None:
    assert min(c.elevation_deg for c in cameras("sphere", 100)) < -50
    photos = cameras("photo", 200)
    assert np.std([c.roll_deg for c in photos]) > 2
    cut = [truncation(c, *face_samples(calibration().triangles)) > 0 for c in photos]
    assert 0 < sum(cut) < 60


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["ring", "r2n2", "paper", "sphere"]))
def test_every_vertex_is_inside_the_picture(seed: int, preset: str) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-0.5, 0.5, (30, 3)) * rng.uniform(0.02, 1, 3)
    for cam in make_cameras(preset, seed=seed, shape_id="x", views=6, size_px=64, vertices=vertices):
        pixels, depth = project(vertices, cam.K, cam.camera_to_world)
        assert (depth > 0).all()
        assert pixels.min() >= 0.5
        assert pixels.max() <= 63.5


def test_the_stored_numbers_rebuild_the_pose() -> None:
    for cam in cameras("photo", 20):
        azimuth, elevation, distance, roll = (getattr(cam, name) for name in NUMBERS)
        again = place_camera(Pose(azimuth, elevation, 1.0, roll, cut_off=True), 64, calibration().vertices)
        assert np.allclose(again.camera_to_world[:3, :3], cam.camera_to_world[:3, :3])
        assert np.linalg.norm(cam.camera_to_world[:3, 3]) == pytest.approx(distance)


def test_a_flipped_picture_is_the_mirrored_object_at_the_negated_azimuth() -> None:
    mesh, mirrored = calibration(), calibration()
    mirrored.vertices = mirrored.vertices * np.array([-1.0, 1.0, 1.0])
    left = draw(mesh, camera(35, 20, 2.0, mesh=mesh), unlit()).rgba[..., 3]
    right = draw(mirrored, camera(-35, 20, 2.0, mesh=mesh), unlit()).rgba[..., 3]
    assert (left[:, ::-1] != right).mean() < 0.002


def test_truncation_is_the_share_of_the_surface_outside() -> None:
    mesh = ball(32)
    assert truncation(camera(0, 0, 2.0, mesh=mesh), *face_samples(mesh.triangles)) == 0
    half = place_camera(Pose(0, 0, 2.0, shift=(0.5, 0.0), cut_off=True), 64, mesh.vertices)
    assert truncation(half, *face_samples(mesh.triangles)) == pytest.approx(0.5, abs=0.03)
