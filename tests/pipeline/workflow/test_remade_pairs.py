"""Two changes at once, and one after another."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from pipeline.formats.ledger import to_tsv
from pipeline.seeds import generator
from tests.pipeline.workflow.changes import (
    CAMPAIGN,
    Change,
    dataset,
    edit,
    first,
    jobs_of,
    late,
    remove,
    shard_of_mesh,
    write,
)
from tests.plans import PlannedWorld

pytestmark = pytest.mark.workflow


# Two of these never change the same thing, so each must still have what it has alone.
ALONE: list[tuple[str, Change]] = [
    ("views", edit(render={"views": 24})),
    ("voxels", edit(voxels={"mode": "binvox"})),
    ("storage", edit(shards={"compositing": "linear"})),
    ("bank", edit(backgrounds={"count": 9})),
    ("one set", dataset("net", up_axis="z")),
    ("another set", dataset("zip", yaw_deg=90)),
    ("splits", dataset("mine", val_percent=70)),
    ("ledger", dataset("gen", max_rejected_percent=5)),
    ("training", first(kl_weight=0.7)),
    ("measuring", edit(evaluation={"samples": 9})),
    ("sheet", edit(report={"shapes": 6})),
    ("mesh", lambda world: world.mesh("slab", 2, x=55)),
    ("archive", lambda world: world.modelnet(edited=3)),
    ("picture", write("pictures/a.jpg", "pictures/b.jpg")),
    ("index", remove("results/shards/gen/index.json")),
    ("audit", remove("results/audits/zip.json")),
    ("shard", remove("results/shards/net/000.h5")),
    ("generated", dataset("gen", procedural={"layout": "shapenet", "shapes_per_category": 2})),
]


@pytest.mark.parametrize("count", [12, pytest.param(153, marks=CAMPAIGN, id="all")])
def test_two_changes_make_again_what_each_does_alone(built: PlannedWorld, tmp_path: Path, count: int) -> None:
    """Planned by the plan alone, which every row above has shown to be what Snakemake does; some by Snakemake too."""
    alone = {}
    for number, (name, change) in enumerate(ALONE):
        world = built.copy(tmp_path / str(number))
        change(world)
        alone[name] = jobs_of(world)
        assert alone[name], name
    pairs = list(itertools.combinations(ALONE, 2))
    assert len(pairs) == 153
    drawn = generator(1, "pairs").choice(len(pairs), count, replace=False).tolist()
    for place, number in enumerate(drawn):
        (name, change), (other, another) = pairs[number]
        world = built.copy(tmp_path / f"pair{number}")
        change(world)
        another(world)
        assert jobs_of(world) >= alone[name] | alone[other], f"{name} and {other}"
        if place < 4:
            world.planned()
        shutil.rmtree(world.folder)


def test_a_change_and_back_again_makes_nothing(world: PlannedWorld) -> None:
    world.edit(render={"views": 24})
    world.edit(render={"views": 12})
    assert world.planned() == {}


def test_after_a_run_nothing_is_left_to_do(world: PlannedWorld) -> None:
    for change in (edit(render={"views": 24}), shard_of_mesh, dataset("zip", val_percent=60), edit(seed=8)):
        change(world)
        world.make()
        world.make()  # what was listed only in the course of the first
        assert world.planned() == {}


def test_time_that_was_raised_once_stays_raised(world: PlannedWorld) -> None:
    late("voxelize")(world)
    world.edit(voxels={"seconds_per_shape": 600})
    world.make()
    world.made_anew("ledger/mine", "ledger/mine.tsv", to_tsv([]))
    assert world.planned() == {}
    world.edit(voxels={"seconds_per_shape": 60})
    assert world.planned() == {}, "what had time enough is not made with less"


def test_growing_a_set_with_automatic_shards_moves_no_shape(world: PlannedWorld) -> None:
    world.edit(datasets={"mine": {"shards": "auto"}})
    world.make()
    assert world.planned() == {}
    assert len(list((world.results / "index/mine").glob("*.tsv"))) == 2, "the shards that there were stay"
    remove("results/**/mine*")(world)
    world.make()
    assert world.planned() == {}
    before = {path.name: path.read_text(encoding="utf-8") for path in (world.results / "index/mine").glob("*.tsv")}
    assert list(before) == ["000.tsv"], "eight meshes are one shard"
    for number in range(100, 400):
        world.mesh("box", number)
    found = world.planned()
    assert (found["prepare"], found["train"]) == (2, 1), "new shapes go to new shards"
    world.make()
    after = {path.name: path.read_text(encoding="utf-8") for path in (world.results / "index/mine").glob("*.tsv")}
    assert len(after) == 3 and world.planned() == {}
    assert set(before["000.tsv"].splitlines()) == set(after["000.tsv"].splitlines())
