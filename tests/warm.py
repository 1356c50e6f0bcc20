"""Compile once what several processes of tests would each compile: ``python -m tests.warm``.

Numba keeps the kernels that it has compiled beside the source files.  In a fresh clone two workers of pytest would
compile the same forty seconds of kernels at the same time, and tests that give a shape a few seconds would measure
that.  Python keeps its bytecode there too, but not where PYTHONDONTWRITEBYTECODE is set, as in many containers; the
tests start some hundred commands, and each would compile what it imports.
"""

from __future__ import annotations

import compileall
import multiprocessing
import sys
from pathlib import Path

import numpy as np

ROOMS = ("pipeline", "render", "report", "training", "voxelize")


def _bytecode() -> None:
    for room in ROOMS:
        compileall.compile_dir(Path(__file__).parents[1] / room, quiet=1)


def _voxelize() -> None:
    from tests.voxelize.solids import box
    from voxelize.engines.builtin import voxelize
    from voxelize.options import MODES, Options

    for mode in MODES:
        voxelize(*box(), Options(resolution=32, mode=mode))
    voxelize(*box(), Options(resolution=32, wireframe=True))


def _draw() -> None:
    from render.lights import plain
    from tests.render.helpers import ball, camera, draw

    draw(ball(8), camera(), plain(camera()))


def _prepare() -> None:
    from pipeline.meshes.readers.obj import read_obj
    from pipeline.meshes.readers.off import read_off
    from pipeline.meshes.winding import wrong_faces

    data = b"OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1.5\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
    wrong_faces(*read_off(data))
    read_obj(b"v 0 0 0\nv 1 0 0 1 1 1\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n", lambda _: None, lambda _: None)


def _measure() -> None:
    from training.metrics import alignment, distances

    points = np.random.default_rng(1).random((2, 64, 3)).astype(np.float32)
    distances.chamfer_matrix(points, points, squared=False)
    bits = np.packbits(points > 0.5).reshape(2, -1)
    distances.iou_matrix(bits, bits)
    alignment.average_precision(points[0, :, 0], points[0, :, 0] > 0.5)


PARTS = (_voxelize, _draw, _prepare, _bytecode, _measure)  # the longest first


if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(min(len(PARTS), multiprocessing.cpu_count())) as pool:
        for answer in [pool.apply_async(part) for part in PARTS]:
            answer.get()
    sys.exit(0)
