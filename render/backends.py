"""Which backend draws: the built-in one, or OpenGL where it is asked for or found."""

from __future__ import annotations

import importlib
from typing import Protocol

from pipeline.errors import UserError
from pipeline.settings.stages import Render
from render.cameras import Camera
from render.raster import Layers, Lights, RasterBackend
from render.scene import Scene


class Backend(Protocol):
    """What every backend can do; one instance a process, used for one scene after another."""

    name: str
    version: str

    def load(self, scene: Scene) -> None: ...

    def render(self, camera: Camera, lights: Lights) -> Layers: ...

    def close(self) -> None: ...


def make_backend(settings: Render) -> Backend:
    """The backend that the settings ask for; ``auto`` takes OpenGL only where a GPU answers."""
    if settings.backend == "raster":
        return RasterBackend(settings.supersampling)
    # Imported by name: pyrender and its context are for the processes that draw with them.
    opengl = importlib.import_module("render.backend_pyrender")
    if settings.backend == "auto" and not opengl.gpu_answers():
        return RasterBackend(settings.supersampling)
    if not opengl.available():
        raise UserError(
            "the pyrender backend cannot start",
            got=opengl.why_not(),
            wanted="an EGL or OSMesa library (Debian: libegl1 libgl1 libxrender1, or libosmesa6)",
            do="install it, or set render.backend to raster",
        )
    backend: Backend = opengl.PyrenderBackend(settings.supersampling)
    return backend
