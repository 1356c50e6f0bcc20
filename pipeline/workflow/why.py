"""Why jobs run, in words: which key, which module, which file, for each data set and experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.workflow.graph import Job

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
    "pack": "shards",
    "ledger": "ledger",
    "shard_index": "index",
    "sheet": "contact sheet",
    "gallery": "gallery",
    "audit": "audit",
    "train": "training",
    "evaluate": "evaluation",
    "page": "page to try the network on",
    "report": "report",
}
_MOST_LINES = 40
OTHER_SHAPES = "other shapes"
_BY_LISTS = ("prepare", "import_voxels", "import_views")


def why(plan: Plan, jobs: Sequence[Job]) -> list[str]:
    """A line for each cause, then one that counts what follows from them.

    jobs : that will run, each after what it needs.
    """
    running = set(jobs)
    causes: Counter[tuple[str, str, str]] = Counter()
    follows: Counter[str] = Counter()
    for job in jobs:
        reasons = _own(plan, job, running)
        for reason in reasons:
            causes[job.rule, job.name, reason] += 1
        if not reasons:
            follows[job.rule] += 1
    lines = [
        f"{NOUNS.get(rule, rule)}{f' of {name}' if name else ''}: {reason}{f' ({count} jobs)' if count > 1 else ''}"
        for (rule, name, reason), count in causes.items()
    ]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"... and {len(lines) - _MOST_LINES} more causes"]
    if follows:
        lines.append("what follows: " + ", ".join(f"{rule} {count}" for rule, count in follows.items()))
    return lines


def _own(plan: Plan, job: Job, running: set[Job]) -> list[str]:
    """Reasons of a job that are not another job's."""
    if plan.state(job) == "absent":
        upstream = any(other in running for need in plan.graph.needs(job) for other in need.jobs)
        if plan.recorded(job) is None:
            return [] if upstream else ["not made yet"]
        return ["removed, and needed again"]
    inputs = {f"other {need.label}" for need in plan.graph.needs(job) if need.content and need.jobs}
    if _lists_said(plan, job, running):
        inputs.add(OTHER_SHAPES)
    return [_in_words(plan, job, reason) for reason in plan.reasons(job) if reason not in inputs]


def _lists_said(plan: Plan, job: Job, running: set[Job]) -> bool:
    """Whether other jobs say all that is different in the lists."""
    if job.rule == "pack" and not plan.lists.changed(job.name, splits=True):
        return any(Job(rule, job.name, job.shard) in running for rule in _BY_LISTS)
    return job.rule == "ledger" and any(
        other.name == job.name and other.rule in (*_BY_LISTS, "pack") for other in running
    )


def _in_words(plan: Plan, job: Job, reason: str) -> str:
    if reason != OTHER_SHAPES:
        return reason
    if job.rule == "ledger":
        return "other files that are no shapes"
    return plan.lists.changed(job.name, splits=job.rule == "pack") or "other shapes than it was made from"
