"""Right volumes on closed solids, and right solids on nasty input, against analytic truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.errors import Reject, UserError
from tests.voxelize.solids import Mesh, box, cylinder, iou, joined, sphere, torus, truth
from voxelize.engines.builtin import Solid, voxelize
from voxelize.options import MODES, UNIT_BOX_BOUNDS, Options, memory_bytes


def made(mesh: Mesh, mode: str, resolution: int = 32) -> Solid:
    return voxelize(*mesh, Options(resolution=resolution, mode=mode, box=UNIT_BOX_BOUNDS))


# What the flat sides of a round mesh cut off at most, as a share of its radius: 1 - cos(pi / 64)^2 is .0024.
CUT = 0.003
SHAPES = {
    "box": (box(), lambda p: (np.abs(p) <= [0.4, 0.3, 0.2]).all(axis=1)),
    "sphere": (sphere(rings=64), lambda p: (p**2).sum(axis=1) <= 0.45**2),
    "cylinder": (
        cylinder(sides=256),
        lambda p: (np.hypot(p[:, 0], p[:, 2]) <= 0.3) & (np.abs(p[:, 1]) <= 0.4),
    ),
}


def between(grid: npt.NDArray[np.bool_], least: npt.NDArray[np.bool_], most: npt.NDArray[np.bool_]) -> bool:
    """Every voxel of the smaller solid, and none outside the larger one."""
    return bool((least <= grid).all() and (grid <= most).all() and least.any() and not most.all())


@pytest.mark.parametrize("mode", ["binvox", "carve", "vote", "robust"])
@pytest.mark.parametrize("name", SHAPES)
def test_convex_solids_are_the_analytic_ones(name: str, mode: str) -> None:
    mesh, inside = SHAPES[name]
    for resolution in (32, 64):
        grid = made(mesh, mode, resolution).grid
        least, most = (
            truth(lambda p: inside(p * (1 + CUT)), resolution),
            truth(lambda p: inside(p * (1 - 1e-9)), resolution),
        )
        assert between(grid, least, most)


@pytest.mark.parametrize("mode", ["binvox", "vote", "robust"])
def test_a_torus_keeps_its_hole(mode: str) -> None:
    grid = made(torus(steps=128), mode, 64).grid

    def solid(tube: float) -> npt.NDArray[np.bool_]:
        return truth(lambda p: (np.hypot(p[:, 0], p[:, 2]) - 0.3) ** 2 + p[:, 1] ** 2 <= tube**2, 64)

    # The ring of 128 corners is cut off like the tube, by a share of the larger radius.
    assert between(grid, solid(0.14 - CUT * 0.44), solid(0.14 + CUT * 0.44))


def test_odd_sizes_and_one_voxel() -> None:
    assert made(box(), "binvox", 1).grid.tolist() == [[[True]]]
    mesh, inside = SHAPES["sphere"]
    grid = made(mesh, "binvox", 33).grid
    assert between(grid, truth(lambda p: inside(p * (1 + CUT)), 33), truth(inside, 33))


def nasty(name: str) -> tuple[Mesh, float]:
    """A damaged sphere (or two solids), and the least IoU that binvox's default reaches on it."""
    rng = np.random.default_rng(5)
    vertices, faces = sphere(rings=48)
    if name == "every face doubled":
        return (vertices, np.concatenate([faces, faces])), 1.0
    if name == "every face doubled and flipped":
        return (vertices, np.concatenate([faces, faces[:, ::-1]])), 1.0
    if name == "half the faces flipped":
        flip = rng.random(len(faces)) < 0.5
        return (vertices, np.where(flip[:, None], faces[:, ::-1], faces)), 1.0
    if name == "a sphere inside":
        return joined((vertices, faces), sphere(0.3)), 1.0
    if name == "10 % of the faces missing":
        return (vertices, faces[rng.random(len(faces)) > 0.1]), 0.99
    if name == "unused and doubled vertices":
        return (
            np.concatenate([vertices, vertices]),
            np.where(rng.random(faces.shape) < 0.5, faces, faces + len(vertices)),
        ), 1.0
    if name == "degenerate faces":
        return (vertices, np.concatenate([faces, faces[:50, [0, 0, 1]], faces[:50, [2, 2, 2]]])), 1.0
    raise KeyError(name)


