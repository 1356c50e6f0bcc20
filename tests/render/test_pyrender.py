"""OpenGL draws the same pictures; these tests need an EGL or OSMesa library and skip without one."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.bank import composite
from pipeline.progress import Log
from pipeline.settings.render import Render, Specular
from pipeline.shards import open_shard
from pipeline.worker import IsolatedWorker
from render.backends import choose as backends
from render.backends import opengl
from render.backends.raster import RasterBackend
from render.buffers import Buffers
from render.cameras import make_cameras
from render.lights import make_lights
from render.scene import prepare_scene
from render.shard import render_shard
from tests.render.helpers import WHITE, ball, calibration, checkers, cube, prepared_pack, soft_iou, unlit


def wrapped_ball() -> Mesh:
    """Its picture stands three times along each direction: mirrored around, its border repeated above and below."""
    mesh = ball(24, material=Material(texture=checkers(), wrap=("mirror", "clamp")))
    assert mesh.uv is not None
    mesh.uv = 3 * mesh.uv - 1
    return mesh


MESHES = {
    "cube": cube(),
    "calibration": calibration(),
    "ball": ball(),
    "textured": ball(24, material=Material(texture=checkers())),
    "wrapped": wrapped_ball(),
    "glass": calibration(Material(colour=(90, 140, 200, 110))),
}
# Drivers round in different ways.  An outline that is half a pixel off, on objects of 60 pixels, gives less than this.
SAME_OUTLINE = 0.98
GLOSSY = Specular(strength=0.3, shininess=16)


def _start(platform: str) -> Any:
    """In a process of its own, as the stage does it: the context must not be inherited."""
    backend = opengl.PyrenderBackend(2, GLOSSY, platform=platform)

    def render(mesh: Mesh, camera: Any, lights: Any) -> Buffers:
        backend.load(prepare_scene(mesh))
        return backend.render(camera, lights)

    return render


@pytest.fixture(scope="module", params=opengl.PLATFORMS)
def worker(request: pytest.FixtureRequest) -> Iterator[IsolatedWorker[Buffers]]:
    name, why_not = opengl.probe(request.param)
    if not name:
        pytest.skip(f"no OpenGL context: {why_not}")
    start = functools.partial(_start, request.param)
    isolated: IsolatedWorker[Buffers] = IsolatedWorker(start, seconds=120, memory_bytes=None, start="spawn")
    with isolated:
        yield isolated


@pytest.mark.parametrize("name", MESHES)
def test_it_agrees_with_the_built_in_renderer(worker: IsolatedWorker[Buffers], name: str) -> None:
    mesh = MESHES[name]
    raster = RasterBackend(2, GLOSSY)
    raster.load(prepare_scene(mesh))
    for view, camera in enumerate(
        make_cameras("photo", seed=2, shape_id=name, views=2, size_px=96, vertices=mesh.vertices)
    ):
        lights = make_lights(2, name, view, camera)
        ours, theirs = raster.render(camera, lights), worker.call(mesh, camera, lights)
        assert soft_iou(ours.rgba, theirs.rgba) >= SAME_OUTLINE
        full = ours.rgba[..., 3].max()  # 255, but for glass
        solid = (ours.rgba[..., 3] == full) & (theirs.rgba[..., 3] == full)
        assert solid.any() and full == (255 if name != "glass" else 128)
        difference = np.abs(ours.rgba[solid][:, :3].astype(int) - theirs.rgba[solid][:, :3])
        # OpenGL mixes the texels of a hard edge as bytes, not as light.
        assert difference.mean() < (3.0 if mesh.materials[0].texture is None else 12.0), "levels of 255"
        assert np.median(np.abs(ours.depth[solid] - theirs.depth[solid])) < 1e-3, "a thousandth of the object"


def test_white_on_white_is_white(worker: IsolatedWorker[Buffers]) -> None:
    mesh = calibration(WHITE)
    camera = make_cameras("ring", seed=1, shape_id="w", views=1, size_px=64, vertices=mesh.vertices)[0]
    rgba = worker.call(mesh, camera, unlit()).rgba
    assert 0 < (rgba[..., 3] > 0).mean() < 1
    for space in ("srgb", "linear"):
        assert (composite(rgba, np.full((64, 64, 3), 255, np.uint8), space) == 255).all()


def test_the_stage_draws_with_it_and_says_so(tmp_path: Path) -> None:
    if not opengl.available():
        pytest.skip(f"no OpenGL context: {opengl.why_not()}")
    pack = prepared_pack(tmp_path / "in.zip", {"odd/calibration": calibration(), "round/ball": ball(12)})
    for backend in ("raster", "pyrender"):
        settings = Render.model_validate({"backend": backend, "size_px": 64, "views": 2})
        render_shard(pack, tmp_path / f"{backend}.h5", seed=1, settings=settings, log=Log(None))
    with open_shard(tmp_path / "raster.h5") as one, open_shard(tmp_path / "pyrender.h5") as two:
        assert two.attributes["backend"] == two.records[0].facts["render"]["backend"] == "pyrender"
        assert "shaders " in two.records[0].facts["render"]["backend_version"]
        assert np.array_equal(one.array("camera_to_world")[:], two.array("camera_to_world")[:])
        for row in range(2):
            for view in range(2):
                assert soft_iou(one.array("rgba")[row][view], two.array("rgba")[row][view]) >= SAME_OUTLINE


def test_edited_shaders_change_the_code_of_the_stage() -> None:
    text = b"".join((opengl.SHADERS / name).read_bytes() for name in ("mesh.frag", "mesh.vert"))
    assert hashlib.sha256(text).hexdigest()[:12] == opengl.SHADERS_VERSION, "write the new digits into it"


def test_auto_takes_the_built_in_renderer_where_no_gpu_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "probe", lambda platform: ("llvmpipe (LLVM 15)", ""))
    assert not opengl.gpu_answers()
    assert backends.settle(Render(backend="auto")).backend == "raster"
    monkeypatch.setattr(opengl, "probe", lambda platform: ("NVIDIA H100", ""))
    assert backends.settle(Render(backend="auto")).backend == "pyrender"


def test_asking_for_opengl_where_there_is_none_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "probe", lambda platform: ("", f"{platform}: no library"))
    with pytest.raises(UserError, match="libegl1") as caught:
        backends.settle(Render(backend="pyrender"))
    assert "egl: no library; osmesa: no library" in str(caught.value)
