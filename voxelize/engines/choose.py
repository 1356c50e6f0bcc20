"""The engines by name; each turns (vertices, faces, Options) into a `Solid`."""

from __future__ import annotations

from typing import Protocol

from pipeline.conventions import Faces, Vertices
from pipeline.errors import UserError
from voxelize.engines import builtin
from voxelize.engines.builtin import Solid
from voxelize.options import Options


class Engine(Protocol):
    """What an engine offers."""

    name: str

    def voxelize(self, vertices: Vertices, faces: Faces, options: Options) -> Solid:
        """Raises Reject for a mesh that cannot be voxelized."""


class Builtin:
    """The numba engine; needs nothing else."""

    name = "builtin"

    def voxelize(self, vertices: Vertices, faces: Faces, options: Options) -> Solid:
        """See voxelize/builtin.py."""
        return builtin.voxelize(vertices, faces, options)


NAMES = ("auto", "builtin", "binvox", "open3d")


def engine(name: str, seconds: float = 600.0) -> Engine:
    """The engine called `name`; UserError with what to install where it is missing.

    seconds : after so long a program that an engine runs is ended.
    """
    if name in ("auto", "builtin"):
        return Builtin()
    if name == "binvox":
        from voxelize.engines.binvox_program import BinvoxProgram

        return BinvoxProgram(seconds)
    if name == "open3d":
        from voxelize.engines.open3d import Open3d

        return Open3d()
    raise UserError("unknown engine", got=name, wanted=", ".join(NAMES))
