"""Outside [0, 1] a texture goes on as its material says: the same as a larger picture that holds it so."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.meshes.glb import read_glb, write_glb
from pipeline.meshes.mesh import Material, Wrap
from pipeline.seeds import generator
from tests.render.helpers import camera, draw, square, unlit

WAYS: tuple[Wrap, ...] = ("repeat", "clamp", "mirror")
PAD = {"repeat": "wrap", "clamp": "edge", "mirror": "symmetric"}


def picture(*, holes: bool) -> npt.NDArray[np.uint8]:
    """(6, 10, 4) unlike everywhere, so that a turned or mirrored one is another picture."""
    made = generator(3, "wrap").integers(0, 256, (6, 10, 4)).astype(np.uint8)
    made[..., 3] = np.where(made[..., 3] < 90, 0, 255) if holes else 255
    return made


@pytest.mark.parametrize(("along_u", "along_v"), list(itertools.product(WAYS, WAYS)))
@pytest.mark.parametrize("holes", [False, True])
def test_a_wrapped_texture_is_drawn_as_the_picture_that_it_stands_for(
    along_u: Wrap, along_v: Wrap, holes: bool
) -> None:
    small = picture(holes=holes)
    sides = np.pad(small, ((0, 0), (10, 10), (0, 0)), mode=PAD[along_u])
    large = np.pad(sides, ((6, 6), (0, 0), (0, 0)), mode=PAD[along_v])
    wrapped = square(Material((255,) * 4, small, wrap=(along_u, along_v)))
    wrapped.uv = 3 * wrapped.uv - 1
    baked = square(Material((255,) * 4, large))
    seen = camera(0, 0, 1.2, size_px=96, mesh=baked)
    ours, theirs = (draw(mesh, seen, unlit()).rgba for mesh in (wrapped, baked))
    assert len(np.unique(theirs.reshape(-1, 4), axis=0)) > 100
    # The large picture repeats at its outer border, where the wrapped one goes on: half a texel there may differ.
    covered = theirs[..., 3] > 0
    rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
    inner = (slice(rows[0] + 4, rows[-1] - 3), slice(columns[0] + 3, columns[-1] - 2))
    assert np.array_equal(ours[inner], theirs[inner])


@pytest.mark.parametrize("along_u", WAYS)
def test_the_wrap_goes_through_a_prepared_file(along_u: Wrap) -> None:
    mesh = square(Material((255,) * 4, picture(holes=False), wrap=(along_u, "clamp")))
    back = read_glb(write_glb(mesh))
    assert back.materials[0].wrap == (along_u, "clamp")
    assert write_glb(back) == write_glb(mesh)
