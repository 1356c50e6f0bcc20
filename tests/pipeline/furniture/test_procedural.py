"""Furniture: deterministic, varied, closed, upright, facing -Z, and never two faces on one plane."""

from __future__ import annotations

import collections
import dataclasses
import importlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import trimesh

from pipeline.errors import UserError
from pipeline.furniture import CATEGORIES, make_shape, parameters
from pipeline.furniture.assemble import separate
from pipeline.furniture.parts import Part, box, cushion, frustum, lathe, tube
from pipeline.meshes.mesh import Mesh

Floats = npt.NDArray[np.float64]


def build_parts(seed: int, category: str, index: int) -> list[Part]:
    """The closed solids of one shape, standing on y = 0, before planes are pulled apart."""
    parts: list[Part] = importlib.import_module(f"pipeline.furniture.{category}").build(
        parameters(seed, category, index)
    )
    return parts


# Words that must turn up among the first 150 shapes of a class: its structural variants.
VARIANTS = {
    "bed": {
        "form": "single double canopy bunk_left bunk_right daybed_left daybed_right",
        "head": "solid slats arch padded none",
        "foot": "none low slats",
        "under": "open drawers box",
    },
    "bookcase": {"form": "case frame stepped tapered", "doors": "none low tall", "base": "plinth feet flush"},
    "chair": {
        "base": "legs round_legs star disc sled cantilever",
        "back": "solid slats ladder round shell padded",
        "arms": "none open closed loop",
    },
    "desk": {
        "drawers": "none left right both",
        "upper": "none hutch shelf",
        "side": "legs panel frame",
        "wing": "none left right",
    },
    "sofa": {
        "form": "straight chaise_left chaise_right corner_left corner_right",
        "arms": "box sloped rolled none",
        "feet": "tapered block plinth runners",
    },
    "table": {"top": "rectangle rounded round oval", "base": "legs round_legs pedestal twin trestle panels cross"},
}


def same(first: Mesh, second: Mesh) -> bool:
    """Every number of two meshes is equal."""
    looks = zip(first.materials, second.materials, strict=True)
    return (
        np.array_equal(first.vertices, second.vertices)
        and np.array_equal(first.faces, second.faces)
        and np.array_equal(first.material_of_face, second.material_of_face)
        and first.uv is not None
        and second.uv is not None
        and np.array_equal(first.uv, second.uv)
        and all(
            a.colour == b.colour and (a.texture is b.texture is None or np.array_equal(a.texture, b.texture))  # type: ignore[arg-type]
            for a, b in looks
        )
    )


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_shape_depends_on_seed_category_and_index_alone(category: str) -> None:
    late = make_shape(3, category, 17)
    for index in range(4):
        make_shape(3, category, index)
    assert same(late, make_shape(3, category, 17))
    assert not same(late, make_shape(4, category, 17))
    assert not same(late, make_shape(3, category, 18))


def test_an_unknown_category_is_named() -> None:
    with pytest.raises(UserError, match="unknown furniture category(.|\n)*got: piano(.|\n)*wanted: bed, bookcase"):
        make_shape(1, "piano", 0)


@pytest.mark.parametrize("category", CATEGORIES)
def test_eight_parameters_and_more_vary(category: str) -> None:
    drawn = [dataclasses.asdict(parameters(1, category, index)) for index in range(60)]
    numbers = [name for name, value in drawn[0].items() if isinstance(value, float)]
    varied = [name for name in numbers if len({row[name] for row in drawn}) >= 20]
    assert len(varied) >= 8, varied
    # And geometry follows: no two shapes are alike.
    sizes = {tuple(np.ptp(make_shape(1, category, index).vertices, axis=0).round(6)) for index in range(20)}
    assert len(sizes) == 20


