"""What else turns triangles into an occupancy grid in Python, behind one signature: (vertices, faces, R) -> grid.

Every peer fills the unit box of pipeline/conventions.py.  Its own set-up (building its mesh
object, its tree, its scene) is part of its time, as it is for anyone who calls it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.conventions import Faces, Grid, Vertices
from pipeline.errors import Reject
from voxelize.engines.builtin import voxelize
from voxelize.options import UNIT_BOX_BOUNDS, Options


@dataclass(frozen=True)
class Peer:
    """One way to voxelize."""

    name: str
    run: Callable[[Vertices, Faces, int], Grid]
    kind: str  # solid, thin (solid and thin parts) or surface
    needs: str = "numba"
    ours: bool = False

    @property
    def missing(self) -> str:
        """Why it cannot run here; empty where it can."""
        try:
            importlib.import_module(self.needs)
        except ImportError as error:
            return str(error)
        return ""


def _ours(mode: str) -> Callable[[Vertices, Faces, int], Grid]:
    def run(vertices: Vertices, faces: Faces, size: int) -> Grid:
        return voxelize(vertices, faces, Options(resolution=size, mode=mode, box=UNIT_BOX_BOUNDS)).grid

    return run


def _centres(size: int) -> Vertices:
    """(R^3, 3) voxel centres, x slowest."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def trimesh_contains(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """Ray parity of every voxel centre; Embree where embreex is installed."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return mesh.contains(_centres(size)).reshape((size,) * 3)


def trimesh_fill(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """Subdivide until edges are shorter than a voxel, mark, fill the inside (ndimage)."""
    import trimesh

    made = trimesh.Trimesh(vertices, faces, process=False).voxelized(1 / size, method="subdivide").fill()
    grid = np.zeros((size,) * 3, dtype=bool)
    places = np.floor((made.points + 0.5) * size).astype(int)
    grid[tuple(places[((places >= 0) & (places < size)).all(axis=1)].T)] = True
    return grid


def _scene(vertices: Vertices, faces: Faces):  # type: ignore[no-untyped-def]
    open3d: Any = importlib.import_module("open3d")
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    tensor = open3d.core.Tensor
    scene.add_triangles(tensor(vertices.astype(np.float32)), tensor(faces.astype(np.uint32)))
    return scene, tensor


def open3d_occupancy(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """RaycastingScene.compute_occupancy at every voxel centre."""
    scene, tensor = _scene(vertices, faces)
    found = scene.compute_occupancy(tensor(_centres(size).astype(np.float32)), nthreads=1)
    return np.asarray(found.numpy(), dtype=bool).reshape((size,) * 3)


def open3d_carve(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """First and last hit along x, y and z, by rays from both sides: binvox's -c by ray casting."""
    scene, tensor = _scene(vertices, faces)
    axis = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    centre = np.arange(size) + 0.5
    grid = np.ones((size,) * 3, dtype=bool)
    for along in range(3):
        rays = np.zeros((2, size, size, 6), dtype=np.float32)
        rays[..., (along + 1) % 3], rays[..., (along + 2) % 3] = axis[:, None], axis[None, :]
        rays[0, ..., along], rays[0, ..., 3 + along] = -1.0, 1.0
        rays[1, ..., along], rays[1, ..., 3 + along] = 1.0, -1.0
        near, far = scene.cast_rays(tensor(rays), nthreads=1)["t_hit"].numpy()
        inside = (centre >= ((near - 0.5) * size)[..., None]) & (centre < ((1.5 - far) * size)[..., None])
        grid &= np.moveaxis(inside, (0, 1, 2), ((along + 1) % 3, (along + 2) % 3, along))
    return grid


def open3d_surface(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """VoxelGrid.create_from_triangle_mesh_within_bounds, as an array."""
    import open3d

    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    made = open3d.geometry.VoxelGrid.create_from_triangle_mesh_within_bounds(
        mesh, 1 / size, np.full(3, -0.5), np.full(3, 0.5)
    )
    grid = np.zeros((size,) * 3, dtype=bool)
    places = np.array([voxel.grid_index for voxel in made.get_voxels()]).reshape(-1, 3)
    grid[tuple(places[((places >= 0) & (places < size)).all(axis=1)].T)] = True
    return grid


def vtk_stencil(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """vtkPolyDataToImageStencil with the image's points at the voxel centres."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(vertices))
    cells = vtk.vtkCellArray()
    flat = np.insert(faces, 0, 3, axis=1).reshape(-1)
    cells.SetCells(len(faces), numpy_to_vtkIdTypeArray(flat.astype(np.int64)))
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(mesh)
    stencil.SetOutputOrigin(*[0.5 / size - 0.5] * 3)
    stencil.SetOutputSpacing(*[1 / size] * 3)
    stencil.SetOutputWholeExtent(0, size - 1, 0, size - 1, 0, size - 1)
    picture = vtk.vtkImageStencilToImage()
    picture.SetInputConnection(stencil.GetOutputPort())
    picture.SetInsideValue(1)
    picture.SetOutsideValue(0)
    picture.SetOutputScalarTypeToUnsignedChar()
    picture.Update()
    values = vtk_to_numpy(picture.GetOutput().GetPointData().GetScalars())
    return np.ascontiguousarray(values.reshape((size,) * 3).transpose(2, 1, 0)).astype(bool)


def winding_number(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """libigl's fast winding number (Barill et al. 2018) at every voxel centre, above one half."""
    import igl

    found: Vertices = igl.fast_winding_number(vertices, faces, _centres(size))
    return (found > 0.5).reshape((size,) * 3)


def pcu_surface(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """point-cloud-utils, voxelize_triangle_mesh, as an array."""
    import point_cloud_utils

    places = point_cloud_utils.voxelize_triangle_mesh(vertices, faces.astype(np.int32), 1 / size, [-0.5] * 3)
    grid = np.zeros((size,) * 3, dtype=bool)
    grid[tuple(places[((places >= 0) & (places < size)).all(axis=1)].T)] = True
    return grid


def stl_to_voxel(vertices: Vertices, faces: Faces, size: int) -> Grid:
    """stl-to-voxel's slices, with the planes and the pixels at the voxel centres."""
    from stltovoxel import slice as slices

    corners = ((vertices + 0.5) * size - 0.5)[faces]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a slice
            made = slices.mesh_to_plane(corners, (size, size, size), False)
    except Exception as error:  # a bare Exception is what it raises for a slice that it cannot close
        if str(error) != "Failed to repair mesh":
            raise
        raise Reject("not_closed", str(error)) from error
    return np.ascontiguousarray(made.transpose(2, 1, 0))


PEERS = (
    Peer("binvox default", _ours("binvox"), "solid", ours=True),
    Peer("robust", _ours("robust"), "thin", ours=True),
    Peer("-e", _ours("exact"), "surface", ours=True),
    Peer("Open3D first and last hit", open3d_carve, "solid", "open3d"),
    Peer("Open3D occupancy", open3d_occupancy, "solid", "open3d"),
    Peer("vtk stencil", vtk_stencil, "solid", "vtk"),
    Peer("trimesh contains", trimesh_contains, "solid", "trimesh"),
    Peer("trimesh subdivide + fill", trimesh_fill, "solid", "trimesh"),
    Peer("libigl fast winding number", winding_number, "solid", "igl"),
    Peer("stl-to-voxel", stl_to_voxel, "solid", "stltovoxel"),
    Peer("Open3D VoxelGrid", open3d_surface, "surface", "open3d"),
    Peer("point-cloud-utils", pcu_surface, "surface", "point_cloud_utils"),
)
