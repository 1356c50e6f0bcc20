"""What a run makes known before its jobs start, and what a job reads of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic

from pipeline import runlock
from pipeline.archives.contents import ContentSums, folder_identity
from pipeline.errors import UserError
from pipeline.settings.config import Config
from pipeline.state.files import Stored, read_state, write_state
from pipeline.workflow.damage import Shards
from pipeline.workflow.graph import Graph, Job
from pipeline.workflow.heads import Head, HeadStore
from pipeline.workflow.lists import ListKeeper, Lists
from pipeline.workflow.memo import remembered
from pipeline.workflow.places import Shared
from pipeline.workflow.seen import is_shared


class _Plan(Stored):
    """``made/plan.json``: what jobs need to know of the plan."""

    heads: dict[str, str]
    shards: dict[str, int]
    folders: dict[str, str]
    limits: dict[str, str | None] = {}


_PUBLISHED: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Plan)


class Published:
    """The part of a plan that lies below ``<output>/made`` and ``<output>/index``."""

    config: Config
    out: str
    graph: Graph
    lists: ListKeeper
    place: Shared
    store: HeadStore
    main: bool
    asked: dict[Job, None]
    lists_of: Callable[[str], Lists]
    head: Callable[[str, str], Head]
    head_digest: Callable[[str, str], str]
    count: Callable[[str], int]
    limit: Callable[[Job], str | None]
    _damaged: Shards
    _lock_before: str

    def begin(self) -> None:
        """Take the lock, and publish what the plan has found."""
        if runlock.hold(Path(self.out)) != self._lock_before:
            raise UserError(
                "another run has worked in this folder while this one was planned",
                where=self.out,
                do="run the same command again",
            )
        self.publish()

    def end(self) -> None:
        """Note what was listed in the course of the run, where this process sees what its jobs have left."""
        for name in (job.name for job in self.asked if job.rule == "index" and not self.place.apart):
            self.lists.remember(name)

    def publish(self) -> None:
        """Write lists of shapes, heads, and what jobs need to know; damaged shards go out of the way."""
        for name in self.graph.datasets:
            if self.lists_of(name).shards:
                self.lists.publish(name)
        for sums in self._sums.values():
            sums.save()
        self._publish_plan()
        self._damaged.set_aside(self.graph)
        for part in ("made/heads", "made/index", "made/contents", "made/plan.json", "index"):
            self.place.push(f"{self.out}/{part}")

    def _publish_plan(self) -> None:
        heads, jobs = {}, self.graph.everything()
        for job in jobs:
            shared = "" if is_shared(job.rule) else job.name
            if f"{job.rule}/{shared}" not in heads:
                self.store.keep(self.head(job.rule, shared))
                heads[f"{job.rule}/{shared}"] = self.head_digest(job.rule, shared)
        write_state(
            self._published_path,
            {
                "heads": heads,
                "shards": {name: self.count(name) for name in self.graph.datasets},
                "folders": {what: self._folder(what, path) for what, path in self._folders()},
                "limits": {"/".join(job): limit for job in jobs if (limit := self.limit(job))},
            },
        )

    def _pull(self) -> None:
        """Bring what the plan reads of earlier runs."""
        for part in ("made", "index", *(f"archives/{name}.json" for name in self.graph.datasets)):
            self.place.pull(f"{self.out}/{part}")

    def _folders(self) -> list[tuple[str, str]]:
        found = [(f"photographs-{name}", chosen.path) for name, chosen in sorted(self.config.photographs.items())]
        if self.config.backgrounds.source == "folder":
            found.append(("backgrounds", self.config.backgrounds.path or "."))
        for name, one in sorted(self.config.experiments.items()):
            found += [] if one.encoder_weights is None else [(f"weights-{name}", one.encoder_weights)]
        return found

    @property
    def _published_path(self) -> Path:
        return Path(self.out) / "made" / "plan.json"

    @functools.cached_property
    def _published(self) -> dict[str, Any]:
        self.place.pull(str(self._published_path))
        found: dict[str, Any] = read_state(
            self._published_path,
            _PUBLISHED,
            what="a job cannot read the plan of its run",
            do="start jobs by Snakemake; run the same command again",
            sealed=True,
        )
        return found

    @remembered
    def _folder(self, what: str, path: str) -> str:
        if not self.main:
            return str(self._published["folders"][what])
        folder = Path(path)
        if not folder.exists():
            return "no such folder"  # its job says so in words
        sums = self._sums[what] = ContentSums(Path(self.out) / "made" / "contents" / f"{what}.json")
        return folder_identity(folder, sums) if folder.is_dir() else sums.of(folder)

    @functools.cached_property
    def _sums(self) -> dict[str, ContentSums]:
        return {}
