"""`robust`: no thin part is lost, and what the surface connects stays in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.voxelizer.meshes import furniture, placed, real_meshes
from pipeline.errors import Reject
from pipeline.furniture import CATEGORIES
from tests.voxelize.solids import Mesh, box, joined, sphere, table
from voxelize.engines.builtin import voxelize
from voxelize.kernels import bits
from voxelize.kernels.components import count_parts
from voxelize.options import UNIT_BOX_BOUNDS, Options
from voxelize.quality import bounded_parts, quality


def facts(mesh: Mesh, resolution: int = 32, mode: str = "robust") -> dict[str, object]:
    solid = voxelize(*mesh, Options(resolution=resolution, mode=mode, box=UNIT_BOX_BOUNDS))
    return quality(solid, *mesh)


def recall_of_points(mesh: Mesh, grid: np.ndarray) -> float:
    """Share of random surface points with an occupied voxel no farther than one voxel."""
    rng = np.random.default_rng(0)
    corners = mesh[0][mesh[1]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = corners[rng.choice(len(corners), 4000, p=area / area.sum())]
    a, b = np.sort(rng.random((2, 4000, 1)), axis=0)
    points = (chosen[:, 0] * a + chosen[:, 1] * (b - a) + chosen[:, 2] * (1 - b) + 0.5) * len(grid)
    occupied = np.argwhere(grid)
    place = np.floor(points).astype(int)
    near = np.zeros((len(grid) + 4,) * 3, dtype=bool)
    for shift in np.ndindex(3, 3, 3):
        near[tuple((occupied + shift + 1).T)] = True
    return float(near[tuple((place + 2).T)].mean())


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_legs_thinner_than_a_voxel_survive(resolution: int) -> None:
    kept = facts(table(), resolution)
    assert (kept["thin_recall"], kept["parts"], kept["surface_parts"]) == (1.0, 1, 1)
    grid = voxelize(*table(), Options(resolution=resolution, mode="robust", box=UNIT_BOX_BOUNDS)).grid
    assert recall_of_points(table(), grid) == 1.0


def test_the_original_loses_them() -> None:
    assert float(str(facts(table(), 32, "binvox")["thin_recall"])) < 1.0


def test_a_sheet_without_thickness_survives() -> None:
    sheet = np.array([[-0.4, 0.01, -0.4], [0.4, 0.01, -0.4], [0.4, 0.01, 0.4], [-0.4, 0.01, 0.4]])
    grid = voxelize(sheet, np.array([[0, 1, 2], [0, 2, 3]]), Options(mode="robust", box=UNIT_BOX_BOUNDS)).grid
    assert (grid.sum(axis=1) <= 1).all()
    assert grid.sum() == 26 * 26


def bowl(thickness: float) -> Mesh:
    """The lower half of a hollow ball, tilted; `thickness` in unit-box sides."""
    around, down = np.meshgrid(np.linspace(0, 2 * np.pi, 49), np.linspace(np.pi / 2, np.pi, 17), indexing="ij")
    ball = np.stack([np.sin(down) * np.cos(around), np.cos(down), np.sin(down) * np.sin(around)], axis=-1)
    number = np.arange(49 * 17).reshape(49, 17)
    a, b, c, d = (number[i : 48 + i, j : 16 + j].ravel() for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    tilt = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    shells = [ball.reshape(-1, 3) * radius @ tilt.T for radius in (0.47, 0.47 - thickness)]
    return np.concatenate(shells), np.concatenate([faces, faces[:, ::-1] + number.size])


def test_a_shell_thinner_than_a_voxel_has_no_holes() -> None:
    mesh = bowl(0.12 / 32)
    grids = {
        mode: voxelize(*mesh, Options(mode=mode, box=UNIT_BOX_BOUNDS)).grid for mode in ("binvox", "exact", "robust")
    }
    labels, count = ndimage.label(grids["binvox"])
    crumbs = np.isin(labels, [k for k in range(1, count + 1) if (labels == k).sum() < 8])
    assert crumbs.sum() > 0.9 * grids["binvox"].sum() > 0, "the original leaves crumbs of this shell"
    missing = grids["exact"] & ~grids["robust"]
    assert not missing.any()


def test_thick_solids_get_nothing_added() -> None:
    for mesh in (sphere(), box()):
        plain, robust = (voxelize(*mesh, Options(mode=mode, box=UNIT_BOX_BOUNDS)).grid for mode in ("binvox", "robust"))
        assert np.array_equal(plain, robust)


def test_separate_parts_stay_separate() -> None:
    apart = joined(
        box((-0.4, -0.4, -0.4), (-0.2, -0.2, -0.2)),
        sphere(0.1, 12, (0.3, 0.3, 0.3)),
        box((0, 0.4, 0), (0.01, 0.41, 0.01)),
    )
    assert (facts(apart)["parts"], facts(apart)["surface_parts"]) == (3, 3)


def test_specks_inside_a_mesh_with_holes_are_dropped() -> None:
    vertices, faces = sphere(rings=48)
    torn = faces[np.random.default_rng(3).random(len(faces)) > 0.3]
    lost = facts((vertices, torn), mode="binvox")
    kept = facts((vertices, torn))
    assert int(str(lost["parts"])) > 1
    assert (kept["thin_recall"], kept["parts"]) == (1.0, kept["surface_parts"])


def test_parts_are_counted_like_scipy() -> None:
    rng = np.random.default_rng(1)
    for size in (5, 32, 64, 70):
        for share in (0.01, 0.05, 0.3):
            grid = rng.random((size,) * 3) < share
            _, wanted = ndimage.label(grid, np.ones((3, 3, 3)))
            words = bits.from_grid(grid)
            assert count_parts(words) == wanted
            near = np.empty_like(words)
            bits.spread(words, near)
            assert np.array_equal(bits.to_grid(near), ndimage.binary_dilation(grid, np.ones((3, 3, 3))))
            assert np.array_equal(bits.to_grid(words), grid)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_generated_shape_is_whole(category: str) -> None:
    for index in range(16):
        mesh = furniture(category, index)
        found = facts(mesh)
        assert (found["thin_recall"], found["parts"]) == (1.0, found["surface_parts"]), (category, index)
        assert wanted_parts(mesh) == found["bounded_parts"] == found["surface_parts"], (category, index)


def wanted_parts(mesh: Mesh, resolution: int = 32) -> int:
    """As many parts as the exact surface bounds, without a look at what robust made."""
    solid, surface = (
        voxelize(*mesh, Options(resolution=resolution, mode=mode, box=UNIT_BOX_BOUNDS)).grid
        if mode == "exact"
        else solid_or_nothing(mesh, resolution)
        for mode in ("binvox", "exact")
    )
    labels, _ = ndimage.label(surface | solid, np.ones((3, 3, 3)))
    return len(np.unique(labels[surface]))


def solid_or_nothing(mesh: Mesh, resolution: int) -> np.ndarray:
    try:
        return voxelize(*mesh, Options(resolution=resolution, box=UNIT_BOX_BOUNDS)).grid
    except Reject:
        return np.zeros((resolution,) * 3, dtype=bool)


@pytest.mark.parametrize("resolution", [32, 64])
def test_every_real_mesh_is_whole(shared_data: Path, resolution: int) -> None:
    other = []
    meshes = list(real_meshes(shared_data))
    for name, mesh in meshes:
        found = facts(placed(mesh), resolution)
        assert (found["thin_recall"], found["parts"]) == (1.0, found["bounded_parts"]), name
        assert found["bounded_parts"] == wanted_parts(placed(mesh), resolution), name
        if found["bounded_parts"] != found["surface_parts"]:
            other.append((Path(name).name, found["bounded_parts"], found["surface_parts"]))
    assert len(meshes) >= 25
    # The walls around a cavity are two parts of the surface, and bound one body.
    assert other == [("a_cavity.off", 1, 2)]


def test_the_solid_between_two_sheets_makes_them_one_part() -> None:
    shell = joined(sphere(0.45, 32), sphere(0.2, 32))
    found = facts(shell)
    assert (found["surface_parts"], found["bounded_parts"], found["parts"]) == (2, 1, 1)
    nothing = np.zeros((4, 4, 1), dtype=np.uint64)
    apart, bar, speck = nothing.copy(), nothing.copy(), nothing.copy()
    apart[0, 0, 0] = apart[3, 3, 0] = 1
    bar[1, 1, 0] = bar[2, 2, 0] = 1
    speck[0, 3, 0] = 8
    assert [bounded_parts(apart, solid) for solid in (nothing, bar, bar | speck)] == [2, 1, 1]
