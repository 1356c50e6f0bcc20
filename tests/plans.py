"""Worlds to plan in: every product is there with its record, none was computed; Snakemake plans in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from snakemake.api import SnakemakeApi
from snakemake.parser import parse
from snakemake.settings.enums import Quietness
from snakemake.settings.types import DAGSettings, OutputSettings, ResourceSettings

from pipeline import provenance
from pipeline.atomic import write_json
from pipeline.furniture.archive import generate
from pipeline.progress import Log
from pipeline.settings.datasets import Procedural
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.index import index_dataset
from pipeline.state import record
from pipeline.state.files import read_state
from pipeline.workflow.graph import Job
from pipeline.workflow.plan import Plan
from pipeline.workflow.why import why
from tests.world import ROOT, box_off

CONFIG = """
seed: 7
output: results
datasets:
  gen: {source: procedural, procedural: {layout: modelnet, shapes_per_category: 2}, shards: 2}
  zip: {source: modelnet10, mirrors: [mirrors/one], shards: 2}
  net: {source: shapenet_v1, mirrors: [mirrors/net], shards: 1}
  mine: {source: folder, path: meshes, shards: 2}
backgrounds: {source: folder, path: pictures, count: 8}
photographs:
  shots: {source: ikea, path: shots}
experiments:
  first: {datasets: [gen, zip]}
  second: {datasets: [mine], preset: small}
