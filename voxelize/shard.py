"""The stage of the DAG: a pack of normalised .glb in, a pack of .binvox out.

The grid is always the unit box of pipeline/conventions.py, never refitted, so voxel i of R
has its centre at (i + 0.5) / R - 0.5 and lies where the pictures show it.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import Reject
from pipeline.formats.binvox import write_binvox
from pipeline.formats.pack import PackReader, PackWriter, write_pack
from pipeline.manifest import Record, Rejection
from pipeline.progress import Log, progress, say
from pipeline.settings.voxels import Voxels
from pipeline.worker import IsolatedWorker
from voxelize.options import UNIT_BOX_BOUNDS, Options

STAGE = "voxelize"
Job = Callable[[bytes], tuple[bytes, dict[str, Any]]]


def run(settings: Voxels, prepared: Path, output: Path, log_path: Path | None) -> None:
    """Voxelize one shard; shapes that cannot be voxelized become rejections in the output."""
    start = time.monotonic()
    pack = PackReader(prepared)
    # spawn: an engine may hold threads, which a fork would tear apart.  No limit on address space: Open3D maps
    # far more than it uses, and the built-in engine's memory is bounded by the grid and the prepared mesh.
    worker: IsolatedWorker[tuple[bytes, dict[str, Any]]] = IsolatedWorker(
        functools.partial(make_job, settings.model_dump()),
        seconds=settings.seconds_per_shape,
        memory_bytes=None,
        start="spawn",
    )
    with Log(log_path) as log, worker:
        with write_pack(output, ".binvox") as out:
            for record, glb in progress(pack, f"voxelize {output.stem}", total=len(pack.records), log=log):
                _one(worker, settings, record, glb, out, log)
        log.write("done", shapes=len(out.records), rejected=len(out.rejects), seconds=time.monotonic() - start)
    lost = f", {len(out.rejects)} rejected" if out.rejects else ""
    say(
        f"voxelize {prepared.parent.name}/{prepared.stem}: {len(out.records)} shapes at {settings.resolution}^3, "
        f"mode {settings.mode}{lost}"
    )


def _one(
    worker: IsolatedWorker[tuple[bytes, dict[str, Any]]],
    settings: Voxels,
    record: Record,
    glb: bytes,
    out: PackWriter,
    log: Log,
) -> None:
    start = time.monotonic()
    try:
        data, facts = worker.call(glb)
    except Reject as reject:
        out.reject(Rejection(record.shape_id, STAGE, reject.reason, reject.detail))
        log.write("rejected", shape=record.shape_id, reason=reject.reason, detail=reject.detail)
        return
    record.facts[STAGE] = facts
    out.add(record, data)
    # Times go to the log, never into the pack: the same input gives the same bytes.
    log.write("shape", shape=record.shape_id, seconds=round(time.monotonic() - start, 6))


def make_job(settings: dict[str, Any]) -> Job:
    """What the worker does, with kernels compiled and engine found before the first shape's time begins to count."""
    from pipeline.meshes.glb import write_glb
    from pipeline.meshes.mesh import Mesh
    from voxelize.kernels.robust import compile_bridges

    compile_bridges()
    # Two sheets apart: robust then takes all its steps.
    sheet = np.array([[-0.4, -0.3, -0.4], [0.4, -0.3, -0.4], [0.0, -0.3, 0.4]])
    sheets = Mesh(np.concatenate([sheet, -sheet]), np.array([[0, 1, 2], [3, 4, 5]]))
    with contextlib.suppress(Reject):
        voxelize_glb({**settings, "resolution": 16}, write_glb(sheets))
    return functools.partial(voxelize_glb, settings)


def voxelize_glb(settings: dict[str, Any], glb: bytes) -> tuple[bytes, dict[str, Any]]:
    """One .glb -> its .binvox and the quality record; runs in the worker process."""
    # Imported here: only the worker process pays for the compiler.
    from pipeline.meshes.glb import read_glb
    from voxelize.engines.choose import engine
    from voxelize.quality import quality

    mesh = read_glb(glb, textures=False)
    # A little less than the worker's own limit, so that a program is ended by the one who started it.
    chosen = engine(settings["engine"], 0.9 * settings["seconds_per_shape"])
    options = Options(resolution=settings["resolution"], mode=settings["mode"], box=UNIT_BOX_BOUNDS)
    solid = chosen.voxelize(mesh.vertices, mesh.faces, options)
    made_by = {"mode": settings["mode"], "engine": chosen.name}
    return write_binvox(solid.grid), {**made_by, **quality(solid, mesh.vertices, mesh.faces)}
