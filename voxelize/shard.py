"""The stage of the DAG: a pack of normalised .glb in, a pack of .binvox out.

The grid is always the unit box of pipeline/conventions.py, never refitted, so voxel i of R
has its centre at (i + 0.5) / R - 0.5 and lies where the pictures show it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.binvox import write_binvox
from pipeline.conventions import Grid
from pipeline.errors import Reject
from pipeline.given import take
from pipeline.manifest import Record, Rejection
from pipeline.pack import PackReader, PackWriter, write_pack
from pipeline.progress import Log, progress, say
from pipeline.settings.stages import Voxels
from voxelize.options import UNIT_BOX_BOUNDS, Options
from voxelize.worker import Worker

STAGE = "voxelize"


def run(settings: Voxels, prepared: Path, output: Path, log_path: Path | None) -> None:
    """Voxelize one shard; shapes that cannot be voxelized become rejections in the output."""
    start = time.monotonic()
    pack = PackReader(prepared)
    with Log(log_path) as log, Worker(voxelize_glb, settings.model_dump(), warm_up) as worker:
        with write_pack(output, ".binvox") as out:
            for record, glb in progress(pack, f"voxelize {output.stem}", total=len(pack.records), log=log):
                _one(worker, settings, record, glb, out, log)
        log.write("done", shapes=len(out.records), rejected=len(out.rejects), seconds=time.monotonic() - start)
    lost = f", {len(out.rejects)} rejected" if out.rejects else ""
    say(
        f"voxelize {prepared.parent.name}/{prepared.stem}: {len(out.records)} shapes at {settings.resolution}^3, "
        f"mode {settings.mode}{lost}"
    )


def _one(worker: Worker, settings: Voxels, record: Record, glb: bytes, out: PackWriter, log: Log) -> None:
    start = time.monotonic()
    try:
        data, facts = worker.run(settings.seconds_per_shape, (glb, take(record, settings.resolution)))
    except Reject as reject:
        out.reject(Rejection(record.shape_id, STAGE, reject.reason, reject.detail))
        log.write("rejected", shape=record.shape_id, reason=reject.reason, detail=reject.detail)
        return
    record.facts[STAGE] = facts
    out.add(record, data)
    # Times go to the log, never into the pack: the same input gives the same bytes.
    log.write("shape", shape=record.shape_id, seconds=round(time.monotonic() - start, 6))


def warm_up(settings: dict[str, Any]) -> None:
    """Compile the kernels and find the engine before the first shape's time begins to count."""
    from pipeline.glb import write_glb
    from pipeline.mesh import Mesh
    from voxelize.robust import compile_bridges

    compile_bridges()
    # Two sheets apart: robust then takes all its steps.
    sheet = np.array([[-0.4, -0.3, -0.4], [0.4, -0.3, -0.4], [0.0, -0.3, 0.4]])
    sheets = Mesh(np.concatenate([sheet, -sheet]), np.array([[0, 1, 2], [3, 4, 5]]))
    with contextlib.suppress(Reject):
        voxelize_glb({**settings, "resolution": 16}, (write_glb(sheets), None))


def voxelize_glb(settings: dict[str, Any], item: tuple[bytes, Grid | None]) -> tuple[bytes, dict[str, Any]]:
    """One .glb -> its .binvox and the quality record; runs in the worker process.

    Where the source itself has published voxels (`given`), those are taken as they are.
    """
    # Imported here: only the worker process pays for the compiler.
    from pipeline.glb import read_glb
    from voxelize.builtin import Solid
    from voxelize.engines import engine
    from voxelize.frame import UNIT_BOX
    from voxelize.quality import quality

    glb, given = item
    mesh = read_glb(glb, textures=False)
    if given is not None:
        if not given.any():
            raise Reject("empty_grid", "the voxels that the source publishes are all empty")
        solid, made_by = Solid(given, UNIT_BOX), {"mode": "given", "engine": "source"}
    else:
        # A little less than the worker's own limit, so that a program is ended by the one who started it.
        chosen = engine(settings["engine"], 0.9 * settings["seconds_per_shape"])
        options = Options(resolution=settings["resolution"], mode=settings["mode"], box=UNIT_BOX_BOUNDS)
        solid = chosen.voxelize(mesh.vertices, mesh.faces, options)
        made_by = {"mode": settings["mode"], "engine": chosen.name}
    return write_binvox(solid.grid), {**made_by, **quality(solid, mesh.vertices, mesh.faces)}
