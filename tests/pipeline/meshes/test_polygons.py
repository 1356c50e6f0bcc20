"""The triangulator: areas, windings and borders of convex, concave, slit and tilted polygons."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.meshes.polygons import triangulate
from pipeline.seeds import generator

Floats = npt.NDArray[np.float64]

U = [(0, 0), (3, 0), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]
ARROW = [(0, 0), (2, 1), (0, 2), (1, 1)]
SPIRAL = [(0, 0), (5, 0), (5, 5), (1, 5), (1, 2), (3, 2), (3, 3), (2, 3), (2, 4), (4, 4), (4, 1), (0, 1)]
RING = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]  # a hole behind a bridge
SLIT = [(0, 0), (4, 0), (4, 2), (2, 2), (4, 2), (4, 4), (0, 4)]  # cut from the border to the middle and back
FLAT_CORNERS = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1)]
POLYGONS = {"u": U, "arrow": ARROW, "spiral": SPIRAL, "ring": RING, "slit": SLIT, "flat corners": FLAT_CORNERS}


def area_vectors(vertices: Floats, triangles: npt.NDArray[np.int64]) -> Floats:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


def placed(flat: Floats, seed: int) -> Floats:
    """(n, 2) in the plane -> (n, 3), turned and moved."""
    rng = generator(seed, "plane")
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return np.c_[flat, np.zeros(len(flat))] @ turn + rng.uniform(-100, 100, 3)


@pytest.mark.parametrize("name", POLYGONS)
@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 11), reverse=st.booleans(), seed=st.integers(0, 2**32))
def test_triangles_have_the_polygons_area_whatever_corner_comes_first(
    name: str, first: int, reverse: bool, seed: int
) -> None:
    flat = np.roll(np.array(POLYGONS[name], float), first, axis=0)[:: -1 if reverse else 1]
    x, y = flat.T
    shoelace = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    ring = placed(flat, seed)
    triangles, polygon = triangulate(ring, np.arange(len(ring)), np.array([len(ring)]))
    parts = area_vectors(ring, triangles)
    assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(shoelace, rel=1e-9)
    # No triangle is turned against the polygon: their vectors add up without cancelling.
    assert np.linalg.norm(parts.sum(axis=0)) == pytest.approx(shoelace, rel=1e-9)
    normal = np.cross(ring - ring[0], np.roll(ring, -1, axis=0) - ring[0]).sum(axis=0)
    assert parts.sum(axis=0) @ normal > 0
    assert (polygon == 0).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), corners=st.integers(3, 40))
def test_random_stars_are_covered_once(seed: int, corners: int) -> None:
    """Corners at increasing angles and any distance make a simple polygon, mostly a concave one."""
    rng = generator(seed, "star")
    angles = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * 2 * np.pi / corners
    flat = rng.uniform(0.2, 1, (corners, 1)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if corners == 3:  # the centre need not be inside, and then it is no star
        angles = np.arange(3) * 2 * np.pi / 3
        flat = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x, y = flat.T
    ring = placed(flat, seed)
    triangles, _ = triangulate(ring, np.arange(corners), np.array([corners]))
    wanted = abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2
    assert np.linalg.norm(area_vectors(ring, triangles), axis=1).sum() == pytest.approx(wanted, rel=1e-6)


def test_polygons_of_a_file_keep_their_order_and_small_ones_give_none() -> None:
    flat = np.array([*U, (0, 0), (1, 0), (0, 1), *ARROW], float)
    vertices, counts = np.c_[flat, np.zeros(len(flat))], np.array([8, 2, 1, 0, 4])
    triangles, polygon = triangulate(vertices, np.arange(len(flat)), counts)
    assert polygon.tolist() == [0] * 6 + [4] * 2
    assert set(triangles[polygon == 0].ravel()) == set(range(8))
    assert set(triangles[polygon == 4].ravel()) == {11, 12, 13, 14}
    empty, none = triangulate(vertices, np.empty(0, np.int64), np.empty(0, np.int64))
    assert (empty.shape, none.shape) == ((0, 3), (0,))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), names=st.lists(st.sampled_from([*POLYGONS, "square"]), min_size=1, max_size=12))
def test_polygons_of_one_file_do_not_disturb_each_other(seed: int, names: list[str]) -> None:
    rng = generator(seed, "many")
    flats = [np.array({**POLYGONS, "square": [(0, 0), (1, 0), (1, 1), (0, 1)]}[name], float) for name in names]
    flats = [np.roll(flat, rng.integers(len(flat)), axis=0)[:: rng.choice([1, -1])] for flat in flats]
    vertices = np.concatenate([placed(flat, seed + number) for number, flat in enumerate(flats)])
    order = rng.permutation(len(vertices))  # corners name vertices in any order
    triangles, polygon = triangulate(vertices[order], np.argsort(order), np.array([len(flat) for flat in flats]))
    parts = area_vectors(vertices, triangles)
    wanted = [abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2 for x, y in (flat.T for flat in flats)]
    np.testing.assert_allclose(np.bincount(polygon, np.linalg.norm(parts, axis=1)), wanted, rtol=1e-9)
    owner = np.repeat(np.arange(len(flats)), [len(flat) for flat in flats])
    assert (owner[triangles] == polygon[:, None]).all() and (np.diff(polygon) >= 0).all()


def test_convex_polygons_are_fans() -> None:
    angles = np.arange(7) * 2 * np.pi / 7
    ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    triangles, _ = triangulate(ring, np.arange(7), np.array([7]))
    assert triangles.tolist() == [[0, k, k + 1] for k in range(1, 6)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
def test_places_that_are_no_numbers_do_not_stop_it(bad: float) -> None:
    ring = np.array([[0, 0, 0], [1, 0, 0], [bad, 1, 0], [0, 1, 0]])
    assert len(triangulate(ring, np.arange(4), np.array([4]))[0]) >= 1


def test_a_polygon_without_area_gives_triangles_without_area() -> None:
    ring = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 0, 0]])
    triangles, _ = triangulate(ring, np.arange(4), np.array([4]))
    assert np.abs(area_vectors(ring, triangles)).max() == 0
