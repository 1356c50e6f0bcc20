"""Engine `open3d`: a cross-check that shares no geometry code with the built-in engine.

Embree, by way of Open3D, casts the lines through the voxel centres and lists their hits; the
rules of carving and voting on top are the same.  `exact` is Open3D's own surface grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from pipeline.conventions import Array, Faces, Grid, Points, Vertices
from pipeline.errors import Reject, UserError
from voxelize.engines import builtin
from voxelize.engines.builtin import Solid
from voxelize.kernels import bits, frame
from voxelize.kernels.columns import solid_words
from voxelize.kernels.components import fill_inside
from voxelize.kernels.robust import add_thin_parts
from voxelize.options import Options


class Open3d:
    """Ray casting by Open3D's scene of triangles."""

    name = "open3d"

    def __init__(self) -> None:
        try:
            import open3d
        except (ImportError, OSError) as error:  # OSError: a system library of it is absent
            raise UserError(
                "the engine `open3d` does not load",
                got=str(error),
                wanted="the Python package open3d",
                do="pip install open3d (on Debian also libusb-1.0-0, libgl1, libgomp1), or use --engine builtin",
            ) from error
        self._open3d: Any = open3d

    def voxelize(self, vertices: Vertices, faces: Faces, options: Options) -> Solid:
        """Same as the built-in engine, except for -aw, which it does not have."""
        options = options.expanded()
        if options.wireframe:
            raise UserError("the engine `open3d` draws no wires", where="-aw", do="use --engine builtin")
        vertices, faces = builtin.checked(vertices, faces)
        vertices, place = builtin.laid(vertices, options)
        points = np.empty_like(vertices)
        if not frame.snap(vertices, np.asarray(place.origin), place.side, options.resolution, points):
            raise Reject("not_finite", "a vertex is not finite, or too far away from the grid")
        if options.mode in ("exact", "flood"):
            words, odd = bits.from_grid(self._surface(points, faces, options.resolution)), None
            if options.mode == "flood":
                fill_inside(words)
        else:
            words, odd = self._solid(points, faces, options)
        return builtin.finished(bits.to_grid(words), place, odd, options)

    def _solid(self, points: Points, faces: Faces, options: Options) -> tuple[bits.Words, tuple[float, float, float]]:
        size = options.resolution
        toggles = np.zeros((3, size * size, bits.words_per_column(size)), dtype=np.uint64)
        first = np.full((3, size * size), size, dtype=np.int32)
        last = np.zeros((3, size * size), dtype=np.int32)
        odd = np.zeros((3, size * size), dtype=np.uint8)
        shares = []
        for axis in range(3):
            line, depth = self._hits(points, faces, size, axis)
            inside = (depth >= 0) & (depth <= size)
            line, below = line[inside], np.floor(depth[inside] + 0.5).astype(np.int32)
            np.minimum.at(first[axis], line, below)
            np.maximum.at(last[axis], line, below)
            np.bitwise_xor.at(odd[axis], line, np.uint8(1))
            on_grid = below < size
            word, bit = below[on_grid] >> 6, (below[on_grid] & 63).astype(np.uint64)
            np.bitwise_xor.at(toggles[axis], (line[on_grid], word), np.uint64(1) << bit)
            shares.append(float(odd[axis].sum()) / max(len(np.unique(line)), 1))
        carve, vote = options.mode != "vote", options.mode != "carve"
        words: bits.Words = solid_words(toggles, first, last, odd, size, carve, vote, int(options.dilated))
        if options.mode == "robust":
            words = add_thin_parts(words, points, faces)
        return words, (shares[0], shares[1], shares[2])

    def _hits(
        self, points: Points, faces: Faces, size: int, axis: int
    ) -> tuple[Int64[Array, " N"], Float64[Array, " N"]]:
        """All hits of the lines along one axis -> number of the line, depth in voxels."""
        scene = self._open3d.t.geometry.RaycastingScene(nthreads=1)
        core = self._open3d.core
        scene.add_triangles(core.Tensor(points.astype(np.float32)), core.Tensor(faces.astype(np.uint32)))
        centres = np.arange(size, dtype=np.float32) + 0.5
        rays = np.zeros((size, size, 6), dtype=np.float32)
        rays[:, :, (axis + 1) % 3] = centres[:, None]
        rays[:, :, (axis + 2) % 3] = centres[None, :]
        rays[:, :, axis], rays[:, :, 3 + axis] = -1.0, 1.0
        found = scene.list_intersections(core.Tensor(rays.reshape(-1, 6)))
        return found["ray_ids"].numpy().astype(np.int64), found["t_hit"].numpy().astype(np.float64) - 1.0

    def _surface(self, points: Points, faces: Faces, size: int) -> Grid:
        geometry, utility = self._open3d.geometry, self._open3d.utility
        mesh = geometry.TriangleMesh(utility.Vector3dVector(points), utility.Vector3iVector(faces.astype(np.int32)))
        made = geometry.VoxelGrid.create_from_triangle_mesh_within_bounds(
            mesh, 1.0, np.zeros(3), np.full(3, float(size))
        )
        grid = np.zeros((size,) * 3, dtype=bool)
        indices = np.array([voxel.grid_index for voxel in made.get_voxels()], dtype=np.int64).reshape(-1, 3)
        indices = indices[((indices >= 0) & (indices < size)).all(axis=1)]
        grid[tuple(indices.T)] = True
        return grid
