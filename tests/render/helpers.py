"""Small meshes, packs and projections that the tests of this room share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pipeline.conventions import Image
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.camera import project
from render.backends.raster import RasterBackend
from render.buffers import FLAT, Buffers, Lights
from render.cameras import Camera, Pose, place_camera
from render.scene import Scene, prepare_scene

WHITE = Material(colour=(255, 255, 255, 255))
_BOX_FACES = [
    (0, 1, 3),
    (0, 3, 2),
    (4, 6, 7),
    (4, 7, 5),
    (0, 4, 5),
    (0, 5, 1),
    (2, 3, 7),
    (2, 7, 6),
    (0, 2, 6),
    (0, 6, 4),
    (1, 5, 7),
    (1, 7, 3),
]


def boxes(
    *corners: tuple[tuple[float, float, float], tuple[float, float, float]], material: Material | None = None
) -> Mesh:
    """Axis-aligned boxes, each given by its lowest and highest corner."""
    vertices: list[npt.NDArray[np.float64]] = []
    faces: list[npt.NDArray[np.int64]] = []
    for low, high in corners:
        faces.append(np.array(_BOX_FACES) + 8 * len(vertices))
        ends = (low, high)
        vertices.append(
            np.array([[ends[i][0], ends[j][1], ends[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        )
    return Mesh(
        np.concatenate(vertices).astype(np.float64),
        np.concatenate(faces).astype(np.int64),
        materials=[material or Material()],
    )


def cube(side: float = 0.9, material: Material | None = None) -> Mesh:
    h = side / 2
    return boxes(((-h, -h, -h), (h, h, h)), material=material)


def calibration(material: Material | None = None) -> Mesh:
    """Equal to none of its 47 turned or mirrored selves: a long foot, a post, an arm, a knob."""
    return boxes(
        ((-0.45, -0.48, -0.2), (0.45, -0.3, 0.2)),
        ((-0.45, -0.3, -0.2), (-0.2, 0.48, 0.0)),
        ((-0.2, 0.3, -0.2), (0.2, 0.45, -0.05)),
        ((0.2, -0.3, 0.05), (0.4, -0.1, 0.2)),
        material=material,
    )


def ball(rings: int = 24, radius: float = 0.45, material: Material | None = None) -> Mesh:
    """A sphere of about 4 * rings^2 triangles, with UVs."""
    latitude, longitude = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings + 1), indexing="ij"
    )
    vertices = radius * np.stack(
        [np.sin(latitude) * np.cos(longitude), np.cos(latitude), np.sin(latitude) * np.sin(longitude)], axis=-1
    ).reshape(-1, 3)
    uv = np.stack([longitude / (2 * np.pi), 1 - latitude / np.pi], axis=-1).reshape(-1, 2)
    number = np.arange(len(vertices)).reshape(rings + 1, 2 * rings + 1)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return Mesh(vertices, faces.astype(np.int64), uv=uv, materials=[material or Material()])


def square(material: Material, uv_scale: float = 1.0, z: float = 0.0) -> Mesh:
    """A unit square facing the camera of azimuth 0, its picture upright and not mirrored."""
    vertices = np.array([[0.5, -0.5, z], [-0.5, -0.5, z], [-0.5, 0.5, z], [0.5, 0.5, z]])
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * uv_scale
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), uv=uv, materials=[material])


def checkers(squares: int = 4, px: int = 8, dark: int = 40) -> npt.NDArray[np.uint8]:
    """(squares * px, squares * px, 4) an opaque checkerboard with a red first square."""
    board = np.kron(np.indices((squares, squares)).sum(axis=0) % 2, np.ones((px, px)))
    picture = np.where(board[..., None] > 0, 255, dark).astype(np.uint8).repeat(4, axis=2)
    picture[..., 3] = 255
    picture[:px, :px] = (255, 0, 0, 255)
    return picture


def camera(
    azimuth: float = 30,
    elevation: float = 20,
    diameters: float = 1.4,
    size_px: int = 64,
    *,
    mesh: Mesh | None = None,
    roll: float = 0.0,
    cut_off: bool = False,
) -> Camera:
    vertices = cube().vertices if mesh is None else mesh.vertices
    return place_camera(Pose(azimuth, elevation, diameters, roll, cut_off=cut_off), size_px, vertices)


def unlit() -> Lights:
    """The surface's own colour everywhere."""
    return np.array([[0, 1, 0, FLAT, 1, 1, 1, 1]], np.float32)


def draw(mesh: Mesh | Scene, cam: Camera, lights: Lights, supersampling: int = 2) -> Buffers:
    backend = RasterBackend(supersampling)
    backend.load(mesh if isinstance(mesh, Scene) else prepare_scene(mesh))
    return backend.render(cam, lights)


def corner_pixels(mesh: Mesh, cam: Camera) -> npt.NDArray[np.float64]:
    pixels, depth = project(mesh.vertices, cam.K, cam.camera_to_world)
    assert (depth > 0).all()
    return pixels


def soft_iou(a: Image, b: Image) -> float:
    """Of two (S, S, 4) pictures' alpha."""
    x, y = a[..., 3] / 255.0, b[..., 3] / 255.0
    return float(np.minimum(x, y).sum() / np.maximum(x, y).sum())


def read_png(path: Path) -> Image:
    with Pillow.open(path) as picture:
        return np.asarray(picture)


def prepared_pack(path: Path, meshes: Mapping[str, Mesh | bytes], dataset: str = "demo") -> Path:
    """A pack as `prepare` writes it; bytes instead of a mesh are stored as they are."""
    with write_pack(path, ".glb") as pack:
        for key, mesh in meshes.items():
            category, name = key.split("/")
            payload = mesh if isinstance(mesh, bytes) else write_glb(mesh)
            pack.add(Record(f"{dataset}/{key}", category, name, "train"), payload)
    return path
