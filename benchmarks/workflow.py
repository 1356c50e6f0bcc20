"""``python -m benchmarks.workflow``: what the DAG costs and what large data sets will take; fills docs/cluster.md.

    scale   dry run and no-op run of 1,000 to 50,000 jobs, of 1,000 experiments, and of ShapeNet with its 55
            categories: made-up data sets whose files are empty and have the records of real ones; beside each
            the same number of rules without settings, which is what Snakemake takes by itself
    paper   a small generated data set at 128 px and 24 views, measured job by job on one core,
            and from that ShapeNetCore on 16 cores and a million objects on 50 nodes

Processor time is that of the command and its children; the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.atomic import write_text
from pipeline.progress import Log, say
from pipeline.sources.shapenet import NAMES
from pipeline.stages.fetch import fetch_dataset
from pipeline.state.record import complete
from pipeline.upkeep.costs import STAGES, Cost, measured, table
from pipeline.workflow.graph import Job
from pipeline.workflow.plan import Plan

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "cluster.md"
JOBS_A_SHARD, OTHER_JOBS = 4, 7  # prepare, voxelize, render, pack; and fetch, index, rooms, ...
SMALL = {
    "datasets": {
        "furniture": {
            "source": "procedural",
            "procedural": {"layout": "shapenet", "shapes_per_category": 16},
            "shards": 2,
            "max_rejected_percent": 50,
        }
    },
    "backgrounds": {"count": 64},
    "render": {"size_px": 128, "views": 24},
}
SHAPENET_MODELS = 51_000
# As many jobs as of a data set, each with one file to read and one to write.
TRIVIAL = """
SHARDS = [f"{number:05d}" for number in range(COUNT)]
rule all:
    input: expand("pack/{shard}", shard=SHARDS)
rule prepare:
    output: "prepare/{shard}"
    shell: "touch {output}"
rule voxelize:
    input: "prepare/{shard}"
    output: "voxelize/{shard}"
    shell: "touch {output}"
rule render:
    input: "prepare/{shard}"
    output: "render/{shard}"
    shell: "touch {output}"
rule pack:
    input: "voxelize/{shard}", "render/{shard}"
    output: "pack/{shard}"
    shell: "touch {output}"
"""
# Name, shapes, cores, shards.
LARGE = (
    ("ShapeNetCore, 51,000 models, 16 cores", 51_000, 16, 400),
    ("a million objects, 50 nodes of 32 cores", 1_000_000, 1600, 4000),
)


@dataclass(frozen=True)
class Spent:
    """One command."""

    wall_s: float
    processor_s: float
    memory_mb: float
    said: str


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workflow", description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1000, 5000, 20_000, 50_000])
    parser.add_argument("--experiments", type=int, default=1000, help="0 leaves them out")
    parser.add_argument("--no-shapenet", action="store_true", help="leave the row of all of ShapeNet out")
    parser.add_argument("--no-paper", action="store_true", help="leave the measured data set out")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args(argv)
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    if arguments.jobs or arguments.experiments or not arguments.no_shapenet:
        rows = scale(arguments.jobs, arguments.experiments, not arguments.no_shapenet, machine)
        fill(arguments.output, "scale", rows)
    if not arguments.no_paper:
        fill(arguments.output, "paper", paper(machine))
    return 0


def fill(document: Path, name: str, block: str) -> None:
    """Replace the text between the marks of one block."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = document.read_text(encoding="utf-8")
    wanted = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    write_text(document, wanted.sub(lambda _: f"{begin}\n{block}\n{end}", text))
    for line in (f"{document.name}: {name} written", *block.splitlines()):
        say(line)