"""


class PlannedWorld:
    """A folder in which everything of a configuration is made, in name."""

    def __init__(self, folder: Path):
        self.folder, self.results = folder, folder / "results"

    @classmethod
    def made(cls, folder: Path) -> PlannedWorld:
        """Inputs as people have them, and every product as a file that says its name, with its record."""
        world = cls(folder)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
        for number in range(8):
            world.mesh("box" if number % 2 else "slab", number)
        for place in ("pictures/a.jpg", "pictures/deep/b.jpg", "shots/Lists/Images.txt"):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(place, encoding="utf-8")
        world.modelnet()
        for synset in ("03001627", "04256520"):
            files = {f"{synset}/m{n}/model.obj": f"# {n}\n" for n in range(4)}
            write_zip(folder / f"mirrors/net/{synset}.zip", files)
        with contextlib.chdir(folder):
            plan = world.plan()
            for name in plan.graph.archived:
                fetch(plan, name)
                for rule in ("generate", "fetch")[plan.config.datasets[name].source != "procedural" :]:
                    pretend(plan, Job(rule, name))
            plan = world.plan()
            plan.publish()
            for job in plan.planned(["all"]):
                pretend(plan, job)
        return world

    def copy(self, folder: Path) -> PlannedWorld:
        """Another place with the same content and other times."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copyfile, symlinks=True)
        return PlannedWorld(folder)

    def plan(self) -> Plan:
        """The plan of the configuration as it is; the working directory is the caller's."""
        return Plan(yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8")))

    def make(self, *targets: str) -> None:
        """Pretend a run."""
        with contextlib.chdir(self.folder):
            plan = self.plan()
            jobs = plan.planned(targets or ["all"])
            plan.publish()
            for job in jobs:
                pretend(plan, job)

    def planned(self, *targets: str, **asked: object) -> Counter[str]:
        """Jobs by rule that Snakemake would run; the plan by itself must say the same."""
        targets = targets or ("all",)
        with contextlib.chdir(self.folder), quiet_snakemake(), mock.patch("snakemake.workflow.parse", _parsed):
            updated: list[str] = []
            with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
                workflow = api.workflow(
                    resource_settings=ResourceSettings(cores=1), snakefile=ROOT / "Snakefile", workdir=self.folder
                )
                dag = workflow.dag(DAGSettings(targets=frozenset(targets), **asked))  # type: ignore[arg-type]
                dag.execute_workflow(executor="dryrun", updated_files=updated)
            records = (re.search(r"(?:^|/)made/(\w+)(?:/.*)?\.json$", path) for path in set(updated))
            found = Counter(record[1] for record in records if record)
            if not asked:
                plan = self.plan()
                jobs = plan.planned(targets)
                alone = Counter(job.rule for job in jobs)
                assert found == alone, f"Snakemake: {found - alone} more, {alone - found} less than the plan"
                causes = [line for line in why(plan, jobs) if not line.startswith("what follows")]
                assert causes or not jobs, "nobody says why"
                assert not any("made from" in line for line in causes) or "no record" in causes[0], causes
        return found

    def made_anew(self, record_of: str, name: str, text: str) -> None:
        """Another product, as its job would have left it."""
        (self.results / name).write_text(text, encoding="utf-8")
        kept = self.results / "made" / f"{record_of}.json"
        values = read_state(kept)
        write_json(kept, record.complete(values | {"outputs": list(values["outputs"])}, self.results))

    def edit(self, **sections: object) -> None:
        """Change top-level sections of config.yaml; a dict is merged into its section, None takes a key away."""
        path = self.folder / "config.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(_merged(values, sections)), encoding="utf-8")

    def mesh(self, category: str, number: int, x: float | None = None) -> Path:
        """Write one mesh of the folder."""
        path = self.folder / "meshes" / category / f"shape{number}.off"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(box_off(1 + number if x is None else x, 2, 3), encoding="utf-8")
        return path

    def modelnet(self, mirror: str = "mirrors/one", extra: int = 0, edited: int | None = None) -> None:
        """Write ModelNet10.zip: 6 beds to train on and 6 sofas to test, `extra` more beds, one of them edited."""
        files = {}
        for n in range(6 + extra):
            x = 9.5 if n == edited else 1.0 + n
            files[f"ModelNet10/bed/train/bed_{n:04d}.off"] = box_off(x, 2, 3)
        for n in range(6):
            files[f"ModelNet10/sofa/test/sofa_{n:04d}.off"] = box_off(1 + n, 2, 1)
        write_zip(self.folder / mirror / "ModelNet10.zip", files)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Every file with content and time, but Snakemake's own."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and ".snakemake" not in path.parts]
        return {str(path.relative_to(self.folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def fetch(plan: Plan, name: str) -> None:
    """Make the archives of a generated set, and the record of any set's archives."""
    settings, mirror = plan.config.datasets[name], Path(f"results/mirror/{name}")
    with Log(None) as log:
        if settings.source == "procedural":
            generate(name, settings.procedural or Procedural(), mirror, seed=plan.config.seed, log=log)
        at = mirror if mirror.is_dir() else None
        fetch_dataset(name, settings, Path(plan.graph.path(Job("fetch", name))), mirror=at, log=log)


def list_generated(plan: Plan, name: str) -> None:
    """What the jobs `generate`, `fetch` and `index` do in the course of a run."""
    fetch(plan, name)
    record, folder = Path(plan.graph.path(Job("fetch", name))), Path(plan.graph.path(Job("index", name))).parent
    shards = len(plan.shards(name))
    with Log(None) as log:
        index_dataset(name, plan.config.datasets[name], record, folder, seed=plan.config.seed, log=log, shards=shards)


def pretend(plan: Plan, job: Job) -> None:
    """What a job leaves: its files, and its record."""
    networks = ["best.safetensors", "000000064.safetensors"] if job.rule == "train" else []
    more = [f"{plan.out}/runs/{job.name}/checkpoints/{name}" for name in networks]
    for path in map(Path, [*plan.graph.outputs(job), *more]):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("/".join(job), encoding="utf-8")
    made = Path(plan.graph.made(job))
    made.parent.mkdir(parents=True, exist_ok=True)
    record.main([str(made), plan.made(job.rule)(words(job))])


def words(job: Job) -> dict[str, str]:
    """The wildcards of a job."""
    kinds = {"train": "experiment", "evaluate": "experiment", "photographs": "photographs"}
    found = {kinds.get(job.rule, "dataset"): job.name, "shard": job.shard}
    return {key: value for key, value in found.items() if value}


def write_zip(path: Path, files: dict[str, str]) -> None:
    """A zip whose members have fixed times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)


_PARSED: dict[tuple[str, int], tuple[str, int, dict[int, int]]] = {}


def _parsed(file: Any, workflow: Any, *, rulecount: int, linemap: dict[int, int]) -> tuple[str, int]:
    """`snakemake.parser.parse`, once a file: the rules stay what they are while the tests run."""
    key = (file.get_path_or_uri(secret_free=True), rulecount)
    if key not in _PARSED:
        lines: dict[int, int] = {}
        _PARSED[key] = (*parse(file, workflow, rulecount=rulecount, linemap=lines), lines)
    code, count, lines = _PARSED[key]
    linemap.update(lines)
    return code, count


@contextlib.contextmanager
def quiet_snakemake() -> Iterator[None]:
    """Snakemake sets up the logging of its process each time; leave none of it behind."""
    logger = logging.getLogger("snakemake.logging")
    before = logger.handlers[:], logger.level
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):  # noqa: E501
        try:
            yield
        finally:
            logger.handlers[:], level = before
            logger.setLevel(level)


@contextlib.contextmanager
def edited_code(clone: Path, file: str, edit: tuple[str, str]) -> Iterator[None]:
    """The code as if `file` had been edited: `edit` replaces one text by another; ("", text) appends."""
    path, (old, new) = clone / file, edit
    before = path.read_text(encoding="utf-8")
    assert old in before, f"{file} has no {old!r}"
    path.write_text(before.replace(old, new, 1) if old else before + new, encoding="utf-8")
    root = provenance.ROOT
    provenance.ROOT = clone
    provenance.forget()
    try:
        yield
    finally:
        provenance.ROOT = root
        provenance.forget()
        path.write_text(before, encoding="utf-8")


def _merged(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
        return {key: value for key, value in merged.items() if value is not None}
    return new
