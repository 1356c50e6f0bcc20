"""The built-in renderer against geometry and against bad meshes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import trimesh

from pipeline.errors import Reject
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.bank import composite
from pipeline.settings.render import Specular
from render.backends.raster import RasterBackend
from render.buffers import DIRECTIONAL
from render.cameras import make_cameras
from render.lights import make_lights, plain
from render.scene import prepare_scene
from tests.render.helpers import (
    WHITE,
    ball,
    calibration,
    camera,
    checkers,
    corner_pixels,
    cube,
    draw,
    square,
    unlit,
)

MESHES = {
    "cube": cube(),
    "calibration": calibration(),
    "ball": ball(),
    "textured": ball(12, material=Material(texture=checkers())),
}


@pytest.mark.parametrize("supersampling", [1, 2, 3, 4])
def test_an_unlit_white_object_on_white_is_all_white(supersampling: int) -> None:
    rgba = draw(calibration(WHITE), camera(mesh=calibration()), unlit(), supersampling).rgba
    assert (rgba[..., 3] == 255).sum() > 0
    white = np.full((64, 64, 3), 255, np.uint8)
    for space in ("srgb", "linear"):
        assert (composite(rgba, white, space) == 255).all()


def test_an_unlit_colour_comes_back_exactly() -> None:
    rgba = draw(cube(material=Material(colour=(200, 31, 7, 255))), camera(), unlit()).rgba
    assert (rgba[rgba[..., 3] > 0][:, :3] == (200, 31, 7)).all(), "soft edges have the object's colour, not a rim"


def back_project(pixels: np.ndarray, depth: np.ndarray, K: np.ndarray, camera_to_world: np.ndarray) -> np.ndarray:
    """Pixels (N, 2) as (column, row) at depths (N,) -> world points (N, 3)."""
    x = (pixels[:, 0] - K[0, 2]) / K[0, 0] * depth
    y = -(pixels[:, 1] - K[1, 2]) / K[1, 1] * depth
    return np.stack([x, y, -depth], axis=1) @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]


@pytest.mark.parametrize("name", MESHES)
def test_depth_back_projects_onto_the_mesh(name: str) -> None:
    mesh, cam = MESHES[name], camera(40, 25, mesh=MESHES[name], size_px=96)
    half_a_pixel = 0.5 * cam.distance / cam.K[0, 0]
    # With one sample a pixel it lies exactly at the pixel's centre.
    for supersampling, most in ((1, 1e-5), (2, half_a_pixel)):
        layers = draw(mesh, cam, unlit(), supersampling)
        rows, columns = np.nonzero(layers.mask)
        centres = np.stack([columns, rows], 1).astype(np.float64) + 0.5
        depth = layers.depth[layers.mask].astype(np.float64)
        points = back_project(centres, depth, cam.K, cam.camera_to_world)
        drawn = prepare_scene(mesh)
        nearest = trimesh.triangles.closest_point(drawn.vertices[drawn.faces[layers.face_ids[layers.mask]]], points)
        assert np.linalg.norm(nearest - points, axis=1).max() < most


def test_normals_face_the_camera_and_ids_name_the_face() -> None:
    mesh, cam = cube(), camera(0, 0)
    layers = draw(mesh, cam, unlit())
    centre = layers.normals[32, 32]
    assert np.allclose(centre, (0, 0, -1), atol=1e-6), "azimuth 0 sees the front, whose normal is -Z"
    corners = mesh.vertices[mesh.faces[layers.face_ids[32, 32]]]
    assert np.allclose(corners[:, 2], -0.45)
    assert (layers.face_ids[~layers.mask] == -1).all()
    assert np.isinf(layers.depth[~layers.mask]).all()


def test_winding_changes_nothing() -> None:
    mesh, cam = ball(), camera(mesh=ball())
    turned = ball()
    turned.faces = np.where((np.arange(len(mesh.faces)) % 3 == 0)[:, None], mesh.faces[:, ::-1], mesh.faces)
    doubled = ball()
    doubled.faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
    picture = draw(mesh, cam, plain(cam)).rgba.astype(int)
    for other in (turned, doubled):
        # Which of two tiny faces stands for both may change, by a level or two.
        difference = np.abs(draw(other, cam, plain(cam)).rgba - picture)
        assert difference.max() <= 4
        assert (difference > 1).mean() < 0.002


def test_a_textured_square_is_upright_unmirrored_and_perspective() -> None:
    mesh = square(Material(colour=(255, 255, 255, 255), texture=checkers(4, 16)))
    cam = camera(0, 0, 1.2, 128, mesh=mesh)
    rgba = draw(mesh, cam, unlit()).rgba
    corners = corner_pixels(mesh, cam)
    left, top = corners.min(axis=0)
    side = corners[:, 0].max() - left
    assert tuple(rgba[int(top + side / 8), int(left + side / 8), :3]) == (255, 0, 0), "the red square is top left"
    assert tuple(rgba[int(top + side / 8), int(left + side * 3 / 8), :3]) == (255, 255, 255)

    # Seen at a slant, the middle of the picture is where the middle of the square projects.
    halves = np.zeros((64, 64, 4), np.uint8) + np.array([0, 0, 0, 255], np.uint8)
    halves[:, 32:] = 255
    mesh.materials[0].texture = halves
    slant = camera(60, 0, 1.2, 128, mesh=mesh)
    row = draw(mesh, slant, unlit(), 1).rgba[64]
    bright = np.nonzero((row[:, 0] > 128) & (row[:, 3] == 255))[0]
    edge = bright.min() if bright.min() > 64 - 8 else bright.max() + 1
    assert abs(edge - 64) <= 1


def test_uv_outside_the_picture_wraps_and_nonsense_is_harmless() -> None:
    material = Material(colour=(255, 255, 255, 255), texture=checkers(2, 32))
    mesh, again = square(material), square(material)
    again.uv = mesh.uv + np.array([7.0, -3.0])
    cam = camera(0, 0, 1.2, mesh=mesh)
    assert np.array_equal(draw(mesh, cam, unlit()).rgba, draw(again, cam, unlit()).rgba)
    again.uv = np.array([[np.nan, 0], [np.inf, 1e300], [1, -np.inf], [0, 1e-320]])
    assert (draw(again, cam, unlit()).rgba[..., 3] == draw(mesh, cam, unlit()).rgba[..., 3]).all()


def test_a_fine_texture_far_away_is_grey_not_noise() -> None:
    fine = checkers(128, 2, dark=0)
    fine[:2, :2] = 255
    mesh = square(Material(colour=(255, 255, 255, 255), texture=fine))
    cam = camera(0, 0, 1.2, 64, mesh=mesh)
    rgba = draw(mesh, cam, unlit()).rgba
    inner = rgba[20:44, 20:44, 0].astype(float)
    assert inner.std() < 8
    assert 175 < inner.mean() < 200, "half of the light, which is 188 in sRGB"


def test_an_opacity_map_cuts_holes_and_an_empty_one_is_a_mistake() -> None:
    picture = np.full((32, 32, 4), 255, np.uint8)
    picture[:, 16:, 3] = 0
    mesh = square(Material(texture=picture))
    cam = camera(0, 0, 1.2, mesh=mesh)
    solid = draw(square(Material()), cam, unlit()).rgba[..., 3].astype(float).sum()
    assert draw(mesh, cam, unlit()).rgba[..., 3].sum() == pytest.approx(solid / 2, rel=0.03)
    picture[..., 3] = 0
    assert draw(square(Material(texture=picture)), cam, unlit()).rgba[..., 3].sum() == solid


@pytest.mark.parametrize("supersampling", [2, 3, 4])
@pytest.mark.parametrize("opacity", [1, 64, 128, 200, 254, 255])
def test_a_see_through_material_covers_its_share_of_every_pixel(supersampling: int, opacity: int) -> None:
    mesh = square(Material((10, 20, 30, opacity)))
    layers = draw(mesh, camera(0, 0, 1.2, mesh=mesh), unlit(), supersampling)
    samples = supersampling**2
    covered = min(max(round(opacity / 255 * samples), 1), samples)
    inner = layers.rgba[20:44, 20:44]
    assert (inner[..., 3] == (255 * covered + samples // 2) // samples).all(), "even, without a pattern"
    assert (inner[..., :3] == (10, 20, 30)).all(), "straight alpha: the colour is the glass's own"


def test_what_is_behind_glass_is_seen_through_it() -> None:
    pane, wall = square(Material((0, 0, 255, 128)), z=-0.2), square(Material((255, 0, 0, 255)), z=0.2)
    both = Mesh(
        np.concatenate([pane.vertices, wall.vertices]),
        np.concatenate([pane.faces, wall.faces + 4]),
        np.array([0, 0, 1, 1]),
        [*pane.materials, *wall.materials],
    )
    cam = camera(0, 0, 1.2, mesh=both)
    for order in (slice(None), slice(None, None, -1)):
        turned = Mesh(both.vertices, both.faces[order], both.face_material[order], both.materials)  # type: ignore[index]
        layers = draw(turned, cam, unlit())
        middle = layers.rgba[20:44, 20:44]
        assert (middle == (188, 0, 188, 255)).all(), "half of either light, and nothing of the background"
        assert np.allclose(layers.depth[20:44, 20:44], cam.distance - 0.2, atol=1e-6), "the depth is the pane's"


def test_faces_nobody_can_see_are_left_out_unless_that_is_an_exporters_mistake() -> None:
    box, ghost = Material((9, 9, 9, 255)), Material((0, 255, 0, 0))
    mesh = calibration()  # four boxes of twelve faces; the last one is the smallest
    mesh.materials, mesh.face_material = [box, ghost], (np.arange(48) >= 36).astype(np.int64)
    scene = prepare_scene(mesh)
    assert (len(scene.faces), scene.transparent_faces, scene.opaque_instead) == (36, 12, 0)
    mesh.face_material = 1 - mesh.face_material
    scene = prepare_scene(mesh)
    assert (len(scene.faces), scene.transparent_faces, scene.opaque_instead) == (48, 0, 1)
    mesh.materials = [ghost, ghost]
    assert len(prepare_scene(mesh).faces) == 48
    assert draw(mesh, camera(mesh=mesh), unlit()).rgba[..., 3].max() == 255


def test_highlights_grow_with_their_strength_and_shrink_with_their_exponent() -> None:
    light = np.zeros((1, 8), np.float32)
    light[0] = (0, 0, -1, DIRECTIONAL, 1, 1, 1, 0.5)
    mesh, cam = ball(48, material=Material((90, 90, 90, 255))), camera(0, 0)

    def looks(strength: float, shininess: int) -> npt.NDArray[np.int64]:
        settings = Specular.model_validate({"strength": strength, "shininess": shininess})
        backend = RasterBackend(2, settings)
        backend.load(prepare_scene(mesh))
        return backend.render(cam, light).rgba[..., 0].astype(np.int64)

    matt = looks(0, 32)
    assert matt.max() < 90
    for shininess in (4, 16, 64, 128):
        soft, hard = looks(0.2, shininess), looks(0.4, shininess)
        assert (hard >= soft).all() and (soft >= matt).all() and hard.max() > soft.max() > matt.max()
    wide, narrow = looks(0.4, 4) > matt, looks(0.4, 128) > matt
    assert narrow.sum() < 0.5 * wide.sum()


def test_vertex_colours_multiply_the_material() -> None:
    mesh = square(WHITE)
    mesh.vertex_colours = np.tile(np.array([[10, 200, 30, 255]], np.uint8), (4, 1))
    rgba = draw(mesh, camera(0, 0, 1.2, mesh=mesh), unlit()).rgba
    assert (rgba[rgba[..., 3] > 0][:, :3] == (10, 200, 30)).all()


def test_creases_stay_sharp_and_curves_become_smooth() -> None:
    light = np.zeros((1, 8), np.float32)
    light[0] = (0.3, 0.8, -0.52, DIRECTIONAL, 1, 1, 1, 0.9)
    box = draw(cube(), camera(20, 30), light, 1)
    assert len(np.unique(box.rgba[box.mask][:, 0])) <= 6, "three flat sides and their highlights"
    coarse, fine = draw(ball(12), camera(20, 30), light, 1), draw(ball(48), camera(20, 30), light, 1)
    both = coarse.mask & fine.mask
    assert np.abs(coarse.rgba[both].astype(int) - fine.rgba[both])[:, 0].mean() < 3


def test_inside_a_room_nothing_is_cut_by_the_near_plane() -> None:
    mesh = cube(1.0)
    cam = camera(10, 5, 0.2, 64, cut_off=True)
    layers = draw(mesh, cam, unlit())
    assert (layers.rgba[..., 3] == 255).all(), "faces that reach behind the camera still cover their part"
    assert np.isfinite(layers.depth).all()


def test_every_view_has_light_from_seeded_lamps() -> None:
    mesh = ball(12)
    for view, cam in enumerate(
        make_cameras("sphere", seed=5, shape_id="s", views=24, size_px=32, vertices=mesh.vertices)
    ):
        lights = make_lights(5, "s", view, cam)
        assert np.array_equal(lights, make_lights(5, "s", view, cam))
        rgba = draw(mesh, cam, lights).rgba
        light = rgba[rgba[..., 3] == 255][:, :3]
        assert light.mean() > 60
        assert (light == 255).all(axis=1).mean() < 0.2, "not burnt out either"


def test_supersampling_only_softens_edges() -> None:
    mesh, cam = calibration(), camera(mesh=calibration())
    pictures = [draw(mesh, cam, plain(cam), factor).rgba for factor in (1, 2, 4)]
    # A pixel whose neighbours are all full, or all empty, holds no edge: more samples leave it as it is.
    alpha = np.pad(pictures[2][..., 3], 1, mode="edge")
    around = np.stack([alpha[1 + y : 65 + y, 1 + x : 65 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    full, empty = (around == 255).all(axis=0), (around == 0).all(axis=0)
    assert full.sum() > 100 and empty.sum() > 100
    for picture in pictures:
        assert (picture[full][:, 3] == 255).all() and (picture[empty][:, 3] == 0).all()
    assert set(np.unique(pictures[0][..., 3])) == {0, 255}
    assert set(np.unique(pictures[1][..., 3])) == {0, 64, 128, 191, 255}


def broken(change: str) -> Mesh:
    mesh = cube()
    if change == "one vertex":
        mesh.vertices[0] = np.nan
    elif change == "all vertices":
        mesh.vertices[:] = np.inf
    elif change == "zero area":
        mesh.vertices[:] = 0.25
    elif change == "no faces":
        mesh.faces = mesh.faces[:0]
    elif change == "index":
        mesh.faces[3, 1] = 99
    elif change == "negative index":
        mesh.faces[3, 1] = -1
    elif change == "material":
        mesh.face_material = np.full(len(mesh.faces), 5)
    elif change == "uv rows":
        mesh.uv = np.zeros((3, 2))
    return mesh


@pytest.mark.parametrize(
    "change,reason",
    [
        ("all vertices", "not_finite"),
        ("zero area", "zero_area"),
        ("no faces", "no_faces"),
        ("index", "bad_index"),
        ("negative index", "bad_index"),
        ("material", "bad_material"),
        ("uv rows", "bad_attribute"),
    ],
)
def test_a_mesh_that_cannot_be_drawn_is_rejected_with_a_reason(change: str, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        prepare_scene(broken(change))
    assert caught.value.reason == reason


def test_a_mesh_with_one_broken_corner_is_drawn_without_its_faces() -> None:
    scene = prepare_scene(broken("one vertex"))
    assert 0 < len(scene.faces) < 12
    assert draw(scene, camera(), unlit()).mask.any()
