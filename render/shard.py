"""``python -m render shard``: every view of every shape of a prepared pack, into one shard of renders.

What is stored is the foreground only (straight-alpha RGBA) with its cameras and lights, so
other backgrounds or other voxels never draw anything again.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import Array, Images
from pipeline.errors import Reject
from pipeline.formats.pack import PackReader
from pipeline.manifest import Record, Rejection
from pipeline.meshes.glb import read_glb
from pipeline.progress import Log, progress, say
from pipeline.settings.render import Render
from pipeline.shards import create
from pipeline.worker import IsolatedWorker
from render.backends.choose import Backend, make_backend, settle
from render.cameras import FOV_DEG, face_samples, make_cameras, truncation
from render.lights import make_lights
from render.scene import prepare_scene

STAGE = "render"
MEMORY_BYTES = 4 << 30  # address space that one shape may take
BLACK_LIGHT = 0.002  # linear; materials below it may well be drawn black
Arrays = dict[str, Array]


def render_shard(prepared: Path, out: Path, *, seed: int, settings: Render, log: Log) -> None:
    """Draw a pack; a shape that cannot be drawn becomes a rejection in the shard."""
    pack = PackReader(prepared)
    attributes = {"seed": seed, "render": settings.model_dump(mode="json"), "fov_deg": FOV_DEG}
    settings = settle(settings)
    attributes["backend"] = settings.backend
    raster = settings.backend == "raster"
    worker: IsolatedWorker[tuple[Arrays, dict[str, Any]]] = IsolatedWorker(
        functools.partial(_make_job, settings, seed),
        seconds=settings.seconds_per_shape,
        memory_bytes=MEMORY_BYTES if raster else None,  # GPU drivers map far more than they use
        start="fork" if raster else "spawn",
    )
    with (
        worker,
        create(
            out,
            "renders",
            count=len(pack.records),
            views=settings.views,
            size_px=settings.size_px,
            attributes=attributes,
        ) as shard,
    ):
        for record, payload in progress(pack, "render", total=len(pack.records), log=log):
            try:
                arrays, facts = worker.call(record.shape_id, payload)
            except Reject as reject:
                shard.reject(Rejection(record.shape_id, STAGE, reject.reason, reject.detail))
                log.write("reject", shape=record.shape_id, reason=reject.reason, detail=reject.detail)
                continue
            shard.append(_with_facts(record, facts), **arrays)
        drawn, lost = len(shard.records), len(shard.rejects)
    say(
        f"render {prepared.parent.name}/{prepared.stem}: {drawn} shapes x {settings.views} views"
        + (f", {lost} rejected" if lost else "")
    )


def _with_facts(record: Record, facts: dict[str, Any]) -> Record:
    return dataclasses.replace(record, facts={**record.facts, STAGE: facts})


def _make_job(settings: Render, seed: int) -> Callable[[str, bytes], tuple[Arrays, dict[str, Any]]]:
    """What the worker keeps for its whole life: one backend."""
    backend = make_backend(settings)
    return functools.partial(render_shape, backend, settings, seed)


def render_shape(
    backend: Backend, settings: Render, seed: int, shape_id: str, payload: bytes
) -> tuple[Arrays, dict[str, Any]]:
    """All views of one .glb: the arrays of a `renders` shard, and what is worth knowing of them."""
    mesh = read_glb(payload)
    if len(mesh.faces) > settings.max_faces:
        raise Reject("too_large", f"{len(mesh.faces):,} faces; render.max_faces is {settings.max_faces:,}")
    scene = prepare_scene(mesh)
    backend.load(scene)
    used = scene.vertices[np.unique(scene.faces)]
    cameras = make_cameras(
        settings.cameras, seed=seed, shape_id=shape_id, views=settings.views, size_px=settings.size_px, vertices=used
    )
    lights = [make_lights(seed, shape_id, view, camera) for view, camera in enumerate(cameras)]
    rgba = np.stack([backend.render(camera, row).rgba for camera, row in zip(cameras, lights, strict=True)])
    centres, areas = face_samples(scene.vertices[scene.faces])
    textured = int((scene.level_count[scene.face_material] > 0).sum())
    arrays: Arrays = {
        "rgba": rgba,
        "K": np.stack([camera.K for camera in cameras]),
        "camera_to_world": np.stack([camera.camera_to_world for camera in cameras]),
        "azimuth_deg": np.array([camera.azimuth_deg for camera in cameras], np.float32),
        "elevation_deg": np.array([camera.elevation_deg for camera in cameras], np.float32),
        "distance": np.array([camera.distance for camera in cameras], np.float32),
        "roll_deg": np.array([camera.roll_deg for camera in cameras], np.float32),
        "coverage": (rgba[..., 3].mean(axis=(1, 2)) / 255).astype(np.float32),
        "truncation": np.array([truncation(camera, centres, areas) for camera in cameras], np.float32),
        "lights": np.stack(lights),
    }
    _check_views(rgba, black=not textured and bool(scene.material_colour[scene.face_material].max() < BLACK_LIGHT))
    facts = {
        "backend": backend.name,
        "backend_version": backend.version,
        "faces": len(scene.faces),
        "faces_left_out": len(mesh.faces) - len(scene.faces),
        "textured_faces": textured,
        "transparent_faces": scene.transparent_faces,
        "opaque_instead": scene.opaque_instead,
    }
    return arrays, facts


def _check_views(rgba: Images, *, black: bool) -> None:
    """A shape without a single visible or lit view is of no use; single odd views are the audit's matter.

    `black` says that the shape's own materials are: that is a fact, not a mistake.
    """
    if not rgba[..., 3].any():
        raise Reject("empty_views", "no view shows anything of the shape")
    if not black and rgba[..., :3].max() == 0:
        raise Reject("black_views", "every view is entirely black")
