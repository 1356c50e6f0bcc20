"""One renderer on all the meshes, in a process of its own: ``python -m benchmarks.renderer.peers NAME``.

Prints one JSON line {"version": ..., "ms": {size: {mesh: CPU milliseconds a view}}}.  Every peer
gets the same triangles, cameras and one light, gives an RGB picture and the coverage with four
samples a pixel, and keeps what it can between views; building its scene is not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.conventions import Bools, Floats32, Image
from pipeline.meshes.mesh import Material, Mesh
from render.cameras import Camera, make_cameras
from render.lights import plain

VIEWS = 12
FACES = {"1k": 1_000, "5k": 5_000, "55k": 55_000, "70k": 70_000, "400k": 400_000}
Draw = Callable[[Camera], Any]
LIGHT = np.array([0.4, 0.8, -0.45])


def bumpy(faces: int, textured: bool = False) -> Mesh:
    """About `faces` triangles: a ball with bumps, inside a shell with windows, so that depth matters."""
    rings = max(4, round(np.sqrt(faces / 6)))
    parts = [_ball(rings, 0.28, 0.15), _ball(rings, 0.46, 0.0)]
    window = np.indices((rings, 2 * rings)).sum(axis=0) // max(rings // 6, 1) % 2 == 0
    parts[1].faces = parts[1].faces[np.concatenate([window.ravel(), window.ravel()])]
    vertices = np.concatenate([part.vertices for part in parts])
    uv = np.concatenate([part.uv for part in parts if part.uv is not None])
    material = Material()
    if textured:
        rng = np.random.default_rng(0)
        material.texture = np.concatenate(
            [rng.integers(60, 256, (512, 512, 3)), np.full((512, 512, 1), 255)],
            axis=2,
            dtype=np.uint8,
            casting="unsafe",
        )
    return Mesh(
        vertices,
        np.concatenate([parts[0].faces, parts[1].faces + len(parts[0].vertices)]),
        uv=uv * 3 if textured else None,
        materials=[material],
    )


def _ball(rings: int, radius: float, bump: float) -> Mesh:
    latitude, longitude = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings + 1), indexing="ij"
    )
    r = radius * (1 + bump * np.sin(6 * latitude) * np.sin(5 * longitude))
    points = np.stack(
        [r * np.sin(latitude) * np.cos(longitude), r * np.cos(latitude), r * np.sin(latitude) * np.sin(longitude)],
        axis=-1,
    ).reshape(-1, 3)
    number = np.arange(len(points)).reshape(rings + 1, 2 * rings + 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    uv = np.stack([longitude, latitude], axis=-1).reshape(-1, 2)
    return Mesh(points, faces.astype(np.int64), uv=uv)


def raster(mesh: Mesh) -> tuple[str, Draw]:
    from render.backends.raster import RasterBackend
    from render.scene import prepare_scene

    backend = RasterBackend(2)
    backend.load(prepare_scene(mesh))
    return f"raster {backend.version}", lambda camera: backend.render(camera, plain(camera))


def ours_opengl(mesh: Mesh) -> tuple[str, Draw]:
    """This project's pyrender backend: own shaders, 2 x 2 box filter instead of multisampling."""
    from render.backends.opengl import PyrenderBackend
    from render.scene import prepare_scene

    backend = _once("opengl", lambda: PyrenderBackend(2))
    backend.load(prepare_scene(mesh))
    return backend.version, lambda camera: backend.render(camera, plain(camera))


def pyrender(mesh: Mesh) -> tuple[str, Draw]:
    """pyrender as its documentation shows it: PBR material, 4 x multisampling, one renderer kept."""
    os.environ["PYOPENGL_PLATFORM"] = "egl"
    import pyrender as library
    import trimesh

    renderer = _once("pyrender", lambda: library.OffscreenRenderer(128, 128))
    body = library.Mesh.from_trimesh(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), smooth=True)

    def draw(camera: Camera) -> Any:
        scene = library.Scene(bg_color=np.zeros(4), ambient_light=np.full(3, 0.3))
        scene.add(body)
        K = camera.K
        scene.add(library.IntrinsicsCamera(K[0, 0], K[1, 1], K[0, 2], K[1, 2]), pose=camera.camera_to_world)
        scene.add(library.DirectionalLight(intensity=3.0), pose=camera.camera_to_world)
        renderer.viewport_width = renderer.viewport_height = camera.size_px
        return renderer.render(scene, flags=library.RenderFlags.RGBA | library.RenderFlags.SKIP_CULL_FACES)

    return f"pyrender {library.__version__}", draw


def open3d(mesh: Mesh) -> tuple[str, Draw]:
    """Open3D's ray casting scene (Embree), shaded with NumPy."""
    import open3d as library

    scene = library.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))

    def draw(camera: Camera) -> Any:
        origins, directions = rays(camera)
        hits = scene.cast_rays(library.core.Tensor(np.concatenate([origins, directions], 1)), nthreads=1)
        return resolve(np.isfinite(hits["t_hit"].numpy()), hits["primitive_normals"].numpy(), camera.size_px)

    return f"Open3D {library.__version__}", draw