@pytest.mark.parametrize("category", CATEGORIES)
def test_structural_variants_turn_up(category: str) -> None:
    drawn = [dataclasses.asdict(parameters(1, category, index)) for index in range(150)]
    for name, words in VARIANTS[category].items():
        seen = collections.Counter(row[name] for row in drawn)
        assert set(seen) == set(words.split()), (name, seen)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_part_is_closed_and_wound_outwards(category: str) -> None:
    for index in range(12):
        for part in build_parts(2, category, index):
            solid = trimesh.Trimesh(part.points, part.faces, process=False)
            assert solid.is_watertight and solid.is_winding_consistent, (category, index, part.slot)
            assert solid.volume > 0


@pytest.mark.parametrize("category", CATEGORIES)
def test_meshes_are_whole_and_of_a_sensible_size(category: str) -> None:
    textured = 0
    for index in range(30):
        mesh = make_shape(1, category, index)
        assert mesh.uv is not None and len(mesh.uv) == len(mesh.vertices)
        assert np.isfinite(mesh.vertices).all() and np.isfinite(mesh.uv).all()
        assert mesh.faces.min() == 0 and mesh.faces.max() == len(mesh.vertices) - 1
        assert set(np.unique(mesh.material_of_face)) == set(range(len(mesh.materials)))
        assert 50 <= len(mesh.faces) <= 6000
        assert mesh.vertices[:, 1].min() == 0
        assert 0.35 < np.ptp(mesh.vertices, axis=0).max() < 3.6
        textured += any(material.texture is not None for material in mesh.materials)
    assert 8 <= textured <= 30


def overlaps(parts: list[Part], tolerance: float = 4e-4) -> Iterator[tuple[int, int]]:
    """Pairs of parts with faces that lie on one plane and overlap by more than a millimetre."""
    solids = []
    for part in parts:
        corners = part.points[part.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1)
        corners, normals = corners[length > 1e-10], normals[length > 1e-10] / length[length > 1e-10, None]
        solids.append((corners, normals, np.einsum("ij,ij->i", normals, corners[:, 0])))
    for first in range(len(parts)):
        for second in range(first):
            (a, na, da), (b, nb, db) = solids[first], solids[second]
            cosine = na @ nb.T
            flush = (np.abs(cosine) > 1 - 1e-5) & (np.abs(da[:, None] - np.sign(cosine) * db) < tolerance)
            if any(_cover(a[i], b[j], na[i]) for i, j in np.argwhere(flush)):
                yield first, second


def _cover(first: Floats, second: Floats, normal: Floats, margin: float = 1e-3) -> bool:
    """Two triangles of one plane overlap: no edge of either separates them."""
    keep = [axis for axis in range(3) if axis != np.argmax(np.abs(normal))]
    first, second = first[:, keep], second[:, keep]
    for triangle in (first, second):
        for corner in range(3):
            across = np.array([[0, -1], [1, 0]]) @ (triangle[(corner + 1) % 3] - triangle[corner])
            across /= max(float(np.linalg.norm(across)), 1e-12)
            one, other = first @ across, second @ across
            if min(one.max(), other.max()) - max(one.min(), other.min()) <= margin:
                return False
    return True


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_two_parts_share_a_plane(category: str) -> None:
    for index in range(6):
        parts = separate(build_parts(5, category, index))
        assert not list(overlaps(parts)), (category, index)


def test_planes_that_coincide_are_pulled_apart() -> None:
    board, leg = box("a", (0, 1), (0, 0.1), (0, 1)), box("b", (0, 0.1), (-0.5, 0.1), (0, 0.1))
    assert list(overlaps([board, leg])) == [(1, 0)]
    apart = separate([board, leg])
    assert not list(overlaps(apart))
    assert np.abs(apart[1].points - leg.points).max() < 0.002


