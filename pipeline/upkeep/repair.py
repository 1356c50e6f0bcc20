"""Rebuild what is damaged or missing in a run, and nothing else.

A damaged file is set aside as ``<name>.damaged``, so that Snakemake sees it missing; Snakemake
is then asked for just those files, one stage after the other.  What was made of them stays as it
is: the plan goes by what products were made from, and by no time.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.progress import say
from pipeline.workflow.damage import aside, set_aside

STAGES = ("archives", "backgrounds", "prepared", "voxels", "renders", "shards")  # each after those it is made of


def repair(paths: Sequence[Path], root: Path, options: Sequence[str]) -> bool:
    """Make the files at `paths` again; False when Snakemake is not installed or has failed.

    root : output folder of the run; options : passed on to Snakemake.
    """
    targets = sorted({_relative(path) for path in paths}, key=lambda path: (_stage(path, root), path))
    # The targets stand before the options in every command: `--configfile` takes all words that follow it.
    options = options or ["--cores", "all"]
    snakemake = _snakemake()
    if not snakemake:
        for path in targets:
            set_aside(path)
        say("snakemake is not installed here; where it is, this makes just those again:")
        say(shlex.join(["snakemake", *map(str, targets), *options]))
        return False
    for number in range(len(STAGES)):
        stage = [path for path in targets if _stage(path, root) == number]
        for path in stage:
            set_aside(path)
        if stage and subprocess.run([*snakemake, *map(str, stage), *options]).returncode != 0:
            return False
        for path in stage:
            aside(path).unlink(missing_ok=True)
    return True


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
