"""Why jobs run, in words: which key, which module, which file, for each data set and experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.workflow.graph import Job
from pipeline.workflow.lists import MADE_AGAIN

if TYPE_CHECKING:
    from pipeline.workflow.plan import Plan

NOUNS = {
    "generate": "generated archives",
    "fetch": "archives",
    "index": "shape lists",
    "prepare": "meshes",
    "import_voxels": "voxels",
    "voxelize": "voxels",
    "import_views": "views",
    "render": "views",
    "rooms": "generated rooms",
    "fetch_backgrounds": "photographs",
    "backgrounds": "backgrounds",
    "clusters": "near-duplicates",
    "pack": "shards",
    "ledger": "ledger",
    "shard_index": "index",
    "sheet": "contact sheet",
    "gallery": "gallery",
    "audit": "audit",
    "train": "training",
    "evaluate": "evaluation",
    "page": "page try.html",
    "report": "report",
}
_MOST_LINES = 40
_MOST_NAMES = 4
OTHER_SHAPES = "other shapes"
_BY_LISTS = ("prepare", "import_voxels", "import_views")
# Inputs that settings choose, where none of them is made again.
_CHOSEN = {
    "other shards": "other data sets",
    "other classified": "other data sets to classify",
    "other photographs": "other sets of photographs",
    "other results": "other experiments",
    **dict.fromkeys(("other sheets", "other indexes", "other audits", "other ledgers"), "other data sets"),
}


def why(plan: Plan, jobs: Sequence[Job]) -> list[str]:
    """A line for each cause, then one that counts what follows from them.

    jobs : all that will run.
    """
    running = set(jobs)
    causes: dict[tuple[str, str], list[str]] = {}
    follows: Counter[str] = Counter()
    for job in jobs:
        reasons = list(dict.fromkeys(_own(plan, job, running)))
        for reason in reasons:
            causes.setdefault((job.rule, reason), []).append(job.name)
        if not reasons:
            follows[job.rule] += 1
    lines = [
        f"{NOUNS.get(rule, rule)}{_of(names)}: {reason}{f' ({len(names)} jobs)' if len(names) > 1 else ''}"
        for (rule, reason), names in causes.items()
    ]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES} more causes"]
    if follows:
        lines.append("what follows: " + ", ".join(f"{rule} {count}" for rule, count in follows.items()))
    return lines


def _of(names: Sequence[str]) -> str:
    """`` of a, b and c``; nothing for a job that has no name."""
    named = list(dict.fromkeys(name for name in names if name))
    if len(named) > _MOST_NAMES:
        named[_MOST_NAMES - 1 :] = [f"{len(named) - _MOST_NAMES + 1} more"]
    return f" of {' and '.join(filter(None, [', '.join(named[:-1]), named[-1]]))}" if named else ""


def _own(plan: Plan, job: Job, running: set[Job]) -> list[str]:
    """Reasons of a job that are not another job's."""
    needs = plan.graph.needs(job)
    upstream = any(other in running for need in needs for other in need.jobs)
    if plan.state(job) == "absent":
        if plan.recorded(job) is None:
            return [] if upstream else ["not made yet"]
        return ["removed, and needed again"]
    said = {f"other {need.label}" for need in needs if need.content and not running.isdisjoint(need.jobs)}
    if upstream:
        said.add(MADE_AGAIN)
    if _lists_said(plan, job, running):
        said.add(OTHER_SHAPES)
    return [_in_words(plan, job, reason) for reason in plan.reasons(job) if reason not in said]


def _lists_said(plan: Plan, job: Job, running: set[Job]) -> bool:
    """Whether other jobs say all that is different in the lists."""
    if Job("index", job.name) in running:
        return True
    if job.rule == "pack" and not plan.lists.changed(job.name, splits=True):
        return any(Job(rule, job.name, job.shard) in running for rule in _BY_LISTS)
    lists = (*_BY_LISTS, "pack")
    return job.rule == "ledger" and any(other.name == job.name and other.rule in lists for other in running)


def _in_words(plan: Plan, job: Job, reason: str) -> str:
    if reason != OTHER_SHAPES:
        return _CHOSEN.get(reason, reason)
    if job.rule == "ledger":
        return "other files that are no shapes"
    return plan.lists.changed(job.name, splits=job.rule == "pack") or "other shapes than it was made from"
