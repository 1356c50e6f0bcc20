"""Pictures that a source publishes become the same shard of views as our own.

    python -m pipeline import_views --settings JSON --archives D.json --shard 000.tsv \\
        [--prepared prepared/D/000.zip] -o renders/D/000.h5

For such a data set this command stands where render stands for others.  Where its meshes are
prepared as well, a picture is imported for each prepared mesh, and the cameras may be fitted
to the mesh.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reject
from pipeline.formats.pack import PackReader
from pipeline.manifest import NO_SPLIT, Record, Rejection, Shape, shapes_from_tsv
from pipeline.meshes.glb import read_glb
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import ImportViewsSettings
from pipeline.settings.parse import parse
from pipeline.shards import create
from pipeline.sources.base import Archives, source_of
from pipeline.worker import IsolatedWorker

SECONDS_PER_SHAPE = 120.0  # two dozen pictures
MEMORY_BYTES = 1 << 30  # address space that one shape may take

_Wanted = tuple[Shape, Record, npt.NDArray[np.float64] | None]


def import_views(
    settings: ImportViewsSettings,
    archives: Path,  # D.json of `fetch`
    shard: Path,  # one shape list of `index`
    prepared: Path | None,  # the pack of `prepare` for the same list, where there is one
    output: Path,  # the shard of views to write
    *,
    log: Log,
) -> None:
    """Import the pictures of every shape of one list; rejected ones are recorded in the shard."""
    shapes, source = shapes_from_tsv(shard.read_text(encoding="utf-8"), str(shard)), source_of(settings.source)
    pack = None if prepared is None else PackReader(prepared)
    wanted = _listed(shapes) if pack is None else _prepared(shapes, pack)
    count, number = len(shapes if pack is None else pack.records), source.views_per_shape
    attributes = {"render": {"source": source.title, "views": number, "size_px": settings.size_px}}
    facts = {"backend": "imported", **({"cameras": source.cameras} if source.cameras else {})}
    worker: IsolatedWorker[dict[str, npt.NDArray[Any]]] = IsolatedWorker(
        functools.partial(_make_job, settings, archives), seconds=SECONDS_PER_SHAPE, memory_bytes=MEMORY_BYTES
    )
    with (
        worker,
        create(output, "renders", count=count, views=number, size_px=settings.size_px, attributes=attributes) as views,
    ):
        for shape, record, vertices in progress(wanted, f"import {shard.stem}", total=count, log=log):
            try:
                arrays = worker.call(shape, settings.size_px, vertices)
            except Reject as reject:
                views.reject(Rejection(record.shape_id, "render", reject.reason, reject.detail))
                continue
            record.facts["render"] = dict(facts)
            views.append(record, **arrays)
    say(f"import_views: {shard.parent.name}/{shard.stem}: {len(views.records)} shapes, {len(views.rejects)} rejected")


def _make_job(settings: ImportViewsSettings, archives: Path) -> Callable[..., dict[str, npt.NDArray[Any]]]:
    """What the worker keeps for its whole life: the open archives."""
    return functools.partial(source_of(settings.source).views, Archives.load(archives))


def _listed(shapes: list[Shape]) -> Iterator[_Wanted]:
    for shape in shapes:
        yield shape, Record(shape.shape_id, shape.category, shape.name, NO_SPLIT), None


def _prepared(shapes: list[Shape], pack: PackReader) -> Iterator[_Wanted]:
    by_id = {shape.shape_id: shape for shape in shapes}
    for record, payload in pack:
        mesh = read_glb(payload)
        yield by_id[record.shape_id], record, mesh.vertices[np.unique(mesh.faces)]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--archives", type=Path, required=True, help="archives/<data set>.json")
    parser.add_argument("--shard", type=Path, required=True, help="list of the shapes, .tsv")
    parser.add_argument("--prepared", type=Path, help="the pack of meshes that the pictures show")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(ImportViewsSettings, given.settings, "--settings")
    import_views(settings, given.archives, given.shard, given.prepared, given.output, log=log)
