"""The engines by name; each turns (vertices, faces, Options) into a `Solid`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from voxelize import builtin
from voxelize.builtin import Solid
from voxelize.options import Options


class Engine(Protocol):
    """What an engine offers."""

    name: str

    def voxelize(self, vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], options: Options) -> Solid:
        """Raises Reject for a mesh that cannot be voxelized."""


class Builtin:
    """The numba engine; needs nothing else."""

    name = "builtin"

    def voxelize(self, vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], options: Options) -> Solid:
        """See voxelize/builtin.py."""
        return builtin.voxelize(vertices, faces, options)


def engine(name: str) -> Engine:
    """The engine called `name`; UserError with what to install where it is missing."""
    if name in ("auto", "builtin"):
        return Builtin()
    raise UserError("unknown engine", got=name, wanted="auto, builtin, binvox or open3d")
