"""Pictures and voxels that a source has already made become the same files as our own.

    python -m pipeline import --settings JSON --archives D.json --shard 000.tsv \\
        --voxels voxels/D/000.zip -o renders/D/000.h5

For such a data set this command stands where prepare, voxelize and render stand for others;
backgrounds, shards and training go on from its two outputs without a difference.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.binvox import write_binvox
from pipeline.errors import Reject, UserError
from pipeline.manifest import Record, Rejection, shapes_from_tsv
from pipeline.pack import write_pack
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import ImportSettings
from pipeline.shards import create
from pipeline.sources.base import Archives
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
