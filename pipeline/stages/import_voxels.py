"""Voxels that a source publishes become the same pack as our own.

    python -m pipeline import_voxels --settings JSON --archives D.json --shard 000.tsv -o voxels/D/000.zip

For such a data set this command stands where voxelize stands for others.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import Reject, UserError
from pipeline.formats.binvox import write_binvox
from pipeline.formats.pack import write_pack
from pipeline.manifest import NO_SPLIT, Record, Rejection, Shape, shapes_from_tsv
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import ImportVoxelsSettings
from pipeline.settings.parse import parse
from pipeline.settings.sources import SOURCES
from pipeline.sources.base import Archives, Licence, Source, source_of
from pipeline.worker import IsolatedWorker

SECONDS_PER_SHAPE = 60.0
MEMORY_BYTES = 1 << 30  # address space that one shape may take


def import_voxels(
    settings: ImportVoxelsSettings,
    archives: Path,  # D.json of `fetch`
    shard: Path,  # one shape list of `index`
    output: Path,  # the pack of .binvox to write
    *,
    log: Log,
) -> None:
    """Import the voxels of every shape of one list; rejected ones are recorded in the pack."""
    entry = SOURCES[settings.source]
    if settings.resolution != entry.resolution:
        raise UserError(
            "this source has voxels of one size only",
            where="voxels.resolution",
            got=str(settings.resolution),
            wanted=str(entry.resolution),
            do=f"set voxels.resolution: {entry.resolution}",
        )
    shapes = shapes_from_tsv(shard.read_text(encoding="utf-8"), str(shard))
    worker: IsolatedWorker[tuple[Record, bytes]] = IsolatedWorker(
        functools.partial(_make_job, settings, archives), seconds=SECONDS_PER_SHAPE, memory_bytes=MEMORY_BYTES
    )
    with worker, write_pack(output, ".binvox") as pack:
        for shape in progress(shapes, f"import {shard.stem}", log=log):
            try:
                pack.add(*worker.call(shape))
            except Reject as reject:
                pack.reject(Rejection(shape.shape_id, "voxelize", reject.reason, reject.detail))
    say(f"import_voxels: {shard.parent.name}/{shard.stem}: {len(pack.records)} shapes, {len(pack.rejects)} rejected")


def _make_job(settings: ImportVoxelsSettings, archives: Path) -> Callable[[Shape], tuple[Record, bytes]]:
    """What the worker keeps for its whole life: the open archives."""
    origin = not SOURCES[settings.source].prepared
    return functools.partial(_import_one, source_of(settings.source), Archives.load(archives), origin)


def _import_one(source: Source, archives: Archives, origin: bool, shape: Shape) -> tuple[Record, bytes]:
    """A record and its .binvox; `origin` says that no mesh is prepared, whose record would say where it is from."""
    grid = source.voxels(archives, shape)
    if not grid.any():
        raise Reject("empty_grid", "the voxels that the source publishes are all empty")
    payload, occupied = write_binvox(grid), int(grid.sum())
    facts: dict[str, dict[str, object]] = {}
    if origin:
        sha256 = hashlib.sha256(payload).hexdigest()
        facts["prepare"] = {"mesh_sha256": sha256, "repairs": {}, "source_member": shape.member}
        facts["prepare"] |= Licence.facts_of(source.licence(archives, shape))
    facts["voxelize"] = {
        "mode": "given",
        "engine": "source",
        "resolution": grid.shape[0],
        "occupied": occupied,
        "occupancy": round(occupied / grid.size, 6),
    }
    return Record(shape.shape_id, shape.category, shape.name, NO_SPLIT, facts), payload


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--archives", type=Path, required=True, help="archives/<data set>.json")
    parser.add_argument("--shard", type=Path, required=True, help="list of the shapes, .tsv")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(ImportVoxelsSettings, given.settings, "--settings")
    import_voxels(settings, given.archives, given.shard, given.output, log=log)
