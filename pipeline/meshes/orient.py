"""The 48 ways to exchange and mirror the axes of a grid: 6 permutations times 8 flips.

The audit asks which of them makes voxels and views agree; the protocol of Wu et al. 2016 takes the best of them.
"""

from __future__ import annotations

import itertools
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Orientation: TypeAlias = tuple[tuple[int, int, int], tuple[int, int, int]]
"""For x, y, z: the axis of the grid that becomes it, and 1, or -1 where it runs backwards."""

ORIENTATIONS: tuple[Orientation, ...] = tuple(
    ((x, y, z), (along_x, along_y, along_z))
    for x, y, z in itertools.permutations(range(3))
    for along_x, along_y, along_z in itertools.product((1, -1), repeat=3)
)
IDENTITY = ORIENTATIONS[0]

Scalar = TypeVar("Scalar", bound=np.generic)


def oriented(grid: npt.NDArray[Scalar], way: Orientation) -> npt.NDArray[Scalar]:
    """A cubic grid (R, R, R) in another orientation: a view of the same memory."""
    axes, signs = way
    return grid.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
