"""Reads what the stages left in the run's folder; every reader names the file it could not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.pack import PackReader
from pipeline.formats.zipped import damage_as
from pipeline.state import files
from pipeline.state.tables import read_named

_WHAT = "cannot read a result"

TRY = "try.html"  # beside the results of an experiment
Arrays = dict[str, Array]  # members of an .npz by name


@dataclass
class DatasetFacts:
    """What the page says of one data set."""

    name: str
    index: dict[str, Any]  # shards/<name>/index.json
    sheet: Path
    audit: dict[str, Any]  # audits/<name>.json, empty if it was not asked for
    ledger: Path  # ledger/<name>.tsv, one row a shape; may be absent
    voxels: list[dict[str, Any]]  # the voxelizer's quality record of every shape, with its id
    voxel_seconds: list[float]  # its time for every shape, from the logs


@dataclass
class ExperimentFacts:
    """What the page says of one training run."""

    name: str
    folder: Path
    results: dict[str, Any]
    metrics: list[dict[str, Any]]
    timing: list[dict[str, Any]]  # samples/s and pieces by samples seen
    measured: list[dict[str, Any]]  # parts of the evaluation and their seconds

    @property
    def page(self) -> str:
        """Address of the page on which the network can be tried, seen from the report; empty where there is none."""
        return f"runs/{quote(self.name)}/{TRY}" if (self.folder / TRY).exists() else ""


def datasets(output: Path) -> list[DatasetFacts]:
    """Every data set with shards below `output`, in the order of their names."""
    found = []
    for path in sorted(output.glob("shards/*/index.json")):
        name = path.parent.name
        audit = output / "audits" / f"{name}.json"
        sheet = output / "samples" / name / "sheet.png"
        checked = read_json(audit) if audit.exists() else {}
        times = [
            line["seconds"]
            for log in sorted(output.glob(f"logs/voxelize/{name}-*.jsonl"))
            for line in read_lines(log)
            if line["event"] == "shape"
        ]
        ledger = output / "ledger" / f"{name}.tsv"
        found.append(DatasetFacts(name, read_json(path), sheet, checked, ledger, voxel_records(output, name), times))
    return found


def experiments(output: Path) -> list[ExperimentFacts]:
    """Every evaluated run below `output`, in the order of their names."""
    found = []
    for path in sorted(output.glob("runs/*/results.json")):
        run = path.parent
        log = output / "logs" / "evaluate" / f"{run.name}.jsonl"
        measured = [line for line in read_lines(log) if line.get("event") == "measured"]
        found.append(
            ExperimentFacts(
                run.name,
                run,
                read_json(path),
                read_lines(run / "metrics.jsonl"),
                read_lines(run / "timing.jsonl"),
                measured,
            )
        )
    return found


def voxel_records(output: Path, name: str) -> list[dict[str, Any]]:
    """What the voxelizer recorded of each shape of a data set."""
    packs = sorted(output.glob(f"voxels/{name}/*.zip"))
    return [
        {"shape_id": record.shape_id, **record.facts["voxelize"]}
        for path in packs
        for record in PackReader(path).records
        if "voxelize" in record.facts
    ]


def timings(output: Path) -> list[dict[str, Any]]:
    """Wall time and memory of each rule over its jobs, from Snakemake's benchmark files; the longest first.

    Memory is None where no job ran long enough to be measured.
    """
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(output.glob("benchmarks/**/*.tsv")):
        rule = path.relative_to(output / "benchmarks").parts[0].removesuffix(".tsv")
        for line in read_tsv(path):
            row = rows.setdefault(rule, {"rule": rule, "jobs": 0, "seconds": 0.0, "longest": 0.0, "peak_mb": None})
            seconds, peak = _number(line.get("s")) or 0.0, _number(line.get("max_rss"))
            row["jobs"] += 1
            row["seconds"] += seconds
            row["longest"] = max(row["longest"], seconds)
            row["peak_mb"] = max((mb for mb in (row["peak_mb"], peak) if mb is not None), default=None)
    return sorted(rows.values(), key=lambda row: -float(row["seconds"]))


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object."""
    value: dict[str, Any] = files.read_state(path, what=_WHAT)
    return value


def arrays(path: Path) -> Arrays:
    """The members of an .npz file."""
    with (
        damage_as(lambda problem: _unreadable(path, problem)),
        open(path, "rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        return {name: file[name] for name in file.files}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a last line that a killed run left unfinished is passed over."""
    return files.read_lines(path, what=_WHAT)


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header; none if the file is absent."""
    if not path.exists():
        return []
    try:
        return read_named(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _unreadable(path, error) from error


def short(shape_id: str, parts: int = 3) -> str:
    """The last parts of an id (of data set, category, name) that fit under a picture.

    ShapeNet's names are 32 hexadecimal digits.
    """
    *folders, name = shape_id.split("/")[-parts:]
    return "/".join([*folders, name if len(name) <= 16 else f"{name[:8]}…"])


def _unreadable(path: Path, problem: object) -> UserError:
    return UserError(_WHAT, where=str(path), got=str(problem), do="delete it and run the same command again")


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # Snakemake writes "-" or "NA" for jobs too short to measure
        return None
