"""Rebuild what is damaged or missing in a run, and nothing else.

A damaged file is set aside as ``<name>.damaged``, so that Snakemake sees it missing; Snakemake
is then asked for just those files, one stage after the other.  A rebuilt file has the bytes
that it had, so it also gets a time before its readers', who then stay as they are; not so
where settings or code have changed since.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import UserError
from pipeline.manifest import sha256_of
from pipeline.progress import say

STAGES = ("archives", "backgrounds", "prepared", "voxels", "renders", "shards")  # each after those it is made of
ASIDE = ".damaged"
# A dry run with these says whether a file would be made again for its settings, code or list of inputs.
_ALL_BUT_TIME = ("--rerun-triggers", "params", "code", "input", "--dry-run", "--nolock")


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
    unchanged = _unchanged([*snakemake, *map(str, targets), *options], targets)
    for number in range(len(STAGES)):
        stage = [path for path in targets if _stage(path, root) == number]
        for path in stage:
            set_aside(path)
        if stage and subprocess.run([*snakemake, *map(str, stage), *options]).returncode != 0:
            return False
        for path in stage:
            if unchanged:
                _put_before_its_readers(path, root)
            aside(path).unlink(missing_ok=True)
    return True


def check_shards(index: Path) -> None:
    """Set aside each shard that has changed since `index` was written, so that this run makes it again.

    Looks at sizes and times; only a shard whose size or time is not right is read.  One that was
    merely touched or copied gets its time back.
    """
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["shards"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no data set yet, or its rule makes it again
    written = index.stat().st_mtime_ns
    for entry in entries:
        path = index.parent / entry["file"]
        if not path.exists() or (path.stat().st_size == entry["bytes"] and path.stat().st_mtime_ns <= written):
            continue
        if sha256_of(path) == entry["sha256"]:
            os.utime(path, ns=(written, written))
        elif _is_damaged(path):
            say(f"damaged: {path}; it is made again, the damaged file is {set_aside(path).name}")


def _is_damaged(path: Path) -> bool:
    from pipeline.shards import verify  # HDF5 takes a moment to load

    try:
        verify(path, "full")
    except UserError:
        return True
    return False  # a whole shard of other settings: a run was interrupted before its index


def aside(path: Path) -> Path:
    """Where a damaged file is put."""
    return path.with_name(path.name + ASIDE)


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, if it is there."""
    if path.exists():
        os.replace(path, aside(path))
    return aside(path)


def _unchanged(command: Sequence[str], targets: Iterable[Path]) -> bool:
    """Whether the files would come out as they were: Snakemake has no reason but their state to make them."""
    placeholders = [path for path in targets if not path.exists()]
    for path in placeholders:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    try:
        done = subprocess.run([*command, *_ALL_BUT_TIME], capture_output=True, text=True)
    finally:
        for path in placeholders:
            path.unlink()
    return done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def _put_before_its_readers(path: Path, root: Path) -> None:
    """Give a rebuilt file a time that is not after any file made of it."""
    root = _relative(root)
    stage, dataset = path.relative_to(root).parts[0], path.parent.name
    readers = [root / "ledger" / f"{dataset}.tsv", root / "samples" / dataset / "gallery.html"]
    if stage == "shards":
        readers = [path.parent / "index.json"]
        entries = json.loads(readers[0].read_text(encoding="utf-8"))["shards"] if readers[0].exists() else []
        if sha256_of(path) not in {entry["sha256"] for entry in entries}:
            return  # not the bytes that were: let its readers see it
    elif stage == "backgrounds":
        readers = [*root.glob("shards/*/*.h5"), *root.glob("samples/*/*"), *root.glob("runs/*/train.json")]
    else:
        later = STAGES[STAGES.index(stage) + 1 :]
        readers += [file for name in later for file in (root / name / dataset).glob(f"{path.stem}.*")]
    times = [reader.stat().st_mtime_ns for reader in readers if reader != path and reader.is_file()]
    if times:
        os.utime(path, ns=(min(times), min(times)))


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