@pytest.mark.parametrize("mode", ["binvox", "robust"])
@pytest.mark.parametrize(
    "name",
    [
        "every face doubled",
        "every face doubled and flipped",
        "half the faces flipped",
        "a sphere inside",
        "10 % of the faces missing",
        "unused and doubled vertices",
        "degenerate faces",
    ],
)
def test_nasty_meshes_are_solid_all_the_same(name: str, mode: str) -> None:
    mesh, least = nasty(name)
    clean = made(sphere(rings=48), "binvox").grid
    result = made(mesh, mode)
    assert iou(result.grid, clean) >= least
    assert result.watertight == (name != "10 % of the faces missing")


@pytest.mark.parametrize("mode", ["binvox", "robust"])
def test_overlapping_solids_are_their_union(mode: str) -> None:
    first, second = box((-0.4, -0.3, -0.3), (0.1, 0.2, 0.2)), box((-0.1, -0.1, -0.1), (0.4, 0.3, 0.3))
    union = made(first, "binvox").grid | made(second, "binvox").grid
    assert iou(made(joined(first, second), mode).grid, union) >= 0.997


def test_flood_fills_what_the_surface_encloses() -> None:
    exact, flood = made(sphere(), "exact").grid, made(sphere(), "flood").grid
    assert (exact <= flood).all()
    assert flood[16, 16, 16] and not exact[16, 16, 16]
    assert not flood[0, 0, 0]


def test_what_lies_outside_the_box_is_cut() -> None:
    big = made(sphere(radius=2.0, centre=(1.9, 0, 0)), "exact")
    assert big.grid.any()
    vertices, faces = box((-9, -0.2, -0.2), (9, 0.2, 0.2))
    cut = made((vertices, faces), "exact").grid
    assert np.array_equal(cut[0], cut[31])


def test_modes_contain_what_they_extend() -> None:
    for mesh in (sphere(), torus(), box()):
        parts = {mode: made(mesh, mode).grid for mode in MODES}
        assert (parts["carve"] <= parts["binvox"]).all() and (parts["vote"] <= parts["binvox"]).all()
        assert (parts["binvox"] <= parts["robust"]).all()
        dilated = voxelize(*mesh, Options(box=UNIT_BOX_BOUNDS, dilated=True)).grid
        wires = voxelize(*mesh, Options(box=UNIT_BOX_BOUNDS, dilated=True, wireframe=True)).grid
        assert (parts["binvox"] <= dilated).all()
        assert dilated.sum() <= wires.sum()


@pytest.mark.parametrize(
    ("mesh", "reason"),
    [
        ((np.zeros((3, 3)), np.empty((0, 3), dtype=np.int64)), "no_faces"),
        ((np.zeros((3, 3)), np.array([[0, 1, 2]])), "no_extent"),
        ((np.eye(3), np.array([[0, 1, 3]])), "bad_index"),
        ((np.eye(3), np.array([[0, 1, -1]])), "bad_index"),
        ((np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "no_extent"),
        ((np.array([[0, 0, 0], [1, 0, 0], [np.inf, 1, 0]]), np.array([[0, 1, 2]])), "no_extent"),
        ((np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]])), "empty_grid"),
    ],
)
def test_meshes_that_cannot_be_voxelized_say_why(mesh: Mesh, reason: str) -> None:
    with pytest.raises(Reject) as caught:
        voxelize(*mesh, Options())
    assert caught.value.reason == reason


def test_not_a_number_inside_a_fixed_box_is_refused() -> None:
    vertices, faces = box()
    vertices[3, 1] = np.nan
    with pytest.raises(Reject, match="not_finite"):
        made((vertices, faces), "robust")


def test_a_grid_that_does_not_fit_is_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100 << 20 if name == "SC_AVPHYS_PAGES" else 1)
    with pytest.raises(UserError, match="does not fit into memory"):
        made(box(), "robust", 512)
    assert memory_bytes(Options(resolution=1024)) < 8 * 2**30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 0}, "grid size is out of range"),
        ({"resolution": 2000}, "grid size is out of range"),
        ({"mode": "magic"}, "unknown mode"),
        ({"resolution": 33, "halvings": 1}, "cannot be halved"),
        ({"halving_minimum": 9}, "-dmin is out of range"),
        ({"box": (0, 0, 0, 1, 0, 1)}, "bounding box is empty"),
        ({"box": (0, 0, 0, 1, float("nan"), 1)}, "bounding box is empty"),
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Options(**changes)  # type: ignore[arg-type]
