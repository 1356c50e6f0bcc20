"""``python -m pipeline why [TARGET ...]`` says why jobs would run; ``accept`` keeps what a harmless edit would re-make.

    python -m pipeline why                   of everything: which key, which module, which file
    python -m pipeline why train_all         of one target, rule or file
    python -m pipeline accept render         the new code of `render` (and of what it needs) is as good as the old

`accept` is for a change of code that the operator knows to change no product, and for products that were made
before records were kept.  It changes no product; it notes in ``<output>/made/`` that it was a person's decision.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline import runlock
from pipeline.atomic import write_json
from pipeline.errors import UserError
from pipeline.progress import say, tell
from pipeline.settings.parse import did_you_mean
from pipeline.state.record import complete
from pipeline.workflow.graph import Job
from pipeline.workflow.plan import Plan
from pipeline.workflow.why import why


def explain(config: Path, targets: Sequence[str], *, as_json: bool = False) -> int:
    """Print why the jobs of these targets would run; changes nothing."""
    plan = read_plan(config)
    jobs = plan.planned(_known(plan, targets))
    if as_json:
        rows = [
            {
                "rule": job.rule,
                "name": job.name,
                "shard": job.shard,
                "why": ["not made yet"] if plan.state(job) == "absent" else plan.reasons(job),
            }
            for job in jobs
        ]
        print(json.dumps(rows, indent=1))
        return 0
    tell("\n".join(why(plan, jobs)) if jobs else "nothing to be done: every product is what it would be made as now")
    return 0


def accept(config: Path, targets: Sequence[str]) -> int:
    """Let the code as it is now stand for the code that these targets, and what they need, were made with."""
    plan = read_plan(config)
    runlock.hold(Path(plan.out))
    when, kept = time.strftime("%Y-%m-%d %H:%M:%S"), 0
    jobs = plan.graph.below(job for target in _known(plan, targets) for job in plan.graph.target(target))
    for job in jobs:
        kept += _accept_code(plan, job, when)
    # What lists of a generated set follow from its archives is known once those have their records.
    found = 1
    while found:
        plan = read_plan(config)
        found = sum(_accept_unrecorded(plan, job, when) for job in jobs)
        kept += found
    left = [job for job in jobs if plan.state(job) == "due"]
    say(f"accept: {kept} kept; {len(left) or 'none'} of {len(jobs)} products are still out of date")
    for line in why(plan, left):
        say(f"  {line}")
    return 0


def read_plan(config: Path) -> Plan:
    """The plan of a configuration file."""
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError("cannot read the configuration", where=str(config), got=" ".join(str(error).split())) from error
    return Plan(values, str(config))


def _known(plan: Plan, targets: Sequence[str]) -> list[str]:
    for target in targets:
        if not plan.graph.target(target):
            rules = sorted({job.rule for job in plan.graph.everything()} | {"all", "train_all", "shards_all"})
            raise UserError(f"unknown target {target!r}{did_you_mean(target, rules)}", do="name a rule or a file")
    return list(targets) or ["all"]


def _accept_code(plan: Plan, job: Job, when: str) -> int:
    """Let the head as it is now stand for the recorded one, where settings and inputs are the same."""
    before = plan.recorded(job)
    stored = plan.store.known.get(str((before or {}).get("head")))
    head = plan.head(job.rule, job.name)
    if before is None or stored is None or plan.store.stands_for(head) == before["head"]:
        return 0
    if stored.get("settings") != head.stored()["settings"]:
        return 0  # another setting is another product
    plan.store.accept(head, str(before["head"]), when)
    return 1


def _accept_unrecorded(plan: Plan, job: Job, when: str) -> int:
    """Give a product without a record the one that it would be made with now."""
    if plan.state(job) != "due" or plan.recorded(job) is not None or plan.digest(job) is None:
        return 0
    record = plan.record(job) | {"outputs": plan.graph.products(job), "accepted": when}
    write_json(plan.graph.made(job), complete(record, Path(plan.out)))
    return 1
