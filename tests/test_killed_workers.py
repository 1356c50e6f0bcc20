"""kill -9 of the isolated worker, in every stage that has one: once costs nothing, twice fails the job."""

from __future__ import annotations

import gc
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from pipeline.progress import Log
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.datasets import Dataset, ImportViewsSettings, ImportVoxelsSettings, PrepareSettings
from pipeline.settings.photographs import PhotographSettings
from pipeline.settings.render import Render
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.import_views import import_views
from pipeline.stages.import_voxels import import_voxels
from pipeline.stages.index import index_dataset
from pipeline.stages.photographs import build
from pipeline.stages.prepare import prepare_shard
from pipeline.worker import IsolatedWorker
from render.backgrounds import build_bank
from render.shard import render_shard
from tests.measures import dotted, modules
from tests.pipeline.sources.test_r2n2 import release
from tests.pipeline.stages.test_photographs import ikea
from tests.render.helpers import cube, prepared_pack
from tests.render.test_backgrounds import PICTURES
from tests.render.test_backgrounds import folder as pictures
from tests.voxelize.solids import box
from tests.voxelize.test_shard import shard
from voxelize.cli import main as voxelize

NO_LOG = Log(None)
Stage = Callable[[Path], None]

pytestmark = pytest.mark.usefixtures("quick_workers")


def _prepare(folder: Path) -> Stage:
    for number in range(3):
        path = folder / "meshes" / "box" / f"{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        vertices, faces = np.array(box()[0]) * (1 + number), np.array(box()[1])
        lines = [f"OFF\n{len(vertices)} {len(faces)} 0", *(f"{x} {y} {z}" for x, y, z in vertices)]
        path.write_text("\n".join([*lines, *(f"3 {a} {b} {c}" for a, b, c in faces)]) + "\n")
    dataset = Dataset(source="folder", path=str(folder / "meshes"), shards=1)
    fetch_dataset("d", dataset, folder / "d.json", log=NO_LOG)
    index_dataset("d", dataset, folder / "d.json", folder / "index", seed=1, log=NO_LOG)
    settings = PrepareSettings(source="folder")
    return lambda out: prepare_shard(settings, folder / "d.json", folder / "index" / "000.tsv", out)


def _voxelize(folder: Path) -> Stage:
    packed = shard(folder / "p.zip", {name: write_glb(Mesh(*box())) for name in ("a", "b", "c")})
    words = ["shard", "--settings", "{}", "--prepared", str(packed), "-o"]
    return lambda out: _zero(voxelize([*words, str(out)]))


def _voxelize_files(folder: Path) -> Stage:
    path = folder / "one.glb"
    path.write_bytes(write_glb(Mesh(*box())))
    return lambda out: _zero(voxelize([str(path), "-d", "16", "--force", "-o", str(out.with_suffix(".binvox"))]))


def _render(folder: Path) -> Stage:
    packed = prepared_pack(folder / "p.zip", {"box/a": cube(), "box/b": cube(0.5)})
    settings = Render(size_px=32, views=2)
    return lambda out: render_shard(packed, out.with_suffix(".h5"), seed=1, settings=settings, log=NO_LOG)


def _r2n2(folder: Path) -> tuple[Path, Path]:
    """A fetched release of two models, and the list of its only shard."""
    dataset = Dataset(source="r2n2", mirrors=(str(release(folder / "r2n2")),), shards=1)
    fetch_dataset("d", dataset, folder / "d.json", log=NO_LOG)
    index_dataset("d", dataset, folder / "d.json", folder / "index", seed=1, log=NO_LOG)
    return folder / "d.json", folder / "index" / "000.tsv"


def _voxels(folder: Path) -> Stage:
    place, settings = _r2n2(folder), ImportVoxelsSettings(source="r2n2")
    return lambda out: import_voxels(settings, *place, out, log=NO_LOG)


def _views(folder: Path) -> Stage:
    place, settings = _r2n2(folder), ImportViewsSettings(source="r2n2", size_px=64)
    return lambda out: import_views(settings, *place, None, out.with_suffix(".h5"), log=NO_LOG)


def _photographs(folder: Path) -> Stage:
    settings = PhotographSettings(source="ikea", path=str(ikea(folder / "ikea")), size_px=64)
    return lambda out: build(settings, out.with_suffix(".npz"), log=NO_LOG)


def _backgrounds(folder: Path) -> Stage:
    source, settings = pictures(folder / "pictures", PICTURES), Backgrounds(count=2)
    return lambda out: build_bank(source, out.with_suffix(".npz"), seed=1, settings=settings, render_px=32, log=NO_LOG)


STAGES = {
    "pipeline.stages.prepare": _prepare,
    "voxelize.shard": _voxelize,
    "voxelize.batch": _voxelize_files,
    "render.shard": _render,
    "pipeline.stages.photographs": _photographs,
    "render.backgrounds": _backgrounds,
    "pipeline.stages.import_voxels": _voxels,
    "pipeline.stages.import_views": _views,
}


def _zero(code: int) -> None:
    assert code == 0


def published(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def killing(monkeypatch: pytest.MonkeyPatch, attempts: set[int]) -> list[int]:
    """kill -9 the worker before the attempts of these numbers; the list of all attempts made."""
    original, made = IsolatedWorker._attempt, []

    def attempt(self: IsolatedWorker[Any], arguments: tuple[Any, ...]) -> Any:
        made.append(len(made))
        if made[-1] in attempts:
            if self._connection is None:
                self._start()
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.join()
        return original(self, arguments)

    monkeypatch.setattr(IsolatedWorker, "_attempt", attempt)
    return made


@pytest.mark.parametrize("name", STAGES)
def test_a_killed_worker_loses_no_shape(name: str, tmp_path: Path) -> None:
    run = STAGES[name](tmp_path)
    for folder in ("undisturbed", "once", "twice"):
        (tmp_path / folder).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        shapes = killing(patch, set())
        run(tmp_path / "undisturbed" / "out.zip")
    with pytest.MonkeyPatch.context() as patch:
        attempts = killing(patch, {len(shapes) - 1})
        run(tmp_path / "once" / "out.zip")
    assert len(attempts) == len(shapes) + 1
    assert published(tmp_path / "once") == published(tmp_path / "undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        killing(patch, {0, 1})
        with pytest.raises(UserError, match="ended from outside, twice"):
            run(tmp_path / "twice" / "out.zip")
    assert published(tmp_path / "twice") == {}
    gc.collect()  # what a failure leaves behind must go in silence, and here


def test_every_stage_with_a_worker_is_tried() -> None:
    makes = re.compile(r"IsolatedWorker(\[.*\])? = IsolatedWorker\(|= IsolatedWorker\[")
    assert {dotted(path) for path in modules() if makes.search(path.read_text(encoding="utf-8"))} == set(STAGES)