def test_primitives_have_the_volume_of_their_formula() -> None:
    def volume(part: Part) -> float:
        return float(trimesh.Trimesh(part.points, part.faces, process=False).volume)

    assert volume(box("a", (0, 1), (0, 2), (0, 3))) == pytest.approx(6)
    assert 0 < 6 - volume(box("a", (0, 1), (0, 2), (0, 3), 0.1)) < 6 * 0.1
    # A frustum of a square pyramid: h / 3 (A + sqrt(A B) + B).
    assert volume(frustum("a", (0, 0, 0), (0.3, 2, 0), 1, 0.5)) == pytest.approx(2 / 3 * (4 + 2 + 1))
    # n-gons instead of circles: n / 2 sin(2 pi / n) r^2.
    polygon = 32 / 2 * np.sin(2 * np.pi / 32)
    assert volume(lathe("a", [(1, 0), (1, 2)], sides=32)) == pytest.approx(2 * polygon)
    assert volume(tube("a", [(0, 0, 0), (1, 1, 1)], 0.1, 32)) == pytest.approx(np.sqrt(3) * 0.01 * polygon)
    assert 7 < volume(cushion("a", (0, 2), (0, 2), (0, 2), 0.3)) < 8


def test_mirrored_and_turned_parts_stay_wound_outwards() -> None:
    part = box("a", (1, 2), (0, 1), (0, 1))
    for other in (part.mirrored(), part.rotated("y", 90, (0, 0, 0)), part.moved(x=3)):
        assert trimesh.Trimesh(other.points, other.faces, process=False).volume == pytest.approx(1)
    assert part.rotated("x", 10, (0, 0, 0)).points[:, 2].max() > 1.1  # positive about x leans backwards (+z)


def upper_part(mesh: Mesh, share: float) -> Floats:
    """Points above this share of the height."""
    height = mesh.vertices[:, 1]
    return np.compress(height > share * height.max(), mesh.vertices, axis=0)


@pytest.mark.parametrize(("category", "index_count"), [("chair", 30), ("sofa", 30)])
def test_backs_are_at_plus_z_so_that_fronts_face_minus_z(category: str, index_count: int) -> None:
    for index in range(index_count):
        mesh = make_shape(1, category, index)
        middle = (mesh.vertices[:, 2].min() + mesh.vertices[:, 2].max()) / 2
        if category == "chair" or parameters(1, category, index).form == "straight":
            assert upper_part(mesh, 0.93)[:, 2].mean() > middle


def test_the_pillows_of_a_bed_lie_at_plus_z() -> None:
    for index in range(30):
        pillows = [part for part in build_parts(1, "bed", index) if part.slot == "pillow"]
        assert pillows and all(part.points[:, 2].mean() > 0.4 for part in pillows)


def test_left_and_right_are_what_they_say() -> None:
    """Left is -x and right is +x, for drawers as for the long seat of a chaise."""
    for index in range(60):
        desk = parameters(1, "desk", index)
        if desk.drawers in ("left", "right") and not desk.slim_drawer:
            fronts = [part.points[:, 0].mean() for part in build_parts(1, "desk", index) if part.slot == "front"]
            assert all((x > 0) == (desk.drawers == "right") for x in fronts) and len(fronts) == desk.drawer_count
        sofa = parameters(1, "sofa", index)
        if sofa.form != "straight":
            points = np.concatenate([part.points for part in build_parts(1, "sofa", index)])
            foremost = points[points[:, 2] < points[:, 2].min() + 0.15]
            assert (foremost[:, 0].mean() > 0) == sofa.form.endswith("right")


def test_the_drawers_of_a_desk_and_the_doors_of_a_bookcase_face_minus_z() -> None:
    for index in range(40):
        for category, slot in (("desk", "front"), ("bookcase", "door")):
            parts = build_parts(1, category, index)
            fronts = [part.points[:, 2].mean() for part in parts if part.slot == slot]
            if fronts and getattr(parameters(1, category, index), "wing", "none") == "none":
                assert max(fronts) < 0


def test_grain_runs_along_a_board_whichever_way_it_lies() -> None:
    for spans in (((0, 2), (0, 0.1), (0, 0.3)), ((0, 0.1), (0, 2), (0, 0.3)), ((0, 0.3), (0, 0.1), (0, 2))):
        part = box("a", *spans)
        assert np.ptp(part.grain[:, 0]) == pytest.approx(2)
