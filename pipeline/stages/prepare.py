"""One source mesh becomes one normalised GLB in world axes: validated, repaired, placed.

    python -m pipeline prepare --settings JSON --archives D.json --shard 000.tsv -o 000.zip

What is repaired and what is refused: pipeline/meshes/normalise.py.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import posixpath
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.conventions import UP_AXIS_TO_WORLD, Grid, Matrix
from pipeline.errors import Reject
from pipeline.formats.pack import write_pack
from pipeline.manifest import NO_SPLIT, Record, Rejection, Shape, shapes_from_tsv
from pipeline.meshes import frames
from pipeline.meshes.files import Files
from pipeline.meshes.glb import write_glb
from pipeline.meshes.load import load_member
from pipeline.meshes.normalise import Placement, normalise, turned
from pipeline.meshes.surface import surface_of
from pipeline.progress import Log, progress, say
from pipeline.settings.datasets import PrepareSettings
from pipeline.settings.parse import parse
from pipeline.settings.sources import SOURCES
from pipeline.sources.base import Archives, Licence, Source, source_of
from pipeline.worker import IsolatedWorker

SECONDS_PER_SHAPE = 120.0  # the largest real meshes take a few
SECONDS_TO_DECIMATE = 600.0  # where large meshes are simplified; two million faces take about one minute
MEMORY_BYTES = 4 << 30  # address space that one shape may take


def prepare_shard(
    settings: PrepareSettings,
    archives: Path,  # D.json of `fetch`
    shard: Path,  # one shape list of `index`
    output: Path,  # the pack to write
    *,
    log: Log | None = None,
) -> None:
    """Prepare every shape of one list; rejected ones are recorded in the pack."""
    shapes = shapes_from_tsv(shard.read_text(encoding="utf-8"), str(shard))
    # A file made to hang a reader or to fill the memory takes its own process with it and nothing else.
    worker: IsolatedWorker[tuple[Record, bytes]] = IsolatedWorker(
        functools.partial(_make_job, settings, archives),
        seconds=SECONDS_PER_SHAPE if settings.above_max_faces == "reject" else SECONDS_TO_DECIMATE,
        memory_bytes=MEMORY_BYTES,
    )
    with worker, write_pack(output, ".glb") as pack:
        for shape in progress(shapes, f"prepare {shard.stem}", log=log):
            try:
                pack.add(*worker.call(shape))
            except Reject as reject:
                pack.reject(Rejection(shape.shape_id, "prepare", reject.reason, reject.detail))
        say(f"prepare: {shard.parent.name}/{shard.stem}: {len(pack.records)} meshes, {len(pack.rejects)} rejected")
    _say_frames(settings, shapes)


def _say_frames(settings: PrepareSettings, shapes: list[Shape]) -> None:
    """Files of a folder that were turned as the custom of their format is: nobody has asked for it."""
    suffixes = {posixpath.splitext(shape.member)[1].lower() for shape in shapes}
    turned_ones = sorted(suffix for suffix in suffixes if frames.is_turned(suffix))
    if settings.source == "folder" and settings.up_axis is None and turned_ones:
        say(
            f"prepare: {' and '.join(turned_ones)} files stand and face as docs/formats.md says of their format; "
            "`up_axis` and `yaw_deg` of the data set say otherwise"
        )


def _make_job(settings: PrepareSettings, archives: Path) -> Callable[[Shape], tuple[Record, bytes]]:
    """What the worker keeps for its whole life: the open archives."""
    return functools.partial(_prepare_one, Archives.load(archives), source_of(settings.source), settings)


def _prepare_one(opened: Archives, source: Source, settings: PrepareSettings, shape: Shape) -> tuple[Record, bytes]:
    if "mesh" in SOURCES[settings.source].provides:
        member, files = source.model(opened, shape)
        record, payload = prepare_shape(shape, member, files, settings, source.frame_of(member))
    else:
        record, payload = prepare_voxels(shape, source.voxels(opened, shape), source.to_world)
    record.facts["prepare"] |= Licence.facts_of(source.licence(opened, shape))
    return record, payload


def prepare_shape(
    shape: Shape, member: str, files: Files, settings: PrepareSettings, source_to_world: Matrix
) -> tuple[Record, bytes]:
    """Load, validate, repair and place one shape; its record and its GLB."""
    loaded = load_member(member, files, texture_px=settings.texture_px)
    upright = UP_AXIS_TO_WORLD[settings.up_axis] if settings.up_axis else source_to_world
    rotation = turned(upright, settings.yaw_deg)
    mesh, placement, repairs = normalise(
        loaded.mesh, rotation, max_faces=settings.max_faces, above=settings.above_max_faces
    )
    payload = write_glb(mesh)
    facts = {
        "mesh_sha256": hashlib.sha256(payload).hexdigest(),
        "placement": placement.facts(),
        "repairs": repairs,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "materials": len(mesh.materials),
        "textures": sum(material.texture is not None for material in mesh.materials),
        "missing_textures": loaded.missing_textures,
        "refused_paths": loaded.refused,
        "source_member": shape.member,
    }
    return Record(shape.shape_id, shape.category, shape.name, NO_SPLIT, {"prepare": facts}), payload


def prepare_voxels(shape: Shape, grid: Grid, to_world: Matrix) -> tuple[Record, bytes]:
    """One shape that is published as voxels: they stay where they are, and their surface is the mesh."""
    mesh = surface_of(grid)
    payload = write_glb(mesh)
    size = grid.shape[0]
    facts = {
        "mesh_sha256": hashlib.sha256(payload).hexdigest(),
        "placement": Placement(1.0 / size, to_world, np.full(3, 0.5 / size - 0.5)).facts(),
        "repairs": {},
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "source_member": shape.member,
    }
    return Record(shape.shape_id, shape.category, shape.name, NO_SPLIT, {"prepare": facts}), payload


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--archives", type=Path, required=True, help="archives/<data set>.json")
    parser.add_argument("--shard", type=Path, required=True, help="list of the shapes, .tsv")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(PrepareSettings, given.settings, "--settings")
    prepare_shard(settings, given.archives, given.shard, given.output, log=log)
