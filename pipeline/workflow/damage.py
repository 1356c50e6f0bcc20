"""Shards that were changed since their data set was finished: they are made again, the damaged file is set aside.

Looks at sizes and times; only a shard whose size or time is not right is read, and what was learnt is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pydantic

from pipeline.errors import Refusal, UserError
from pipeline.formats.shard_index import read_index
from pipeline.progress import say
from pipeline.state.digests import sha256_of
from pipeline.state.files import read_cache, write_state
from pipeline.workflow.graph import Graph, Job

ASIDE = ".damaged"
# File of a shard -> size, time of the last change in ns, SHA-256.
SUMS = pydantic.TypeAdapter(dict[str, tuple[int, int, str]])


def aside(path: Path) -> Path:
    """Where a damaged file is put."""
    return path.with_name(path.name + ASIDE)


def set_aside(path: Path) -> Path:
    """Move a damaged file out of the way, if it is there."""
    if path.exists():
        os.replace(path, aside(path))
    return aside(path)


class Shards:
    """The shards of all data sets of a run below `out`, each data set looked at once."""

    def __init__(self, out: str):
        self._out = Path(out)
        self._states: dict[str, dict[str, str]] = {}
        self._sums: dict[str, dict[str, tuple[int, int, str]]] = {}

    def problem(self, job: Job) -> str:
        """What is wrong with the shards that a job has made or listed; nothing where they are whole."""
        if job.rule == "pack" and self._of(job.name).get(f"{job.shard}.h5") == "damaged":
            return f"{self._folder(job.name) / job.shard}.h5 is damaged"
        others = [file for file, state in self._of(job.name).items() if state == "other"]
        return f"{others[0]} is not the shard that it lists" if job.rule == "shard_index" and others else ""

    def set_aside(self, graph: Graph) -> None:
        """Move what is damaged out of the way, and keep what was learnt."""
        for name, states in self._states.items():
            for file in (file for file, state in states.items() if state == "damaged"):
                path = self._folder(name) / file
                say(f"damaged: {path}; it is made again, the damaged file is {set_aside(path).name}")
            if self._sums.get(name):
                write_state(self._cache(name), self._sums[name])

    def _folder(self, name: str) -> Path:
        return self._out / "shards" / name

    def _cache(self, name: str) -> Path:
        return self._out / "made" / "sums" / f"{name}.json"

    def _of(self, name: str) -> dict[str, str]:
        if name not in self._states:
            index = self._folder(name) / "index.json"
            try:
                entries = read_index(index)["shards"]
                written = index.stat().st_mtime_ns
                self._states[name] = {
                    entry["file"]: self._state(name, index.parent / entry["file"], entry, written) for entry in entries
                }
            except Refusal:
                raise
            except (FileNotFoundError, UserError):
                self._states[name] = {}  # no data set yet, or its rule makes it again
        return self._states[name]

    def _state(self, name: str, path: Path, entry: dict[str, Any], written: int) -> str:
        try:
            info = path.stat()
        except FileNotFoundError:
            return "missing"
        if info.st_size == entry["bytes"] and (info.st_mtime_ns <= written or self._sum(name, path) == entry["sha256"]):
            return "whole"
        # A whole shard of other settings: a run was interrupted before its index.
        return "damaged" if _is_damaged(path) else "other"

    def _sum(self, name: str, path: Path) -> str:
        """SHA-256 of a shard, read once for each size and time that it has."""
        if name not in self._sums:
            self._sums[name] = read_cache(self._cache(name), SUMS, {})
        info = path.stat()
        stamp, known = (info.st_size, info.st_mtime_ns), self._sums[name].get(path.name)
        if known is None or tuple(known[:2]) != stamp:
            known = self._sums[name][path.name] = (*stamp, sha256_of(path))
        return known[2]


def _is_damaged(path: Path) -> bool:
    from pipeline.shards import verify  # HDF5 takes a moment to load

    try:
        verify(path, "full")
    except Refusal:
        raise
    except UserError:
        return True
    return False
