"""The built-in engine: triangles in, occupancy grid out, as Patrick Min's binvox makes it.

``voxelize(vertices, faces, Options(resolution=32))`` -> `Solid`.  The story is told by
`voxelize`; how lines, surfaces, wires and thin parts work stands in the module of that name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pipeline.conventions import Cuboid, Faces, Grid, Points, Vertices
from pipeline.errors import Reject, UserError
from voxelize import postprocess
from voxelize.kernels import bits, frame
from voxelize.kernels.columns import cross_lines, solid_words
from voxelize.kernels.components import fill_inside
from voxelize.kernels.frame import Frame
from voxelize.kernels.robust import add_thin_parts, towards_centre
from voxelize.kernels.surface import surface_words
from voxelize.kernels.wires import draw_wires
from voxelize.options import Options, memory_bytes


@dataclass(frozen=True)
class Solid:
    """The grid, where it lies, and what the lines through it told about the mesh."""

    grid: Cuboid
    frame: Frame
    odd_lines: tuple[float, float, float] | None = None
    """Share of the lines along x, y, z that hit the surface an odd number of times; None for `exact` and `flood`."""
    size: int = 0
    """Voxels along the side of `frame`; more than the grid has where -fit has cut it. 0: the grid is whole."""
    corner: tuple[int, int, int] = (0, 0, 0)
    """Index in the whole grid of the grid's first voxel."""

    @property
    def watertight(self) -> bool | None:
        """No line enters without leaving; None where lines were not cast."""
        return None if self.odd_lines is None else not any(self.odd_lines)

    @property
    def whole(self) -> Grid:
        """(N, N, N): the grid before -fit has cut it."""
        if not self.size or self.grid.shape == (self.size,) * 3:
            return self.grid
        whole = np.zeros((self.size,) * 3, dtype=bool)
        whole[tuple(slice(start, start + n) for start, n in zip(self.corner, self.grid.shape))] = self.grid
        return whole

    @property
    def placement(self) -> tuple[tuple[float, float, float], float]:
        """The .binvox header's translate and scale."""
        pitch = self.frame.side / (self.size or max(self.grid.shape))
        x, y, z = (start + index * pitch for start, index in zip(self.frame.origin, self.corner))
        return (x, y, z), pitch * max(self.grid.shape)


def voxelize(vertices: Vertices, faces: Faces, options: Options) -> Solid:
    """Voxelize vertices (V, 3), faces (F, 3).

    Raises Reject (no_faces, bad_index, not_finite, no_extent, empty_grid) for a mesh that
    cannot be voxelized and UserError where the grid does not fit into memory.
    """
    options = options.expanded()
    _check_memory(options)
    vertices, faces = checked(vertices, faces)

    # Turn the mesh and lay the grid around it.
    vertices, place = laid(vertices, options)
    points = np.empty_like(vertices)
    if not frame.snap(vertices, np.asarray(place.origin), place.side, options.resolution, points):
        raise Reject("not_finite", "a vertex is not finite, or too far away from the grid")

    # Voxels as machine words.
    odd = None
    if options.mode in ("exact", "flood"):
        words = _surface(points, faces, options.resolution)
        if options.mode == "flood":
            fill_inside(words)
    else:
        words, odd = _solid(points, faces, options)
        if options.mode == "robust":
            words = add_thin_parts(words, points, faces)
    return finished(bits.to_grid(words), place, odd, options)


def laid(vertices: Vertices, options: Options) -> tuple[Vertices, Frame]:
    """The mesh turned as the options say, and the frame of its grid."""
    vertices = turned(vertices, options.turns_x, options.turns_z)
    return vertices, frame.boxed(options.box) if options.box else frame.fitted(vertices, centred=options.centred)


def finished(grid: Grid, place: Frame, odd: tuple[float, float, float] | None, options: Options) -> Solid:
    """-down, -ri and -fit on the plain grid; an empty result is a Reject, never a success."""
    grid = postprocess.finish(grid, options)
    if not grid.any():
        raise Reject("empty_grid", f"no voxel of {len(grid)}^3 is occupied in mode {options.mode}")
    size, corner = len(grid), (0, 0, 0)
    if options.fit:
        grid, corner = postprocess.cut(grid)
    return Solid(grid, place, odd, size, corner)


def turned(vertices: Vertices, turns_x: int, turns_z: int) -> Vertices:
    """binvox's quarter turns, first about x, then about z."""
    for _ in range(turns_x % 4):
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
    for _ in range(turns_z % 4):
        vertices = np.stack([vertices[:, 1], -vertices[:, 0], vertices[:, 2]], axis=1)
    return vertices


def surface_of(solid: Frame, vertices: Vertices, faces: Faces, resolution: int) -> Grid:
    """(R, R, R) voxels that the surface touches, in the frame of an earlier result.

    As `robust` sees it: a face exactly between two voxels belongs to the inner one.
    """
    points = np.empty_like(vertices)
    frame.snap(vertices, np.asarray(solid.origin), solid.side, resolution, points)
    return bits.to_grid(_surface(towards_centre(points, resolution), faces, resolution))


def _surface(points: Points, faces: Faces, resolution: int) -> bits.Words:
    shape = (resolution, resolution, bits.words_per_column(resolution))
    words = np.zeros(shape, dtype=np.uint64)
    surface_words(points, faces, None, words)
    return words


def _solid(points: Points, faces: Faces, options: Options) -> tuple[bits.Words, tuple[float, float, float]]:
    size = options.resolution
    toggles, first, last, odd = cross_lines(points, faces, size, size / frame.LATTICE, options.wireframe)
    hit = ((first < size) | (last > 0)).sum(axis=1)
    odd_x, odd_y, odd_z = (odd.sum(axis=1) / np.maximum(hit, 1)).tolist()
    if options.wireframe:
        draw_wires(points, faces, size, first, last)
    carve, vote = options.mode != "vote", options.mode != "carve"
    words: bits.Words = solid_words(toggles, first, last, odd, size, carve, vote, int(options.dilated))
    return words, (odd_x, odd_y, odd_z)


def checked(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The arrays as the kernels want them; Reject for faces that are absent or name no vertex."""
    # Writable ones too: read-only arrays are another type to the compiler.
    vertices = np.require(vertices, np.float64, ["C", "W"])
    faces = np.require(faces, np.int64, ["C", "W"])
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"wanted vertices (V, 3) and faces (F, 3), got {vertices.shape} and {faces.shape}")
    if len(faces) == 0:
        raise Reject("no_faces", "the mesh has no triangle")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise Reject("bad_index", f"a face names vertex {int(faces.max())} of {len(vertices)}")
    return vertices, faces


def _check_memory(options: Options) -> None:
    needed = memory_bytes(options)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else needed
    if needed > max(free, 64 << 20):
        raise UserError(
            "the grid does not fit into memory",
            where=f"-d {options.resolution}, mode {options.mode}",
            got=f"{free / 2**20:.0f} MiB free",
            wanted=f"{needed / 2**20:.0f} MiB",
            do="choose a smaller -d, or a machine with more memory",
        )
