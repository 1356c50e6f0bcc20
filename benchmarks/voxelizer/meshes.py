"""What the voxelizer's benchmark voxelizes: spheres, generated furniture, and real meshes where there are any."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.voxelizer.peers import Faces, Vertices
from pipeline.furniture import make_shape
from pipeline.meshes.load import load_mesh
from pipeline.meshes.readers.obj import read_obj
from pipeline.meshes.readers.off import read_off

Mesh = tuple[Vertices, Faces]
VARIANTS = 8


def sphere(faces: int, radius: float = 0.45) -> Mesh:
    """A globe of about so many triangles, turned off the axes."""
    rings = round((faces / 4) ** 0.5)
    up, around = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.arange(2 * rings) / rings * np.pi, indexing="ij")
    points = np.stack([np.sin(up) * np.cos(around), -np.cos(up), np.sin(up) * np.sin(around)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings), np.arange(2 * rings), indexing="ij")
    a, b = i * 2 * rings + j, i * 2 * rings + (j + 1) % (2 * rings)
    quads = np.stack([a, a + 2 * rings, b + 2 * rings, b], axis=-1).reshape(-1, 4)
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    return radius * points @ turn.T, np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int64)


def placed(mesh: Mesh) -> Mesh:
    """Centred in the unit box, with half a voxel of 32 to spare."""
    vertices, faces = mesh
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return (vertices - (low + high) / 2) / (high - low).max() * (1 - 1 / 32), faces


def furniture(category: str, index: int) -> Mesh:
    """A generated piece of furniture in the unit box."""
    mesh = make_shape(1, category, index)
    return placed((mesh.vertices, mesh.faces))


def meshes() -> dict[str, list[Mesh]]:
    """By the name in the table: VARIANTS of each kind, spheres turned at random, the chairs with the most faces."""
    found = {}
    for mesh in map(sphere, (1_000, 5_120, 45_000, 330_000)):
        found[f"sphere, {len(mesh[1]):,} faces"] = [(mesh[0] @ _turn(number), mesh[1]) for number in range(VARIANTS)]
    chairs = sorted((furniture("chair", index) for index in range(32)), key=lambda mesh: -len(mesh[1]))[:VARIANTS]
    return {**found, f"chairs, {np.mean([len(faces) for _, faces in chairs]):,.0f} faces": chairs}


def _turn(number: int) -> Vertices:
    turn, _ = np.linalg.qr(np.random.default_rng(number).normal(size=(3, 3)))
    return np.asarray(turn, dtype=np.float64)


def real_meshes(folder: Path) -> Iterator[tuple[str, Mesh]]:
    """Every .off and .obj of a folder and of the .zip files in it, by its place, in order.

    But those under ``cases``: one file each that a reader may get wrong, or has to refuse.
    """
    for path in sorted(path for path in folder.rglob("*") if "cases" not in path.relative_to(folder).parts):
        name = path.relative_to(folder).as_posix()
        if path.suffix in (".off", ".obj"):
            mesh = load_mesh(path)
            yield name, (mesh.vertices, mesh.faces)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for member in sorted(archive.namelist()):
                    if member.endswith(".off"):
                        yield f"{name}/{member}", read_off(archive.read(member))
                    elif member.endswith(".obj"):
                        mesh = read_obj(archive.read(member), lambda _: None, lambda _: None)
                        yield f"{name}/{member}", (mesh.vertices, mesh.faces)
