"""Why a job is planned is said in words, and products may be accepted as they are."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline.state.files import read_state, write_state
from pipeline.upkeep.why import accept
from pipeline.workflow.heads import Head, HeadStore, digest_of
from tests.pipeline.workflow.changes import Change, both, dataset, edit, first, late, remove, said, shard_of_mesh, write
from tests.plans import PlannedWorld, list_generated, pretend, words

pytestmark = pytest.mark.workflow


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edit(render={"views": 24}), "views of gen, mine, net and zip: render.views 12 -> 24 (7 jobs)"),
        (first(kl_weight=0.7), "training of first: experiments.first.kl_weight 0.5 -> 0.7"),
        (shard_of_mesh, "meshes of mine: 1 changed (box/shape1)"),
        (dataset("mine", shards=1), "meshes of mine: datasets.mine.shards 2 -> 1: 2 moved to another shard "),
        (
            dataset("mine", val_percent=70),
            "shards of mine: datasets.mine.val_percent 10.0 -> 70.0: 3 in another split ",
        ),
        (lambda world: world.modelnet(edited=0), "archives of zip: ModelNet10.zip: another file than was fetched"),
        (
            edit(evaluation={"classify_on": ["net"]}),
            "evaluation of first and second: other data sets to classify (2 jobs)",
        ),
        (edit(photographs=None), "evaluation of first and second: other sets of photographs (2 jobs)"),
        (lambda world: world.mesh("box", 77), "meshes of mine: 1 added (box/shape77)"),
        (remove("results/audits/zip.json"), "audit of zip: removed, and needed again"),
        (
            remove("results/index", "mirrors", "results/ledger/zip.tsv"),
            "archives of zip: removed, and needed again",
        ),
        (write("pictures/c.jpg", "c"), "backgrounds: other pictures"),
        (dataset("mine", max_rejected_percent=50), "ledger of mine: datasets.mine.max_rejected_percent 10.0 -> 50.0"),
        (dataset("more", source="folder", path="meshes", shards=1), "meshes of more: not made yet"),
        (
            both(late("voxelize"), edit(voxels={"seconds_per_shape": 600})),
            "voxels of mine: voxels.seconds_per_shape 600: shapes had taken longer",
        ),
        (write("results/made/pack/zip/001.json", "torn"), "shards of zip: no record says what it was made from"),
    ],
)
def test_every_cause_is_said(world: PlannedWorld, change: Change, line: str) -> None:
    change(world)
    assert any(words.startswith(line) for words in said(world)), said(world)


def test_what_a_head_stands_for_is_looked_for_among_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand experiments have a thousand heads, of which none is another's."""
    looked: list[str] = []

    def same(head: Head, stored: dict[str, str]) -> bool:
        looked.append(stored["name"])
        return False

    monkeypatch.setattr("pipeline.workflow.heads._same", same)
    store = HeadStore(tmp_path)
    for number in range(20):
        for value in (1, 2):
            store.keep(Head("train", f"e{number}", {"key": value}, {}))
    assert looked == [f"e{number}" for number in range(20)]
    assert len(HeadStore(tmp_path).known) == 40


def test_products_without_records_are_accepted(world: PlannedWorld) -> None:
    shutil.rmtree(world.results / "made")
    assert world.planned()["train"] == 2
    with contextlib.chdir(world.folder):
        accept(world.folder / "config.yaml", [])
    assert world.planned() == {}


def test_a_key_that_did_not_exist_changes_nothing_until_it_has_a_value(world: PlannedWorld) -> None:
    """A record of older code lacks a key of today."""
    for path in (world.results / "made/heads").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        if '"rule": "train"' in text:
            values = read_state(path)
            del values["settings"][next(key for key in values["settings"] if key.endswith(".clip_norm"))]
            path.with_name(f"{digest_of(values)}.json").write_text(json.dumps(values), encoding="utf-8")
            for record in (world.results / "made/train").glob("*.json"):
                said_of = read_state(record)
                write_state(record, said_of | {"head": said_of["head"].replace(path.stem, digest_of(values))})
            path.unlink()
    with contextlib.chdir(world.folder):
        plan = world.plan()
        for name in ("first", "second"):
            assert plan.store.stands_for(plan.head("train", name)) != plan.head("train", name).digest
    world.edit(experiments={"first": {"clip_norm": 3.0}})
    assert any("clip_norm" in line for line in said(world))


def test_what_is_listed_in_the_course_of_a_run_is_recorded_as_it_became(world: PlannedWorld) -> None:
    """Snakemake asks for the records while it plans, and again when a job starts: the second answer counts."""
    world.edit(datasets={"gen": {"procedural": {"shapes_per_category": 3}}})
    with contextlib.chdir(world.folder):
        plan = world.plan()
        jobs = plan.planned(["all"])
        for job in jobs:
            plan.made(job.rule)(words(job))
        shutil.rmtree("results/mirror/gen")
        list_generated(plan, "gen")
        for job in jobs:
            pretend(plan, job)
    assert world.planned() == {}
