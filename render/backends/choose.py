"""Which backend draws: the built-in one, or OpenGL where it is asked for or found."""

from __future__ import annotations

from typing import Protocol

from pipeline.errors import UserError
from pipeline.settings.render import Render
from render.backends import opengl
from render.backends.raster import RasterBackend
from render.buffers import Buffers, Lights
from render.cameras import Camera
from render.scene import Scene


class Backend(Protocol):
    """What every backend can do; one instance a process, used for one scene after another."""

    name: str
    version: str

    def load(self, scene: Scene) -> None:
        """Take a scene; the next `render` calls draw it."""

    def render(self, camera: Camera, lights: Lights) -> Buffers:
        """Draw one view of the loaded scene."""

    def close(self) -> None:
        """Give back what the backend holds."""


def settle(settings: Render) -> Render:
    """The settings with a backend that can start here: ``auto`` takes OpenGL only where a GPU answers."""
    if settings.backend == "raster":
        return settings
    if settings.backend == "auto":
        return settings.model_copy(update={"backend": "pyrender" if opengl.gpu_answers() else "raster"})
    if not opengl.available():
        raise UserError(
            "the pyrender backend cannot start",
            got=opengl.why_not(),
            wanted="an EGL or OSMesa library (Debian: libegl1 libgl1 libxrender1, or libosmesa6)",
            do="install it, or set render.backend to raster",
        )
    return settings


def make_backend(settings: Render) -> Backend:
    """The backend of settled settings."""
    if settings.backend == "raster":
        return RasterBackend(settings.supersampling, settings.specular)
    return opengl.PyrenderBackend(settings.supersampling, settings.specular)