def scale(jobs: Sequence[int], experiments: int, shapenet: bool, machine: str) -> str:
    """The table of dry runs and no-op runs."""
    lines = [
        "| jobs | dry run of everything | no-op run, all there | memory | Snakemake alone: dry run | no-op | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for wanted in jobs:
        lines.append(_planned(_made_up((wanted - OTHER_JOBS) // JOBS_A_SHARD, 1), "shards_all", ""))
        say(lines[-1])
    if experiments:
        lines.append(_planned(_made_up(2, experiments), "train_all", f", of them {experiments:,} trainings"))
        say(lines[-1])
    if shapenet:
        lines.append(
            _planned(_all_of_shapenet, "all", ": all of ShapeNet, 55 categories, 51,000 models, `shards: auto`")
        )
        say(lines[-1])
    return "\n".join([*lines, "", f"Processor time (and time on the clock) on {machine}."])


def _planned(write: Callable[[Path], None], target: str, what: str) -> str:
    """A line of the table, of the world that `write` writes into a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        dry = snakemake(folder, "--dry-run", target)
        count = int((re.search(r"^total +(\d+)", dry.said, re.MULTILINE) or ["", "0"])[1])
        _pretend(folder, target)
        done = snakemake(folder, target)
        assert "Nothing to be done" in done.said, done.said[-2000:]
    with tempfile.TemporaryDirectory() as name:
        alone = _alone(Path(name), count // JOBS_A_SHARD)
    return "| " + " | ".join([f"{count:,}{what}", *_cells(dry, done), *_cells(*alone)]) + " |"


def _cells(dry: Spent, done: Spent) -> list[str]:
    spent = [f"{one.processor_s:.1f} s ({one.wall_s:.0f} s)" for one in (dry, done)]
    return [*spent, f"{max(dry.memory_mb, done.memory_mb):.0f} MB"]


def _alone(folder: Path, shards: int) -> tuple[Spent, Spent]:
    """The same with rules that have nothing but a file to read and one to write."""
    names = [f"{number:05d}" for number in range(shards)]
    (folder / "Snakefile").write_text(TRIVIAL.replace("COUNT", str(shards)), encoding="utf-8")
    dry = snakemake(folder, "--dry-run", snakefile=folder / "Snakefile")
    for stage in ("prepare", "voxelize", "render", "pack"):
        (folder / stage).mkdir()
        for shard in names:
            (folder / stage / shard).touch()
    return dry, snakemake(folder, snakefile=folder / "Snakefile")


def _made_up(shards: int, experiments: int) -> Callable[[Path], None]:
    """A data set of so many shards, and so many experiments on it."""

    def write(folder: Path) -> None:
        values = {"datasets": {"big": {"source": "modelnet40", "mirrors": ["mirror"], "shards": shards}}}
        runs = {f"e{number}": {"datasets": ["big"]} for number in range(experiments)}
        _configure(folder, values | {"experiments": runs})
        _archive(folder, shards)

    return write


def _all_of_shapenet(folder: Path) -> None:
    """The archives of ShapeNetCore.v1 with as many models, which are never read, and one experiment on them."""
    _configure(
        folder,
        {
            "datasets": {"shapenet": {"source": "shapenet_v1", "mirrors": ["mirror"]}},
            "experiments": {"vae": {"datasets": ["shapenet"]}},
        },
    )
    each = math.ceil(SHAPENET_MODELS / len(NAMES))
    for synset in NAMES:
        with zipfile.ZipFile(folder / "mirror" / f"{synset}.zip", "w") as archive:
            for number in range(each):
                for file in ("model.obj", "model.mtl", "images/wood.jpg"):
                    archive.writestr(f"{synset}/{number:032x}/{file}", "#")


def paper(machine: str) -> str:
    """Measured costs of the small data set, and what they mean for large ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _configure(folder, SMALL)
        snakemake(folder, "--cores", "1", "shards_all")
        costs = [cost for cost in measured(folder / "results") if cost.stage in STAGES]
    lines = [
        "| | shapes a shard | s a shard job | on the clock | prepared | voxels | views | shards |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_large(costs, *row) for row in LARGE]
    return "\n".join([table(costs), "", *lines, "", f"Measured on one core of {machine}."])


def _large(costs: Sequence[Cost], name: str, shapes: int, cores: int, shards: int) -> str:
    each = math.ceil(shapes / shards)
    jobs = [cost.seconds / cost.shapes * each for cost in costs]
    # As many shards as cores at a time; the last ones leave cores idle.
    minutes = sum(jobs) * math.ceil(shards / cores) / 60
    clock = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
    disk = " | ".join(f"{cost.bytes / cost.shapes * shapes / 1e9:,.1f} GB" for cost in costs)
    return f"| {name} | {each} in {shards} shards | {min(jobs):.0f} to {max(jobs):.0f} | {clock} | {disk} |"


def snakemake(folder: Path, *arguments: str, snakefile: Path = ROOT / "Snakefile") -> Spent:
    """Run it in `folder`."""
    profile = ROOT / "profiles" / "default"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--workflow-profile", str(profile)]
    cores = () if "--cores" in arguments else ("--cores", "2")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*command, *cores, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, own = os.wait4(process.pid, 0)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said[-4000:]
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, processor, own.ru_maxrss / 1024, said)


def _configure(folder: Path, values: dict[str, object]) -> None:
    (folder / "mirror").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def _archive(folder: Path, shards: int) -> None:
    """A zip with some shapes for every shard, whose meshes are never read."""
    with zipfile.ZipFile(folder / "mirror" / "ModelNet40.zip", "w") as archive:
        for number in range(4 * shards):
            archive.writestr(f"ModelNet40/chair/train/chair_{number:06d}.off", "OFF\n")


def _pretend(folder: Path, target: str) -> None:
    """Empty products with the records that real ones have."""
    with contextlib.chdir(folder):
        values = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
        for rules in ({"fetch"}, None):
            plan = Plan(values)
            plan.publish()
            for job in plan.planned([target]):
                if rules is None or job.rule in rules:
                    _finish(plan, job)


def _finish(plan: Plan, job: Job) -> None:
    if job.rule == "fetch":
        with Log(None) as log:
            fetch_dataset(job.name, plan.config.datasets[job.name], Path(plan.graph.path(job)), log=log)
    for path in map(Path, plan.graph.outputs(job)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    made = Path(plan.graph.made(job))
    made.parent.mkdir(parents=True, exist_ok=True)
    record = plan.record(job) | {"outputs": plan.graph.products(job)}
    made.write_text(json.dumps(complete(record, Path(plan.out)), indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
