"""Bit for bit: files that the original binvox made, and hashes where those are absent."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.formats.binvox import read_binvox
from pipeline.meshes.load import load_mesh
from pipeline.meshes.readers.obj import read_obj
from pipeline.meshes.readers.off import read_off
from tests.voxelize.solids import Mesh, box, cylinder, iou, joined, sphere, table, torus
from voxelize.engines.builtin import Solid, voxelize
from voxelize.formats import encode
from voxelize.kernels.frame import fitted
from voxelize.options import PRESETS, Options

FLAGS = {
    "def": {},
    "c": {"mode": "carve"},
    "v": {"mode": "vote"},
    "e": {"mode": "exact"},
    "cb": {"centred": True},
    "dc": {"dilated": True},
    "ri": {"remove_internal": True},
    "aw": {"wireframe": True},
    "dcaw": {"wireframe": True, "dilated": True},
    "sn": {"mode": "shapenet"},
}
# What is allowed: files that differ, voxels that differ.  Of every mode, all files are compared.
ALLOWED = {
    "def": (0, 0),
    "c": (0, 0),
    "e": (0, 0),
    "cb": (0, 0),
    "dc": (0, 0),
    "ri": (0, 0),
    "aw": (0, 0),
    "v": (2, 9),
    "dcaw": (3, 5),
    "sn": (2, 12),
}


def golden_mesh(folder: Path, name: str) -> Mesh:
    path = folder / f"{name}.off"
    if path.is_file():
        return read_off(path.read_bytes())
    mesh = load_mesh(folder / f"{name}.obj")
    return mesh.vertices, mesh.faces


def result(mesh: Mesh, options: Options) -> Solid | None:
    try:
        return voxelize(*mesh, options)
    except Reject as reject:
        assert reject.reason == "empty_grid"
        return None


@pytest.mark.parametrize("mode", FLAGS)
def test_files_of_the_original(shared_data: Path, mode: str) -> None:
    golden = shared_data / "binvox/golden"
    files = sorted((golden / "voxels").glob(f"*.{mode}.*.bv"))
    assert files
    differing, voxels = 0, 0
    for path in files:
        name, _, size, _ = path.name.rsplit(".", 3)
        mesh = golden_mesh(golden / "meshes", name)
        solid = result(mesh, Options(resolution=int(size), **FLAGS[mode]))
        wanted = read_binvox(path.read_bytes()).grid
        found = solid.grid if solid else np.zeros_like(wanted)
        wrong = int((found != wanted).sum())
        differing, voxels = differing + (wrong > 0), voxels + wrong
        assert iou(found, wanted) >= 0.995, path.name
        if solid and wrong == 0:  # then the whole file is the same; -cb with the original's wrong header
            frame = fitted(mesh[0]) if mode == "cb" else None
            assert encode(solid, "binvox", frame) == path.read_bytes(), path.name
    assert differing <= ALLOWED[mode][0] and voxels <= ALLOWED[mode][1], (differing, voxels)


UNIT = (-0.5, -0.5, -0.5, 0.5, 0.5, 0.5)
PUBLIC = {
    "bunny/bunny_e": Options(mode="exact"),
    "bunny/bunny": Options(mode="exact"),
    "bunny/bunny_box": Options(box=UNIT),
    "bunny/bunny_ebox": Options(mode="exact", box=UNIT),
    "bunny/bunny_256": Options(mode="exact", resolution=256),
    "chair_trimesh/chair_model": Options(mode="exact"),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_files(shared_data: Path, name: str) -> None:
    folder, _, file = name.partition("/")
    mesh = load_mesh(shared_data / "binvox" / folder / ("bunny.obj" if folder == "bunny" else "chair_model.obj"))
    wanted = read_binvox((shared_data / "binvox" / f"{name}.binvox").read_bytes())
    solid = voxelize(mesh.vertices, mesh.faces, PUBLIC[name])
    assert np.array_equal(solid.grid, wanted.grid)
    assert np.allclose([*solid.placement[0], solid.placement[1]], [*wanted.translate, wanted.scale], atol=1e-6)


def test_the_public_bunny_with_holes_differs_by_half_a_percent(shared_data: Path) -> None:
    """Its open bottom is decided by votes, where the original's differ in a way that is not known."""
    mesh = load_mesh(shared_data / "binvox/bunny/bunny.obj")
    wanted = read_binvox((shared_data / "binvox/bunny/bunny_nobox.binvox").read_bytes()).grid
    found = voxelize(mesh.vertices, mesh.faces, Options()).grid
    assert (found <= wanted).all()
    assert (found != wanted).sum() <= 38


def test_the_solids_that_shapenet_publishes(shared_data: Path) -> None:
    """model_normalized.solid.binvox of ShapeNetCore.v2, by the preset of that name."""
    compared = 0
    for path in sorted((shared_data / "shapenet/ShapeNetCore.v2").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith("model_normalized.obj"):
                    mesh = read_obj(archive.read(name), lambda _: None, lambda _: None)
                    wanted = read_binvox(archive.read(name.replace(".obj", ".solid.binvox"))).grid
                    found = voxelize(mesh.vertices, mesh.faces, PRESETS["shapenet"]).grid
                    assert (found != wanted).sum() <= 9, name
                    compared += 1
    assert compared == 2


def messy() -> Mesh:
    """Solids, thin parts, overlaps, doubled and flipped faces, off any lattice."""
    vertices, faces = joined(torus(), table(), cylinder(0.11, 0.9, 17), sphere(0.17, 9, (0.21, 0.13, -0.2)))
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    return vertices @ turn.T, np.concatenate([faces, faces[::3, ::-1]])


HASHES = {
    ("messy", "def", 32): "608e84119f744018",
    ("messy", "c", 32): "35884e44276698fe",
    ("messy", "v", 32): "551e46c7f1a9dfeb",
    ("messy", "e", 32): "f10235cd34be0ca0",
    ("messy", "cb", 32): "fd8b5f964368185d",
    ("messy", "dc", 32): "319014ef8864caf0",
    ("messy", "ri", 32): "00d5179c8a69ab0e",
    ("messy", "aw", 32): "7d9c1d7c280eab41",
    ("messy", "dcaw", 32): "180fa9ffc1338094",
    ("messy", "sn", 32): "6792396c452c7907",
    ("messy", "robust", 32): "b68c574c68af7305",
    ("messy", "flood", 32): "73550a57e02ed760",
    ("messy", "def", 64): "e904d041c41d3606",
    ("messy", "robust", 128): "c3cc039d44808d2c",
    ("messy", "e", 100): "f9e9080ae215e6f5",
    ("box", "def", 32): "d4760eadaaa2d4d5",
    ("sphere", "def", 64): "4c7cfbbc9ddcd398",
    ("torus", "sn", 32): "f0df1d52e0400b5c",
    ("torus", "v", 65): "cbe07b77b39057e6",
}


@pytest.mark.parametrize(("mesh", "flags", "size"), HASHES)
def test_results_stay_what_they_were_when_all_files_of_the_original_matched(mesh: str, flags: str, size: int) -> None:
    meshes = {"messy": messy, "box": box, "sphere": sphere, "torus": torus}
    mode = {**FLAGS, "robust": {"mode": "robust"}, "flood": {"mode": "flood"}}[flags]
    solid = voxelize(*meshes[mesh](), Options(resolution=size, **mode))
    assert hashlib.sha256(np.packbits(solid.grid).tobytes()).hexdigest()[:16] == HASHES[mesh, flags, size]
