"""Rebuild what is damaged or missing in a run, and nothing else.

A damaged file is set aside as ``<name>.damaged``, so that Snakemake sees it missing; Snakemake
is then asked for just those files, one stage after the other.  What was made of them stays as it
is: the plan goes by what products were made from, and by no time.

A training whose checkpoint is damaged goes on from the one before it.  Where another file of it is
damaged it would have to begin anew, which is for a person to decide; and so is what becomes of archives.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.progress import say
from pipeline.workflow.damage import aside, set_aside
from pipeline.workflow.graph import PATHS

# Folders of a run, each after those that it is made of.
STAGES = (
    *("mirror", "archives", "backgrounds", "prepared", "voxels", "renders", "clusters", "shards"),
    *("ledger", "audits", "samples", "photographs", "runs", "report.html"),
)


def repair(bad: Mapping[Path, Path | None], root: Path, options: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Make files again; returns those that should be whole now, and those that are left to a person.

    bad : each file, and the record of the job that made it, if there is one
    root : output folder of the run; options : passed on to Snakemake.
    """
    left = [path for path in bad if (text := _for_a_person(path, bad[path], root)) and _said(path, text)]
    wanted = {path: _target(path, bad[path], root) for path in bad if path not in left}
    targets = sorted({_relative(path) for path in wanted.values()}, key=lambda path: (_stage(path, root), path))
    # The targets stand before the options in every command: `--configfile` takes all words that follow it.
    options = options or ["--cores", "all"]
    snakemake = _snakemake()
    for number in range(len(STAGES)):
        stage = [path for path in targets if _stage(path, root) == number]
        gone = {*stage, *(path for path, target in wanted.items() if _relative(target) in stage)}
        for path in gone:
            set_aside(path)
        if not snakemake:
            continue
        if stage and subprocess.run([*snakemake, *map(str, stage), *options]).returncode != 0:
            return [], left
        for path in gone:
            _remove(aside(path))
    if targets and not snakemake:
        say("snakemake is not installed here; where it is, this makes just those again:")
        say(shlex.join(["snakemake", *map(str, targets), *options]))
        return [], left
    return list(wanted), left


def _target(path: Path, record: Path | None, root: Path) -> Path:
    """What Snakemake is asked for so that a file is made again: the first product of its job."""
    if record is None:
        return path
    rule, *names = record.relative_to(root / "made").with_suffix("").parts
    return root / PATHS[rule].format(name=names[0] if names else "", shard=names[-1] if names else "")


def _for_a_person(path: Path, record: Path | None, root: Path) -> str:
    """What a person has to do about a file that cannot be made again by itself; nothing for all others."""
    stage, *names = path.relative_to(root).parts
    if stage == "archives":
        return "restore the files it lists, or delete it and them, and run the usual command: they are fetched"
    if stage in ("index", "made") and record is None:
        set_aside(path)
        return f"it is now {aside(path).name}; the usual command writes it again"
    if record is not None and record.relative_to(root / "made").parts[0] == "train" and path != record:
        checkpoint = names[1] == "checkpoints" and Path(names[-1]).stem.isdigit()
        if not checkpoint and names[1:] != ["train.json"]:
            return f"restore it from a copy; or delete {root / stage / names[0]} and the usual command trains anew"
    return ""


def _said(path: Path, text: str) -> bool:
    say(f"{path}: {text}")
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _stage(path: Path, root: Path) -> int:
    return STAGES.index(path.relative_to(_relative(root)).parts[0])


def _relative(path: Path) -> Path:
    """As the rules name it: below the working directory without the directory."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _snakemake() -> list[str]:
    if importlib.util.find_spec("snakemake"):
        return [sys.executable, "-m", "snakemake"]
    found = shutil.which("snakemake")
    return [found] if found else []
