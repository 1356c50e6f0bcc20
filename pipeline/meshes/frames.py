"""Which way objects stand and face in files of each format, applied where meshes are read and written.

    format        up   front   who says so
    .glb, .gltf   +Y   +Z      the specification, section 3.4
    .stl          +Z   -Y      custom of printers, CAD and Blender; the format says nothing
    .obj          +Y   -Z      ours; the format says nothing, and ShapeNet's files are so
    .ply, .off    +Y   -Z      ours; the formats say nothing
    the world     +Y   -Z      pipeline/conventions.py

These hold for files from elsewhere and for files that are made for elsewhere.  The .glb files in
the packs of `prepare` are the pipeline's own: they are in the world's axes.  A data set that knows
better says so (`up_axis` of a folder, `Source.to_world`), and then nothing of this table is applied.
glTF: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html#coordinate-system-and-units
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.conventions import UP_AXIS_TO_WORLD, Matrix
from pipeline.meshes.mesh import Mesh

_GLTF_TO_WORLD: Matrix = np.diag([-1.0, 1.0, -1.0])  # half a turn about the up axis
_WORLD: Matrix = UP_AXIS_TO_WORLD["y"]

# Rotations that bring a file's axes into the world's (rows are world axes).
FRAMES: dict[str, Matrix] = {
    ".glb": _GLTF_TO_WORLD,
    ".gltf": _GLTF_TO_WORLD,
    ".stl": UP_AXIS_TO_WORLD["z"],
    ".obj": _WORLD,
    ".ply": _WORLD,
    ".off": _WORLD,
}


def to_world(suffix: str) -> Matrix:
    """(3, 3) from the axes of a file with this suffix, as in ".glb", to the world's."""
    return FRAMES[suffix.lower()]


def in_frame_of(suffix: str, mesh: Mesh) -> Mesh:
    """A mesh of the world as files with this suffix hold it: the inverse of `to_world`."""
    return dataclasses.replace(mesh, vertices=mesh.vertices @ to_world(suffix))


def is_turned(suffix: str) -> bool:
    """Whether the axes of such files are not the world's."""
    return not np.array_equal(FRAMES.get(suffix.lower(), _WORLD), _WORLD)
