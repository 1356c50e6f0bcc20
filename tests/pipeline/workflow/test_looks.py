"""A look at the plan changes nothing, whatever is asked."""

from __future__ import annotations

import fcntl

import pytest

from tests.pipeline.workflow.changes import positive, total
from tests.plans import PlannedWorld

pytestmark = pytest.mark.workflow


def test_a_look_at_everything_changes_nothing(world: PlannedWorld) -> None:
    world.edit(seed=8)
    before = world.files()
    world.planned("all", forceall=True)
    assert world.files() == before


def test_a_look_with_another_seed_beside_a_run(world: PlannedWorld) -> None:
    """The lists of the run that works stay what they are, and nobody is refused."""
    before = world.files()
    with open(world.results / ".run.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.edit(seed=8)
        assert world.planned()
    world.edit(seed=7)
    (world.results / ".run.lock").unlink()
    after = world.files()
    assert {name for name in before if before[name][0] != after[name][0]} <= {"config.yaml"}


def test_forced_jobs_take_what_follows_with_them(world: PlannedWorld) -> None:
    assert world.planned("train_all", forcerun=frozenset({"render"})) == positive(
        total({"render": 7, "pack": 7, "ledger": 4, "shard_index": 4, "audit": 3, "train": 2}, {"shard_index": -1})
    ) | {"ledger": 3, "shard_index": 3, "render": 6, "pack": 6}
