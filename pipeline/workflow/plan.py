"""The plan behind the Snakefile: which files there are, and what each stage may depend on.

A stage's settings travel to it as JSON on its command line and reach Snakemake as a param,
so a job depends on exactly the values it can see: a changed render setting re-renders, a
changed voxel setting re-voxelizes and re-packs, and nothing else moves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.progress import Log
from pipeline.provenance import ROOT, code_digest, files_digest
from pipeline.settings import config as configuration
from pipeline.settings.base import Strict
from pipeline.settings.config import Config
from pipeline.settings.datasets import (
    Dataset,
    ImportViewsSettings,
    ImportVoxelsSettings,
    PrepareSettings,
    Procedural,
)
from pipeline.settings.photographs import PhotographSettings
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings
from pipeline.settings.sources import Kind

# The module whose import closure is the code of a stage; a code edit re-runs what it can reach.
# Fetching is left out on purpose: an edited downloader must not download 39 GB again.
STAGE_MODULES = {
    "generate": ("pipeline.stages.generate",),
    "rooms": ("pipeline.stages.rooms",),
    "index": ("pipeline.stages.index",),
    "prepare": ("pipeline.stages.prepare",),
    "import_voxels": ("pipeline.stages.import_voxels",),
    "import_views": ("pipeline.stages.import_views",),
    "voxelize": ("voxelize.shard",),
    "backgrounds": ("render.backgrounds",),
    "render": ("render.shard",),
    "pack": ("render.pack",),
    "sheet": ("render.sheet",),
    "audit": ("render.audit",),
    "train": ("training.loop",),
    "photographs": ("pipeline.stages.photographs",),
    "evaluate": ("training.evaluate",),
    "gallery": ("report.gallery.build",),
    "report": ("report.page",),
}

# What `index` does not look at: changing these must not list the shapes again.
_NOT_INDEXED = {"mirrors", "path", "up_axis", "yaw_deg", "max_rejected_percent"}
_FETCHED = {"source", "mirrors", "path", "procedural", "categories"}


# Options of Snakemake that look and make nothing: beside a working run they are welcome.
_LOOKS = {
    "--dry-run",
    "--dryrun",
    "--report",
    "--lint",
    "--rulegraph",
    "--dag",
    "--filegraph",
    "--d3dag",
    "--summary",
    "--detailed-summary",
    "--list-rules",
    "--list",
    "--list-target-rules",
    "--unlock",
}


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether this Snakemake command makes nothing; Snakemake itself does not know yet while it reads its rules."""
    return any(word.partition("=")[0] in _LOOKS or re.fullmatch("-[a-zA-Z]*n[a-zA-Z]*", word) for word in arguments)


