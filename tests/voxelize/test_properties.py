"""What must not change a voxel: order, winding, scale, shift, mirror, axis cycle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.voxelize.solids import Mesh, box, joined, sphere, table, torus
from voxelize.engines.builtin import voxelize
from voxelize.options import UNIT_BOX_BOUNDS, Options

MODES = ["carve", "vote", "binvox", "robust"]


def soup(seed: int) -> Mesh:
    """Triangles anywhere, or solids with corners exactly on voxel borders and centres."""
    rng = np.random.default_rng(seed)
    kind = seed % 4
    if kind == 0:
        return rng.uniform(-0.48, 0.48, (60, 3)), rng.integers(0, 60, (40, 3))
    if kind == 1:  # on the lattice of half voxels: every tie there is
        return rng.integers(-30, 31, (40, 3)) / 64, rng.integers(0, 40, (30, 3))
    if kind == 2:
        low = rng.integers(-30, 0, 3) / 64
        return joined(box(tuple(low), tuple(low + rng.integers(1, 30, 3) / 64)), sphere(rng.uniform(0.05, 0.4), 12))
    return joined(torus(0.3, 0.1, 16), table())


def grid(mesh: Mesh, mode: str, resolution: int = 32) -> np.ndarray:
    return voxelize(*mesh, Options(resolution=resolution, mode=mode, box=UNIT_BOX_BOUNDS)).grid


def try_grid(mesh: Mesh, mode: str) -> np.ndarray:
    """An empty grid is refused; here it is as good as any."""
    from pipeline.errors import Reject

    try:
        return grid(mesh, mode)
    except Reject as reject:
        assert reject.reason == "empty_grid"
        return np.zeros((32, 32, 32), dtype=bool)


seeds = st.integers(0, 10_000)
modes = st.sampled_from(MODES)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(seeds, st.sampled_from([*MODES, "exact", "flood"]))
def test_order_of_faces_and_corners_and_winding(seed: int, mode: str) -> None:
    vertices, faces = soup(seed)
    rng = np.random.default_rng(seed)
    faces2 = faces[rng.permutation(len(faces))]
    faces2 = np.stack([np.roll(face, rng.integers(3))[:: rng.choice([-1, 1])] for face in faces2])
    renumber = rng.permutation(len(vertices))
    moved = np.empty_like(vertices)
    moved[renumber] = vertices
    assert np.array_equal(try_grid((vertices, faces), mode), try_grid((moved, renumber[faces2]), mode))


@few
@given(seeds, modes)
def test_mirror(seed: int, mode: str) -> None:
    # A sheet in the very middle of the grid lies between two voxels, and no single one is its mirror image; where
    # corners have every half voxel, sheets between others do too.
    assume(mode != "robust" or seed % 4 != 1)
    vertices, faces = soup(seed)
    assume(mode != "robust" or not (vertices[faces] == 0).all(axis=1).any())
    for axis in range(3):
        mirrored = vertices * np.where(np.arange(3) == axis, -1.0, 1.0)
        assert np.array_equal(np.flip(try_grid((vertices, faces), mode), axis), try_grid((mirrored, faces), mode))


@few
@given(seeds, modes)
def test_axis_cycle(seed: int, mode: str) -> None:
    vertices, faces = soup(seed)
    cycled = vertices[:, [1, 2, 0]]
    assert np.array_equal(try_grid((vertices, faces), mode).transpose(1, 2, 0), try_grid((cycled, faces), mode))


@few
@given(seeds, st.sampled_from(["binvox", "robust"]), st.floats(1e-3, 1e3), st.floats(-1000, 1000))
def test_scale_and_shift_of_a_fitted_mesh(seed: int, mode: str, scale: float, shift: float) -> None:
    vertices, faces = joined(soup(4 * (seed // 4)), sphere(0.3))
    plain = voxelize(vertices, faces, Options(mode=mode)).grid
    assert np.array_equal(plain, voxelize(vertices * scale + shift * scale, faces, Options(mode=mode)).grid)


def test_a_shift_by_a_thousand() -> None:
    for seed in range(8):
        vertices, faces = joined(soup(seed), sphere(0.45))
        for mode in (*MODES, "exact"):
            plain = voxelize(vertices, faces, Options(mode=mode)).grid
            assert np.array_equal(plain, voxelize(vertices + 1000, faces, Options(mode=mode)).grid), (seed, mode)


@pytest.mark.parametrize("resolution", [16, 31, 64, 65, 100, 128])
def test_sizes_that_do_not_fill_machine_words(resolution: int) -> None:
    """Mirror and axis cycle tie the words of different directions together."""
    vertices, faces = joined(torus(), table())
    for mode in ("binvox", "robust"):
        plain = grid((vertices, faces), mode, resolution)
        assert np.array_equal(plain.transpose(1, 2, 0), grid((vertices[:, [1, 2, 0]], faces), mode, resolution))
        if resolution % 2 == 0:
            assert np.array_equal(plain[:, :, ::-1], grid((vertices * [1, 1, -1], faces), mode, resolution))


def test_the_same_bytes_twice() -> None:
    first, second = (grid(soup(8), "robust") for _ in range(2))
    assert np.array_equal(first, second)