def embree(mesh: Mesh) -> tuple[str, Draw]:
    """Embree through embreex and trimesh, shaded with NumPy."""
    import importlib.metadata

    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    body = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    caster = RayMeshIntersector(body)
    table = np.zeros((len(mesh.faces) + 1, 3), np.float32)
    areas = np.cross(mesh.triangles[:, 1] - mesh.triangles[:, 0], mesh.triangles[:, 2] - mesh.triangles[:, 0])
    table[:-1] = areas / np.maximum(np.linalg.norm(areas, axis=1, keepdims=True), 1e-12)

    def draw(camera: Camera) -> Any:
        origins, directions = rays(camera)
        first = caster.intersects_first(origins, directions)
        return resolve(first >= 0, table[first], camera.size_px)

    return f"embreex {importlib.metadata.version('embreex')}", draw


def vtk(mesh: Mesh) -> tuple[str, Draw]:
    """VTK off screen, 4 x multisampling."""
    import vtkmodules.all as library
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy

    data, points, cells = library.vtkPolyData(), library.vtkPoints(), library.vtkCellArray()
    points.SetData(numpy_to_vtk(mesh.vertices.astype(np.float32), deep=True))
    rows = np.concatenate([np.full((len(mesh.faces), 1), 3), mesh.faces], axis=1).astype(np.int64)
    cells.SetCells(len(rows), numpy_to_vtkIdTypeArray(rows.ravel(), deep=True))
    data.SetPoints(points)
    data.SetPolys(cells)
    mapper, actor, renderer = library.vtkPolyDataMapper(), library.vtkActor(), library.vtkRenderer()
    mapper.SetInputData(data)
    actor.SetMapper(mapper)
    renderer.AddActor(actor)
    window = library.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(4)
    window.SetAlphaBitPlanes(1)
    window.AddRenderer(renderer)

    def draw(camera: Camera) -> Any:
        window.SetSize(camera.size_px, camera.size_px)
        view = renderer.GetActiveCamera()
        pose = camera.camera_to_world
        view.SetPosition(*pose[:3, 3])
        view.SetFocalPoint(*(pose[:3, 3] - pose[:3, 2]))
        view.SetViewUp(*pose[:3, 1])
        view.SetViewAngle(camera.fov_deg)
        renderer.ResetCameraClippingRange()
        window.Render()
        buffer = library.vtkUnsignedCharArray()
        window.GetRGBACharPixelData(0, 0, camera.size_px - 1, camera.size_px - 1, 0, buffer)
        return vtk_to_numpy(buffer)

    return f"VTK {library.vtkVersion.GetVTKVersion()}, {window.GetClassName()}", draw


PEERS: dict[str, Callable[[Mesh], tuple[str, Draw]]] = {
    "raster (built in)": raster,
    "pyrender backend of this project": ours_opengl,
    "pyrender, EGL": pyrender,
    "Open3D ray casting + NumPy": open3d,
    "embreex + NumPy": embree,
    "VTK": vtk,
}
_kept: dict[str, Any] = {}


def _once(name: str, make: Callable[[], Any]) -> Any:
    if name not in _kept:
        _kept[name] = make()
    return _kept[name]


def rays(camera: Camera) -> tuple[Floats32, Floats32]:
    """Origins and directions (4 S^2, 3) of 2 x 2 samples a pixel."""
    side = camera.size_px * 2
    places = (np.arange(side) + 0.5) / 2
    columns, rows = np.meshgrid(places, places)
    K, pose = camera.K, camera.camera_to_world
    local = np.stack([(columns - K[0, 2]) / K[0, 0], -(rows - K[1, 2]) / K[1, 1], -np.ones_like(rows)], axis=-1)
    directions = (local.reshape(-1, 3) @ pose[:3, :3].T).astype(np.float32)
    return np.broadcast_to(pose[:3, 3].astype(np.float32), directions.shape), directions


def resolve(hit: Bools, normals: Floats32, size_px: int) -> Image:
    """Lambert's law on the samples that hit, then the mean of each pixel's covered samples."""
    hit = hit.reshape(-1)
    level = np.zeros(len(hit), np.float32)
    level[hit] = 0.4 + 0.55 * np.abs(normals.reshape(-1, 3)[hit] @ LIGHT.astype(np.float32))
    blocks = level.reshape(size_px, 2, size_px, 2).sum(axis=(1, 3))
    count = hit.reshape(size_px, 2, size_px, 2).sum(axis=(1, 3))
    grey = 255 * (blocks / np.maximum(count, 1)) ** (1 / 2.2)
    return np.stack([grey, grey, grey, 255 * count / 4], axis=-1).astype(np.uint8)


def main() -> int:
    """Time one peer on every mesh and size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderer.peers", description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--textured", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    times: dict[str, dict[str, float]] = {"128": {}, "256": {}}
    version = ""
    for name, faces in FACES.items():
        mesh = bumpy(faces, arguments.textured)
        version, draw = PEERS[arguments.peer](mesh)
        for size in times:
            cameras = make_cameras(
                "r2n2", seed=1, shape_id=name, views=VIEWS, size_px=int(size), vertices=mesh.vertices
            )
            draw(cameras[0])  # uploads, compiles
            views = []
            for camera in cameras:
                start = time.process_time()
                draw(camera)
                views.append(time.process_time() - start)
            times[size][name] = 1e3 * float(np.median(views))
    print(json.dumps({"version": version, "ms": times}), flush=True)
    os._exit(0)  # some libraries crash when their context is torn down


if __name__ == "__main__":
    main()
