"""Reading the records of jobs (pipeline/state/record.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from pipeline.errors import Refusal
from pipeline.state.files import Stored, read_if_whole


class _Sum(Stored):
    bytes: int
    sha256: str


class _Record(Stored):
    digest: str | None
    head: str
    sources: dict[str, str | None]
    checks: dict[str, Any]
    outputs: dict[str, _Sum] = {}  # empty in those of an earlier version
    limits: dict[str, float] = {}  # of time, that the job had
    accepted: str | None = None  # when a person has kept the product across a change of code


_RECORD: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Record)
# Of all that lies in made/, what is no record.
_OTHERS = ("heads", "sums", "contents", "index", "plan.json")


def read(path: Path) -> dict[str, Any] | None:
    """A record; None where it is absent or damaged, and its job is due; Refusal where the system refuses it."""
    found: dict[str, Any] | None = read_if_whole(path, _RECORD, None)
    return None if found is None else {"outputs": {}} | found


def all_of(root: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Every record of a run below the output folder `root`, None for one that cannot be read."""
    for path in sorted(root.glob("made/**/*.json")):
        if path.relative_to(root).parts[1] not in _OTHERS:
            try:
                yield path, read(path)
            except Refusal:  # of one of many, which are all looked at
                yield path, None
