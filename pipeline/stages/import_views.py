"""Pictures and voxels that a source has already made become the same files as our own.

    python -m pipeline import --settings JSON --archives D.json --shard 000.tsv \\
        --voxels voxels/D/000.zip -o renders/D/000.h5

For such a data set this command stands where prepare, voxelize and render stand for others;
backgrounds, shards and training go on from its two outputs without a difference.  A source
that has pictures and no voxels goes through prepare and voxelize, and here instead of render:

    python -m pipeline import --settings JSON --archives D.json --shard 000.tsv \\
        --prepared prepared/D/000.zip -o renders/D/000.h5
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from pipeline.errors import Reject, UserError
from pipeline.formats.binvox import write_binvox
from pipeline.formats.pack import PackReader, write_pack
from pipeline.manifest import Record, Rejection, shapes_from_tsv
from pipeline.meshes.glb import read_glb
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import ImportSettings
from pipeline.shards import create
from pipeline.sources.base import Archives
from pipeline.sources.mvcnn import MVCNN
from pipeline.sources.mvcnn import VIEWS as MVCNN_VIEWS
from pipeline.sources.r2n2 import R2N2_RELEASE, RESOLUTION, VIEWS


def import_shard(
    settings: ImportSettings,
    archives: Path,  # D.json of `fetch`
    shard: Path,  # one shape list of `index`
    voxels: Path,  # the pack of .binvox to write
    renders: Path,  # the shard of views to write
    *,
    log: Log,
) -> None:
    """Import every shape of one list; rejected ones are recorded in both outputs' ledger, the shard."""
    if settings.resolution != RESOLUTION:
        raise UserError(
            "this source has voxels of one size only",
            where="voxels.resolution",
            got=str(settings.resolution),
            wanted=str(RESOLUTION),
            do="set voxels.resolution: 32",
        )
    shapes = shapes_from_tsv(shard.read_text(encoding="utf-8"), str(shard))
    source = R2N2_RELEASE
    attributes = {"render": {"source": source.title, "views": VIEWS, "size_px": settings.size_px}}
    with (
        Archives.load(archives) as opened,
        write_pack(voxels, ".binvox") as pack,
        create(
            renders, "renders", count=len(shapes), views=VIEWS, size_px=settings.size_px, attributes=attributes
        ) as views,
    ):
        for shape in progress(shapes, f"import {shard.stem}", log=log):
            try:
                payload = write_binvox(source.world_voxels(opened, shape))
                arrays = source.views(opened, shape, settings.size_px)
            except Reject as reject:
                views.reject(Rejection(shape.shape_id, "render", reject.reason, reject.detail))
                continue
            origin = {"mesh_sha256": hashlib.sha256(payload).hexdigest(), "repairs": {}, "source_member": shape.member}
            facts = {
                "prepare": origin,
                "voxelize": {"mode": "given", "engine": "source"},
                "render": {"backend": "imported"},
            }
            record = Record(shape.shape_id, shape.category, shape.name, shape.split, facts)
            pack.add(record, payload)
            views.append(record, **arrays)
    say(f"import: {shard.parent.name}/{shard.stem}: {len(pack.records)} shapes, {len(views.rejects)} rejected")


def import_pictures(
    settings: ImportSettings,
    archives: Path,  # D.json of `fetch`
    shard: Path,  # one shape list of `index`
    prepared: Path,  # the pack of `prepare` for the same list
    renders: Path,  # the shard of views to write
    *,
    log: Log,
) -> None:
    """Import the pictures of every prepared mesh; cameras are fitted to the mesh."""
    shapes = {shape.shape_id: shape for shape in shapes_from_tsv(shard.read_text(encoding="utf-8"), str(shard))}
    pack, source = PackReader(prepared), MVCNN
    attributes = {"render": {"source": source.title, "views": MVCNN_VIEWS, "size_px": settings.size_px}}
    with (
        Archives.load(archives) as opened,
        create(
            renders,
            "renders",
            count=len(pack.records),
            views=MVCNN_VIEWS,
            size_px=settings.size_px,
            attributes=attributes,
        ) as views,
    ):
        for record, payload in progress(pack, f"import {shard.stem}", total=len(pack.records), log=log):
            mesh = read_glb(payload)
            used = mesh.vertices[np.unique(mesh.faces)]
            try:
                arrays = source.views(opened, shapes[record.shape_id], used, settings.size_px)
            except Reject as reject:
                views.reject(Rejection(record.shape_id, "render", reject.reason, reject.detail))
                continue
            record.facts["render"] = {"backend": "imported", "cameras": "nominal distance, fitted lens"}
            views.append(record, **arrays)
    say(f"import: {shard.parent.name}/{shard.stem}: {len(views.records)} shapes, {len(views.rejects)} rejected")