class Plan:
    """Everything the rules ask for, from one checked configuration."""

    def __init__(self, values: dict[str, Any], where: str = "config.yaml"):
        self.config: Config = configuration.check(values, where)
        self.out = self.config.output.rstrip("/")
        self.datasets = sorted(self.config.datasets)
        self.experiments = sorted(self.config.experiments)

    def refresh_folders(self) -> None:
        """List the users' own folders: here, and only in the main process, since every job parses the plan.

        The lists are written only if they changed, so one edited mesh re-makes one shard.
        """
        from pipeline.stages.fetch import fetch_dataset
        from pipeline.stages.index import index_dataset

        with Log(None) as log:
            for name in self.datasets_from("folder"):
                record = Path(self.out) / "archives" / f"{name}.json"
                fetch_dataset(name, self.dataset(name), record, log=log)
                index_dataset(
                    name, self.dataset(name), record, Path(self.out) / "index" / name, seed=self.config.seed, log=log
                )

    def forget_missing_archives(self) -> None:
        """Drop the record of an archive that somebody removed, so that a job that needs it fetches it again.

        Removing archives to save space stays harmless: nothing is fetched while nothing needs them.
        """
        for record in Path(self.out).glob("archives/*.json"):
            files = json.loads(record.read_text(encoding="utf-8")).get("files", [])
            if not all(Path(file["path"]).exists() for file in files):
                record.unlink()

    def check_shards(self) -> None:
        """Set aside every shard that was changed since its data set was finished, so that this run makes it again."""
        from pipeline.upkeep.repair import check_shards

        for name in self.trained_on():
            check_shards(Path(self.out) / "shards" / name / "index.json")

    # ---- what there is -------------------------------------------------------------------

    def shards(self, dataset: str) -> list[str]:
        """Names of a data set's shards: ``["000", "001", ...]``; known before anything is fetched."""
        return [f"{number:03d}" for number in range(self.dataset(dataset).shards)]

    def per_shard(self, stage: str, dataset: str, suffix: str) -> list[str]:
        """The files of one stage, one a shard."""
        return [f"{self.out}/{stage}/{dataset}/{shard}{suffix}" for shard in self.shards(dataset)]

    def dataset(self, name: str) -> Dataset:
        return self.config.datasets[name]

    def datasets_from(self, kind: str) -> list[str]:
        """Names of the data sets that are ``generated``, read from a ``folder``, or ``archives``."""
        kinds = {"procedural": "generated", "folder": "folder"}
        return [name for name in self.datasets if kinds.get(self.dataset(name).source, "archives") == kind]

    def imported(self, kind: Kind) -> list[str]:
        """Names of the data sets whose voxels or views are taken over instead of made.

        Voxels of another size than asked for are made from the mesh, where there is one.
        """
        wanted = self.config.voxels.resolution
        entries = {name: self.dataset(name).entry for name in self.datasets}
        return [
            name
            for name, entry in entries.items()
            if kind in entry.provides and (kind != "voxels" or not entry.prepared or entry.resolution == wanted)
        ]

    @property
    def prepared(self) -> list[str]:
        """Names of the data sets of which something is made from a mesh."""
        return [name for name in self.datasets if self.dataset(name).entry.prepared]

    def shard_indexes(self, experiment: str) -> list[str]:
        """The shard indexes that an experiment reads."""
        names = self.config.experiments[experiment].datasets
        return [f"{self.out}/shards/{name}/index.json" for name in names]

    def photograph_files(self) -> list[str]:
        """The files of photographs that every experiment is judged on."""
        return [f"{self.out}/photographs/{name}.npz" for name in sorted(self.config.photographs)]

    def photographs(self, name: str) -> str:
        """JSON for one set of photographs, at the size of the pictures that the networks read."""
        chosen = self.config.photographs[name]
        return _json(PhotographSettings(source=chosen.source, path=chosen.path, size_px=self.config.render.size_px))

    def photograph_contents(self, name: str) -> str:
        """Identity of the folder that a set of photographs is read from."""
        return folder_identity(self.config.photographs[name].path)

    def classified(self) -> list[str]:
        """Shard indexes of data sets to classify that are not the experiment's own."""
        return [f"{self.out}/shards/{name}/index.json" for name in self.config.evaluation.classify_on]

    def trained_on(self) -> list[str]:
        """Every data set that some experiment reads."""
        return sorted({name for experiment in self.config.experiments.values() for name in experiment.datasets})

    # ---- how a training is started ---------------------------------------------------------

    def gpus(self, experiment: str) -> int:
        """GPUs that a training asks a cluster for: one a process, none where the experiment stays on the CPU."""
        settings = self.config.experiments[experiment]
        return 0 if settings.device == "cpu" else settings.processes

    def train_threads(self, experiment: str) -> int:
        """CPU cores of a training: for each process its arithmetic, and two to read ahead."""
        settings = self.config.experiments[experiment]
        return settings.processes * (settings.threads + 2)

    # ---- backgrounds ---------------------------------------------------------------------

    def background_input(self) -> list[str]:
        """What the bank is made of, if a rule makes it: generated rooms or a fetched archive."""
        made = {"procedural": [f"{self.out}/mirror/backgrounds"], "folder": []}
        return made.get(self.config.backgrounds.source, [f"{self.out}/archives/backgrounds.json"])

    def background_source(self, made: Any) -> str:
        """The folder or fetch record that the bank is read from."""
        return str(made[0]) if made else str(self.config.backgrounds.path)

    def bank(self) -> list[str]:
        """The bank, where there is to be one."""
        return [] if self.config.backgrounds.source == "none" else [f"{self.out}/backgrounds/bank.npz"]

    def background_contents(self) -> str:
        """Identity of a user's own folder of pictures; the other sources are files of the DAG."""
        settings = self.config.backgrounds
        return folder_identity(settings.path) if settings.source == "folder" and settings.path else ""

    # ---- what each stage may depend on ---------------------------------------------------

    def fetch(self, dataset: str) -> str:
        return _some(self.dataset(dataset), _FETCHED)

    def index(self, dataset: str) -> str:
        settings = self.dataset(dataset)
        return _some(settings, set(type(settings).model_fields) - _NOT_INDEXED)

    def generate(self, dataset: str) -> str:
        return _json(self.dataset(dataset).procedural or Procedural())

    def prepare(self, dataset: str) -> str:
        return _json(_prepare_settings(self.dataset(dataset), self.config.render))

    def pack(self) -> str:
        return _json(PackSettings.of(self.config.shards, self.config.backgrounds))

    def import_voxels(self, dataset: str) -> str:
        source = self.dataset(dataset).layout
        return _json(ImportVoxelsSettings(source=source, resolution=self.config.voxels.resolution))

    def import_views(self, dataset: str) -> str:
        return _json(ImportViewsSettings(source=self.dataset(dataset).layout, size_px=self.config.render.size_px))

    def ledger(self, dataset: str) -> str:
        return _some(self.dataset(dataset), {"source", "path", "max_rejected_percent"})

    def section(self, name: str) -> str:
        """JSON of a whole section: ``voxels``, ``render``, ``shards``, ``backgrounds``, ``report``."""
        return _json(getattr(self.config, name))

    def experiment(self, name: str) -> str:
        """JSON of one experiment: its preset, and what it changes of that preset."""
        settings = self.config.experiments[name]
        preset = type(settings)(datasets=settings.datasets, preset=settings.preset).model_dump(mode="json")
        changed = {key: value for key, value in settings.model_dump(mode="json").items() if value != preset[key]}
        return json.dumps({"datasets": settings.datasets, "preset": settings.preset, **changed}, sort_keys=True)

    def code(self, stage: str) -> str:
        """Digest of the code behind a stage."""
        return code_digest(*STAGE_MODULES[stage])

    def gallery_files(self) -> str:
        """Digest of what the gallery's page is made of besides Python: template, style, scripts, the 3D bundle."""
        return files_digest(ROOT / "report" / "gallery", ("*.html", "*.css", "*.js", "dist/*.js"))

    def report_files(self) -> str:
        """The same of report.html."""
        return files_digest(ROOT / "report" / "templates", ("*.html", "*.css", "*.js"))


def _prepare_settings(dataset: Dataset, render: Render) -> PrepareSettings:
    return PrepareSettings.of(
        dataset, texture_px=render.texture_px, max_faces=render.max_faces, above_max_faces=render.above_max_faces
    )


def _json(settings: Strict) -> str:
    # Only what differs from the defaults travels; a new key with a default re-runs nothing.
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def _some(settings: Strict, keys: set[str]) -> str:
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True, include=keys), sort_keys=True)


def folder_identity(path: str) -> str:
    """Digest of the names and sizes in a folder of pictures: a changed folder rebuilds its bank."""
    digest = hashlib.sha256()
    for file in sorted(Path(path).rglob("*")):
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
    return digest.hexdigest()[:12]
