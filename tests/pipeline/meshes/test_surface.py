"""Surfaces of voxels and of fields are closed, manifold and wound outwards, and lie where they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.meshes.surface import level_surface, surface_of
from pipeline.seeds import generator
from tests.pipeline.meshes.solid import fault


def test_a_fault_is_found() -> None:
    mesh = surface_of(np.ones((2, 2, 2), dtype=bool))
    assert fault(mesh.vertices, mesh.faces) == ""
    assert fault(mesh.vertices, mesh.faces[:, ::-1]).startswith("a volume of -")
    assert fault(mesh.vertices, mesh.faces[1:]) == "an edge with one face"
    assert fault(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:1]])) == "an edge with two faces on one side"
    twice = np.concatenate([mesh.faces, np.where(mesh.faces > 0, mesh.faces + len(mesh.vertices), 0)])
    assert "rings" in fault(np.concatenate([mesh.vertices, mesh.vertices + 9]), twice)
    assert fault(0 * mesh.vertices, mesh.faces) == "two vertices in one place"


@pytest.mark.parametrize("number", range(1, 256))
def test_every_way_to_fill_eight_neighbours(number: int) -> None:
    grid = np.array([number >> place & 1 for place in range(8)], dtype=bool).reshape(2, 2, 2)
    mesh = surface_of(grid)
    assert fault(mesh.vertices, mesh.faces) == ""


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0.02, 0.98), side=st.integers(1, 7))
def test_random_voxels(seed: int, share: float, side: int) -> None:
    grid = generator(seed, "voxels").random((side,) * 3) < share
    grid.flat[seed % grid.size] = True
    mesh = surface_of(grid)
    assert fault(mesh.vertices, mesh.faces) == ""
    assert fault(mesh.vertices.astype(np.float32), mesh.faces) == ""
    inner = np.abs(2 * side * (mesh.vertices + 0.5) - np.rint(2 * side * (mesh.vertices + 0.5)))
    assert inner.max() < 1e-9, "vertices lie in the middle between voxels"


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    side=st.integers(1, 7),
    values=st.sampled_from(["levels", "few levels", "floats", "smooth"]),
    level=st.floats(0.01, 0.99),
)
def test_random_fields(seed: int, side: int, values: str, level: float) -> None:
    field = generator(seed, "field").random((side,) * 3)
    if values == "levels":
        field, level = np.floor(field * 256), 256 * level
    elif values == "few levels":
        field, level = np.floor(field * 4), float(np.ceil(3 * level))  # the level itself occurs among the values
    elif values == "smooth":
        field = np.abs(np.sin(3 * field.cumsum(axis=0)))
    mesh = level_surface(field, level)
    if not (field >= level).any():
        assert len(mesh.faces) == 0
        return
    assert fault(mesh.vertices, mesh.faces) == ""
    assert fault(np.round(mesh.vertices, 6), mesh.faces) == "", "as an OBJ writes them"
    # It separates what is above the level from what is below: every vertex has both beside it.
    place = (mesh.vertices + 0.5) * side - 0.5 + 1
    corners = np.stack([np.floor(place + 1e-6), np.ceil(place - 1e-6)]).astype(int)
    beside = [np.choose(np.array(which)[:, None], corners.transpose(0, 2, 1)) for which in np.ndindex(2, 2, 2)]
    above = np.stack([np.pad(field, 1)[tuple(index)] >= level for index in beside])
    assert above.any(axis=0).all() and not above.all(axis=0).any()


def test_a_ball_has_its_volume_and_lies_where_it_is() -> None:
    side = (np.arange(40) + 0.5) / 40 - 0.5
    x, y, z = np.meshgrid(side, side, side, indexing="ij")
    field = np.maximum(1 - np.sqrt((x - 0.1) ** 2 + y**2 + z**2) / 0.6, 0)
    mesh = level_surface(field, 0.5)
    t = mesh.triangles
    volume = np.einsum("ij,ij->", t[:, 0], np.cross(t[:, 1], t[:, 2])) / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.01)
    assert mesh.vertices.mean(axis=0) == pytest.approx([0.1, 0, 0], abs=1e-3)


def test_a_level_that_is_not_above_the_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="does not lie above the 0 outside"):
        level_surface(np.ones((2, 2, 2)), 0.0)
