"""Small releases in official layouts, a web server that offers them, and all stages over them."""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from pipeline.formats.ledger import Row, read_ledger
from pipeline.formats.pack import PackReader, write_pack
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset, ImportViewsSettings, ImportVoxelsSettings, PrepareSettings
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings
from pipeline.settings.voxels import Voxels
from pipeline.shards.index import write_index
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.import_views import import_views
from pipeline.stages.import_voxels import import_voxels
from pipeline.stages.index import index_dataset
from pipeline.stages.ledger import write_ledger
from pipeline.stages.prepare import prepare_shard
from render.pack import pack_shard
from render.shard import render_shard
from voxelize.shard import voxelize_glb

NO_LOG = Log(None)
# A chair in glTF's frame, +Y up and +Z front: seat, back at -Z, four legs, one arm at +X.
CHAIR = [
    ((-0.25, 0.4, -0.25), (0.25, 0.46, 0.25)),
    ((-0.25, 0.46, -0.25), (0.25, 0.95, -0.2)),
    *(((x, 0, z), (x + 0.06, 0.4, z + 0.06)) for x in (-0.25, 0.19) for z in (-0.25, 0.19)),
    ((0.2, 0.46, -0.25), (0.25, 0.65, 0.15)),
]
TABLE = [((-0.6, 0.7, -0.4), (0.6, 0.75, 0.4)), ((-0.05, 0, -0.05), (0.05, 0.7, 0.05))]
Boxes = list[tuple[tuple[float, ...], tuple[float, ...]]]


def mesh_of(boxes: Boxes) -> trimesh.Trimesh:
    """Boxes from corner to corner."""
    parts = [trimesh.creation.box(bounds=np.array(box, float)) for box in boxes]
    return trimesh.util.concatenate(parts)


def glb(boxes: Boxes, colour: tuple[int, int, int]) -> bytes:
    """One binary glTF file with vertex colours."""
    mesh = mesh_of(boxes)
    mesh.visual.vertex_colors = np.tile([*colour, 255], (len(mesh.vertices), 1)).astype(np.uint8)
    return bytes(mesh.export(file_type="glb"))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Put files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def packed(value: Any) -> bytes:
    """JSON, or text as it is, in gzip."""
    return gzip.compress((value if isinstance(value, str) else json.dumps(value)).encode())


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table of comma-separated values."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([columns, *rows])
    return out.getvalue()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of `folder`, and the paths that it is asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path.lstrip("/"))
            super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def listed(folder: Path, dataset: Dataset, seed: int = 1) -> Path:
    """`fetch` and `index` into `folder`; the folder of the lists."""
    fetch_dataset("d", dataset, folder / "archives/d.json", seed=seed, log=NO_LOG)
    index_dataset("d", dataset, folder / "archives/d.json", folder / "index", seed=seed, log=NO_LOG)
    return folder / "index"


def ledger(folder: Path, dataset: Dataset, *packs: Path) -> dict[str, Row]:
    """The ledger of what has been made, by shape."""
    write_ledger("d", dataset, folder / "index", packs, folder / "ledger.tsv", log=NO_LOG)
    return {row.shape_id: row for row in read_ledger(folder / "ledger.tsv")}


def prepared(folder: Path, dataset: Dataset) -> dict[str, Row]:
    """The stages up to `prepare`; the ledger."""
    listed(folder, dataset)
    settings = PrepareSettings(source=dataset.source)
    prepare_shard(settings, folder / "archives/d.json", folder / "index/000.tsv", folder / "p.zip", log=NO_LOG)
    return ledger(folder, dataset, folder / "p.zip")


def through(folder: Path, dataset: Dataset, *, size_px: int = 32, views: int = 2) -> dict[str, Row]:
    """Every stage up to the shard and its index; the ledger."""
    listed(folder, dataset)
    record, shapes = folder / "archives/d.json", folder / "index/000.tsv"
    prepared, voxels, renders = folder / "p.zip", folder / "v.zip", folder / "r.h5"
    packs = [voxels, renders]
    if dataset.entry.prepared:
        prepare_shard(PrepareSettings(source=dataset.source), record, shapes, prepared, log=NO_LOG)
        with write_pack(voxels, ".binvox") as out:  # without the process of its own, which takes seconds to start
            for record, mesh in PackReader(prepared):
                grid, record.facts["voxelize"] = voxelize_glb(Voxels().model_dump(), mesh)
                out.add(record, grid)
        render_shard(prepared, renders, seed=1, settings=Render(size_px=size_px, views=views), log=NO_LOG)
        packs.append(prepared)
    else:
        import_voxels(ImportVoxelsSettings(source=dataset.source), record, shapes, voxels, log=NO_LOG)
        settings = ImportViewsSettings(source=dataset.source, size_px=size_px)
        import_views(settings, record, shapes, None, renders, log=NO_LOG)
    pack = PackSettings(background="white")
    pack_shard(renders, voxels, None, folder / "000.h5", seed=1, settings=pack, log=NO_LOG, shapes=shapes)
    write_index([folder / "000.h5"], folder / "index.json")
    return ledger(folder, dataset, *packs)
