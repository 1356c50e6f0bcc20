"""Shapes that took too long: a longer limit of time may let them pass, so it makes their shards again, and no others.

A limit of time changes no shape that kept to it, so it is no part of what a product is made from.  Each record notes
the limit that its job had.  Where the ledger says that shapes of a shard were refused for their time, and there is
more of it now, the new limit joins the digest of that shard and stays in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import Refusal, UserError
from pipeline.formats.ledger import read_ledger
from pipeline.manifest import shapes_from_tsv
from pipeline.settings.config import Config
from pipeline.workflow.graph import Graph, Job

LATE = "timeout"  # the reason in the ledger
LABEL = "limit of time"
_KEYS = {"voxelize": "voxels.seconds_per_shape", "render": "render.seconds_per_shape"}


def limit_of(config: Config, job: Job) -> dict[str, float]:
    """The key and the seconds that a shape of this job may take; nothing for a job without such a limit."""
    if job.rule not in _KEYS:
        return {}
    section = config.voxels if job.rule == "voxelize" else config.render
    return {_KEYS[job.rule]: section.seconds_per_shape}


class Limits:
    """What the ledgers of a run say of time."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._late: dict[str, set[Job]] = {}

    def known(self, job: Job, before: dict[str, Any] | None, now: dict[str, float]) -> str | None:
        """The limit that is part of the digest of a job, as text; None where none is.

        before : the record of the product that is there; now : `limit_of` the job.
        """
        if before is None:
            return None
        raised = any(seconds > before.get("limits", {}).get(key, seconds) for key, seconds in now.items())
        if raised and job in self._of(job.name):
            return ", ".join(f"{key} {seconds:g}" for key, seconds in now.items())
        kept = before.get("sources", {}).get(LABEL)
        return None if kept is None else str(kept)

    def _of(self, name: str) -> set[Job]:
        if name not in self._late:
            self._late[name] = self._read(name)
        return self._late[name]

    def _read(self, name: str) -> set[Job]:
        try:
            rows = read_ledger(Path(self._graph.path(Job("ledger", name))))
            late = {row.shape_id: row.stage for row in rows if row.reason == LATE and row.stage in _KEYS}
            return set(self._jobs(name, late)) if late else set()
        except Refusal:
            raise
        except (FileNotFoundError, ValueError, UserError):
            return set()  # no ledger yet, or its rule makes it again

    def _jobs(self, name: str, late: dict[str, str]) -> list[Job]:
        jobs = []
        for shard in self._graph.shards(name):
            shapes = shapes_from_tsv(Path(self._graph.list_file(name, shard)).read_text(encoding="utf-8"))
            stages = {late[shape.shape_id] for shape in shapes if shape.shape_id in late}
            jobs += [Job(stage, name, shard) for stage in sorted(stages)]
        return jobs
