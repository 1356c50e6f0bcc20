"""What people change in a world (tests/plans.py), and the jobs that follow: the words of the tables beside this file.

The world has a generated set (2 shards), a zip of ModelNet's (2), two of ShapeNet's (1) and a folder (2); an experiment
learns from the first two, another from the folder.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml

from pipeline.formats.ledger import Row, to_tsv
from pipeline.manifest import shapes_from_tsv
from pipeline.workflow.graph import Job
from pipeline.workflow.why import why
from tests.plans import PlannedWorld

Change = Callable[[PlannedWorld], object]
Jobs = dict[str, int]
CAMPAIGN = (pytest.mark.slow, pytest.mark.campaign)


def total(*parts: Jobs) -> Jobs:
    return dict(sum((Counter(part) for part in parts), Counter()))


def data(shards: int = 1, *, sets: int = 1, render: bool = True, voxels: bool = True, prepare: bool = True) -> Jobs:
    """The jobs of some shards, of what lists their data sets, and of what shows them."""
    jobs = {"pack": shards, "ledger": sets, "shard_index": sets, "audit": sets, "sheet": sets, "gallery": sets}
    jobs |= {"report": 1}
    return jobs | {rule: shards for rule, on in (("render", render), ("voxelize", voxels), ("prepare", prepare)) if on}


LEARNED, BOTH = {"train": 1, "evaluate": 1, "page": 1}, {"train": 2, "evaluate": 2, "page": 2}
SHOWN = {"evaluate": 2, "page": 2, "report": 1}
PACKED = total(data(7, sets=4, render=False, voxels=False, prepare=False), BOTH) | {"ledger": 0}
EVERY_VIEW = total(data(7, sets=4, voxels=False, prepare=False), BOTH)
EVERY_VOXEL = total(data(7, sets=4, render=False, prepare=False), BOTH)
EVERYTHING = total(data(7, sets=4), BOTH)
MESH = total(data(), LEARNED)
LISTED = {"ledger": 1, "gallery": 1, "report": 1}


def edit(**sections: object) -> Change:
    return lambda world: world.edit(**sections)


def dataset(name: str, **values: object) -> Change:
    return edit(datasets={name: values})


def first(**values: object) -> Change:
    return edit(experiments={"first": values})


def remove(*patterns: str) -> Change:
    def change(world: PlannedWorld) -> None:
        for path in [path for pattern in patterns for path in sorted(world.folder.glob(pattern))]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def write(place: str, text: str) -> Change:
    return lambda world: (world.folder / place).write_text(text, encoding="utf-8")


def write_more(place: str, text: str) -> Change:
    return lambda world: write(place, (world.folder / place).read_text(encoding="utf-8") + text)(world)


def move(old: str, new: str, *changes: Change) -> Change:
    def change(world: PlannedWorld) -> None:
        (world.folder / old).rename(world.folder / new)
        for more in changes:
            more(world)

    return change


def both(*changes: Change) -> Change:
    return lambda world: [change(world) for change in changes]


def touch_everything(world: PlannedWorld) -> None:
    for path in world.folder.rglob("*"):
        os.utime(path, (1, 1) if len(path.name) % 2 else None)


def marked_unfinished(world: PlannedWorld) -> None:
    """Snakemake was killed, what it had started ended a moment later: its marks of begun jobs stay on whole products.

    The name of a mark is that of snakemake.persistence.file (version 9).
    """
    marks = world.folder / ".snakemake" / "incomplete"
    marks.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in world.results.rglob("*") if path.is_file()):
        name = path.relative_to(world.folder).as_posix().encode()
        (marks / base64.urlsafe_b64encode(name).decode()).write_text('{"external_jobid": null}', encoding="utf-8")


def shard_of_mesh(world: PlannedWorld) -> None:
    world.mesh("box", 1, x=99)


def late(stage: str) -> Change:
    """One mesh of the folder was refused since it took too long."""

    def change(world: PlannedWorld) -> None:
        shape = shapes_from_tsv((world.results / "index/mine/001.tsv").read_text(encoding="utf-8"))[0]
        row = Row(shape.shape_id, shape.category, shape.split, stage, "rejected", "timeout", "took longer than 60 s")
        world.made_anew("ledger/mine", "ledger/mine.tsv", to_tsv([row]))

    return change


def turned_round(world: PlannedWorld) -> None:
    path = world.folder / "config.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(dict(reversed(values.items())), sort_keys=False), encoding="utf-8")


def rewritten(world: PlannedWorld, place: str, old: bytes, new: bytes) -> None:
    (world.folder / place).write_bytes((world.folder / place).read_bytes().replace(old, new))


def packed_again(
    world: PlannedWorld, *, compression: int = 0, step: int = 1, more: dict[str, bytes] | None = None
) -> None:
    """The same members in another zip."""
    path = world.folder / "mirrors/one/ModelNet10.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()[::step]}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (members | (more or {})).items():
            archive.writestr(name, content)


def for_its_owner_alone(world: PlannedWorld) -> None:
    for path in world.folder.rglob("*"):
        path.chmod(0o700)


def behind_a_link(world: PlannedWorld, place: str) -> None:
    path = world.folder / place
    path.rename(world.folder / f"real-{path.name}")
    path.symlink_to(world.folder / f"real-{path.name}")


def positive(jobs: Jobs) -> Jobs:
    return {rule: count for rule, count in jobs.items() if count}


def jobs_of(world: PlannedWorld) -> set[Job]:
    with contextlib.chdir(world.folder):
        return set(world.plan().planned(["all"]))


def rows(table: Sequence[tuple[Any, ...]], *always: str) -> list[Any]:
    """A table's rows with their names as ids, and in the end whether Snakemake itself is asked.

    The plan answers for each row, which takes a moment.  In `make test` Snakemake answers for every fourth, and for
    those that its own marks, times or missing files are about (`always`); for the others in the campaign.  Its answer
    must be the plan's.
    """
    names = [row[0] for row in table]
    assert set(always) <= set(names)
    found = []
    for place, (name, *values) in enumerate(table):
        asked = place % 4 == 0 or name in always
        found.append(pytest.param(*values, asked, id=name))
        if not asked:
            found.append(pytest.param(*values, True, id=f"{name}, by Snakemake", marks=CAMPAIGN))
    return found


def planned_without_a_trace(world: PlannedWorld, snakemake: bool) -> Counter[str]:
    """What is planned; a look changes nothing, whatever it is that has changed."""
    before = world.files()
    found = world.planned() if snakemake else Counter(job.rule for job in jobs_of(world))
    assert world.files() == before
    return found


def said(world: PlannedWorld, *targets: str) -> list[str]:
    with contextlib.chdir(world.folder):
        plan = world.plan()
        return why(plan, plan.planned(targets or ["all"]))
