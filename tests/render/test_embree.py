"""Alpha against Embree's: equal sample for sample, but where Embree's float32 misjudges a ray beside an edge.

Such a sample is decided by exact rational arithmetic here, and the built-in renderer has to
agree with that.
"""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import trimesh

from benchmarks.renderer.exact import NEAR_AN_EDGE, SAMPLES, margins, meets, meets_exactly, rays
from pipeline.conventions import SHAPENET_V1_TO_WORLD, UP_AXIS_TO_WORLD
from pipeline.furniture import CATEGORIES, make_shape
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.normalise import normalise
from render.backends.raster import RasterBackend
from render.cameras import Camera, make_cameras
from render.scene import prepare_scene
from tests.conftest import optional
from tests.render.helpers import ball, calibration, checkers, cube, unlit

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass
class Tally:
    """What a comparison has seen."""

    meshes: int = 0
    textured: int = 0
    views: int = 0


def compare(mesh: Mesh, cameras: list[Camera], tally: Tally) -> None:
    """Assert that every sample is Embree's, or that Embree is provably wrong there."""
    embree = optional("trimesh.ray.ray_pyembree")
    caster = embree.RayMeshIntersector(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False))
    # Opaque: Embree knows no see-through materials.
    opaque: list[Any] = [dataclasses.replace(m, colour=(*m.colour[:3], 255)) for m in mesh.materials]
    backend = RasterBackend(SAMPLES)
    backend.load(prepare_scene(dataclasses.replace(mesh, materials=opaque)))
    tally.meshes += 1
    tally.textured += mesh.uv is not None
    for cam in cameras:
        eyes, directions = rays(cam)
        hit = caster.intersects_any(eyes, directions)
        alpha = backend.render(cam, unlit()).rgba[..., 3]
        ours = backend.covered.reshape(-1)
        share = ours.reshape(cam.size_px, SAMPLES, cam.size_px, SAMPLES).sum(axis=(1, 3))
        assert np.array_equal(alpha, (255 * share + 2) // 4)
        tally.views += 1
        for sample in np.nonzero(ours != hit)[0]:
            by = margins(mesh.triangles, eyes[0], directions[sample]).max()
            assert abs(by) < NEAR_AN_EDGE, "only rays that all but touch an edge may be judged in two ways"
            truth = meets(mesh.triangles, eyes[0], directions[sample])
            assert ours[sample] == truth, "the built-in renderer is the one that is right"


def furniture(category: str) -> Mesh:
    return normalise(make_shape(7, category, 3), np.eye(3), max_faces=10**6)[0]


def test_generated_meshes_in_100_views() -> None:
    meshes = {
        "cube": cube(),
        "calibration": calibration(),
        "ball": ball(),
        "textured": ball(12, material=Material(texture=checkers())),
    }
    meshes |= {category: furniture(category) for category in CATEGORIES}
    tally = Tally()
    for name, mesh in meshes.items():
        for preset in ("r2n2", "photo"):
            compare(
                mesh, make_cameras(preset, seed=3, shape_id=name, views=4, size_px=64, vertices=mesh.vertices), tally
            )
    # On these Embree has been seen to misjudge one sample each.
    for name in ("bed", "table"):
        mesh = normalise(make_shape(1, name, 0), np.eye(3), max_faces=10**6)[0]
        compare(
            mesh, make_cameras("photo", seed=1, shape_id=name, views=12, size_px=128, vertices=mesh.vertices), tally
        )
    assert tally.views >= 100 and tally.textured >= 3


def real_meshes(data: Path) -> dict[str, Mesh]:
    """Every ModelNet10 and ShapeNet model of the samples, as `prepare` leaves it."""
    found = {}
    places = [
        ("modelnet/ModelNet10.zip", ".off", UP_AXIS_TO_WORLD["z"], 1),
        *(
            (
                f"shapenet/{zipped.parent.name}/{zipped.name}",
                ".obj",
                SHAPENET_V1_TO_WORLD if "v1" in zipped.parent.name else np.eye(3),
                2,
            )
            for zipped in sorted((data / "shapenet").glob("ShapeNetCore.v?/*.zip"))
        ),
    ]
    for place, suffix, rotation, depth in places:
        with zipfile.ZipFile(data / place) as archive:
            for member in sorted(name for name in archive.namelist() if name.endswith(suffix)):
                root = "/".join(member.split("/")[:depth]) + "/"
                loaded = load_member(member.removeprefix(root), Files.of_zip(archive, root), texture_px=64)
                found[f"{place}!{member}"] = normalise(loaded.mesh, rotation, max_faces=10**6)[0]
    return found


def test_real_meshes_in_60_views_and_more(shared_data: Path) -> None:
    tally = Tally()
    for name, mesh in real_meshes(shared_data).items():
        compare(mesh, make_cameras("photo", seed=3, shape_id=name, views=6, size_px=96, vertices=mesh.vertices), tally)
    assert tally.meshes >= 10 and tally.textured >= 1 and tally.views >= 60


@pytest.mark.parametrize("side", [-1, 1])
def test_the_exact_judge_tells_sides_that_floating_point_cannot(side: int) -> None:
    """A ray 1e-30 beside an edge, which no float64 arithmetic sees."""
    triangle = np.array([[0.0, 0, -1], [1, 0, -1], [0, 1, -1]])
    ray = np.array([0.25, side * 1e-30, -1.0])
    assert meets_exactly(triangle, np.zeros(3), ray) == (side > 0)
    assert abs(margins(triangle[None], np.zeros(3), ray)[0]) < 1e-29
