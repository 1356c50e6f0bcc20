"""Many mesh files on the command line: in parallel, with progress, and resumable.

Beside the outputs a journal, ``.voxelize.jsonl``, says from which input and with which flags
each was made; the same command again skips what is done, other flags make it anew.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.atomic import atomic_path
from pipeline.errors import Reject
from pipeline.progress import progress, say
from pipeline.state.files import parse_json
from pipeline.worker import IsolatedWorker
from voxelize.options import Options

JOURNAL = ".voxelize.jsonl"
Worker = IsolatedWorker[tuple[bytes, dict[str, Any]]]


@dataclass(frozen=True)
class Batch:
    """What to do with every mesh."""

    options: Options
    engine: str = "auto"
    kind: str = "binvox"
    compat_header: bool = False
    report: bool = False
    """Collect a quality record of each mesh."""
    jobs: int = 1
    seconds: float = 600.0
    """A mesh that takes longer is given up."""
    force: bool = False
    """Make again what is already there."""


def run(batch: Batch, meshes: Sequence[tuple[Path, Path]]) -> list[dict[str, Any]]:
    """Voxelize (input, output) pairs -> one record each, in their order; a failed one has `error`."""
    journals = {folder: _read_journal(folder) for folder in {output.parent for _, output in meshes}}
    records: dict[int, dict[str, Any]] = {}
    waiting: list[int] = []
    for number, (source, output) in enumerate(meshes):
        done = journals[output.parent].get(output.name)
        if not batch.force and done is not None and done["key"] == _key(batch, source) and output.is_file():
            records[number] = done["record"]
        else:
            waiting.append(number)
    if len(waiting) < len(meshes):
        say(f"{len(meshes) - len(waiting)} of {len(meshes)} are done already")
    for number, record in _work(batch, meshes, waiting):
        source, output = meshes[number]
        records[number] = record
        if "error" not in record:
            _append_journal(output, {"output": output.name, "key": _key(batch, source), "record": record})
        elif len(meshes) > 1:
            say(f"{source}: {record['error']}", needed=True)
    return [records[number] for number in range(len(meshes))]


def _work(
    batch: Batch, meshes: Sequence[tuple[Path, Path]], waiting: list[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records as they come, from `jobs` worker processes, each led by a thread."""
    jobs = max(1, min(batch.jobs, len(waiting)))
    common = {**dataclasses.asdict(batch), "options": batch.options}
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    make_job = functools.partial(functools.partial, voxelize_file, common)
    # spawn: a thread here must not fork the others.
    workers = [Worker(make_job, seconds=batch.seconds, memory_bytes=None, start="spawn") for _ in range(jobs)]
    for worker in workers:
        idle.put(worker)

    def one(number: int) -> dict[str, Any]:
        source, output = meshes[number]
        worker = idle.get()
        start = time.monotonic()
        try:
            data, record = worker.call(str(source))
            with atomic_path(output) as temporary:
                temporary.write_bytes(data)
            return {"mesh": str(source), "output": str(output), **record, "seconds": round(time.monotonic() - start, 4)}
        except Reject as reject:
            return {"mesh": str(source), "error": str(reject)}
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(one, number): number for number in waiting}
            try:
                for future in progress(as_completed(futures), "voxelize", total=len(waiting), unit="mesh"):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        for worker in workers:
            worker.close()


def voxelize_file(common: dict[str, Any], path: str) -> tuple[bytes, dict[str, Any]]:
    """One mesh file -> the output's bytes and its record; runs in a worker process."""
    # Imported here: only the worker processes pay for the compiler.
    from voxelize import formats
    from voxelize.engines import builtin
    from voxelize.engines.choose import engine
    from voxelize.kernels.frame import fitted
    from voxelize.meshes import read_mesh
    from voxelize.quality import quality

    options: Options = common["options"]
    chosen = engine(common["engine"], 0.9 * common["seconds"])
    mesh = read_mesh(Path(path))
    solid = chosen.voxelize(mesh.vertices, mesh.faces, options)
    # The original centres the mesh with -cb but writes the header of the mesh that it did not centre.
    uncentred = common["compat_header"] and options.centred and options.box is None
    turned = builtin.turned(mesh.vertices, options.turns_x, options.turns_z)
    data = formats.encode(solid, common["kind"], fitted(turned) if uncentred else None)
    translate, scale = solid.placement
    record: dict[str, Any] = {"engine": chosen.name, "mode": options.mode, "translate": translate, "scale": scale}
    if common["report"]:
        record |= quality(solid, turned, mesh.faces)
    return data, record


def _key(batch: Batch, source: Path) -> str:
    """Changes with the mesh file and with everything that could change the output."""
    try:
        status = source.stat()
    except OSError:
        return ""
    settings = dataclasses.asdict(batch)
    for name in ("jobs", "seconds", "force"):
        del settings[name]
    text = json.dumps([settings, str(source.resolve()), status.st_size, status.st_mtime_ns], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _read_journal(folder: Path) -> dict[str, dict[str, Any]]:
    """Output name -> its last entry; lines that a kill has cut short are passed over."""
    entries: dict[str, dict[str, Any]] = {}
    path = folder / JOURNAL
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            entry = parse_json(line)
            entries[entry["output"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return entries


def _append_journal(output: Path, entry: dict[str, Any]) -> None:
    with open(output.parent / JOURNAL, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
