"""What of the lists of shapes, the archives and the records of both may get lost, and what is made again for it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from tests.pipeline.workflow.changes import LEARNED, Jobs, data, jobs_of, remove, total
from tests.plans import PlannedWorld, list_generated, pretend

pytestmark = pytest.mark.workflow

PARTS = {
    "lists": ["results/index"],
    "archives": ["mirrors", "results/mirror"],
    "what was listed": ["results/made/index"],
    "what was fetched": ["results/made/fetch", "results/archives"],
    "what was generated": ["results/made/generate"],
}
GENERATED = total(data(2), LEARNED, {"generate": 1, "fetch": 1, "index": 1})
ARCHIVED = total(data(5, sets=3), LEARNED, {"generate": 1, "fetch": 3, "index": 3})


def remade(lost: set[str]) -> Jobs:
    """The jobs that follow: lists are known from archives, or from what was noted of them."""
    if {"archives", "what was listed"} <= lost:
        return ARCHIVED | {"report": 1}
    return GENERATED if "what was generated" in lost else {}


@contextlib.contextmanager
def without(world: PlannedWorld, places: Iterable[str]) -> Iterator[None]:
    """The world as long as it lacks some folders."""
    lost = [world.folder / place for place in places]
    for number, path in enumerate(lost):
        path.rename(world.folder / f"lost-{number}")
    yield
    for number, path in enumerate(lost):
        (world.folder / f"lost-{number}").rename(path)


def test_lists_are_known_as_long_as_archives_or_their_records_are(world: PlannedWorld) -> None:
    """Every choice of what may be lost together."""
    choices = [set(lost) for count in range(len(PARTS) + 1) for lost in itertools.combinations(PARTS, count)]
    for lost in choices:
        with without(world, [place for part in sorted(lost) for place in PARTS[part]]):
            assert Counter(job.rule for job in jobs_of(world)) == remade(lost), sorted(lost)


def test_what_a_run_has_listed_is_known_after_it(world: PlannedWorld) -> None:
    """Without a second command between the run and the loss."""
    world.edit(datasets={"gen": {"procedural": {"shapes_per_category": 3}}})
    with contextlib.chdir(world.folder):
        plan = world.plan()
        jobs = plan.planned(["all"])
        plan.publish()
        shutil.rmtree("results/mirror/gen")
        list_generated(plan, "gen")
        for job in jobs:
            pretend(plan, job)
        plan.asked.update(dict.fromkeys(jobs))
        plan.end()
    remove("results/index", "results/mirror")(world)
    assert world.planned() == {}


def test_lists_that_are_not_those_of_their_record_are_written_again_before_they_are_read(world: PlannedWorld) -> None:
    remove("mirrors/one", "results/shards/zip/001.h5")(world)
    path = world.results / "index/zip/001.tsv"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    assert world.planned() == {"pack": 1, "index": 1, "fetch": 1}
