"""The OpenGL backend in a process of its own, whose context must not be inherited.

Not in ``__main__``: multiprocessing leaves that of a package unloaded in a process that begins anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pipeline.meshes.mesh import Mesh
from pipeline.worker import IsolatedWorker
from render.backends.opengl import PyrenderBackend
from render.buffers import Buffers
from render.scene import prepare_scene


def opengl(platform: str) -> IsolatedWorker[Buffers]:
    """A worker that draws one mesh from one camera in one light."""
    return IsolatedWorker(functools.partial(_start, platform), seconds=120, memory_bytes=None, start="spawn")


def _start(platform: str) -> Callable[[Mesh, Any, Any], Buffers]:
    backend = PyrenderBackend(2, platform=platform)

    def render(mesh: Mesh, camera: Any, lights: Any) -> Buffers:
        backend.load(prepare_scene(mesh))
        return backend.render(camera, lights)

    return render
