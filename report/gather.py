"""Reads what the stages left in the run's folder; every reader names the file it could not read."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.pack import PackReader


@dataclass
class DatasetFacts:
    """What the page says of one data set."""

    name: str
    index: dict[str, Any]  # shards/<name>/index.json
    sheet: Path
    audit: dict[str, Any]  # audits/<name>.json, empty if it was not asked for
    ledger: list[dict[str, str]]  # ledger/<name>.tsv, one row a shape
    voxels: list[dict[str, Any]]  # the voxelizer's quality record of every shape, with its id
    voxel_seconds: list[float]  # its time for every shape, from the logs
    funnel: list[tuple[str, int]] = field(default_factory=list)
    reasons: list[tuple[str, str, int, str]] = field(default_factory=list)  # stage, reason, count, an example


@dataclass
class ExperimentFacts:
    """What the page says of one training run."""

    name: str
    folder: Path
    results: dict[str, Any]
    metrics: list[dict[str, Any]]


def datasets(output: Path) -> list[DatasetFacts]:
    """Every data set with shards below `output`, in the order of their names."""
    found = []
    for path in sorted(output.glob("shards/*/index.json")):
        name = path.parent.name
        ledger = read_tsv(output / "ledger" / f"{name}.tsv")
        audit = output / "audits" / f"{name}.json"
        sheet = output / "samples" / name / "sheet.png"
        checked = read_json(audit) if audit.exists() else {}
        times = [line["seconds"] for log in sorted(output.glob(f"logs/voxelize/{name}-*.jsonl"))
                 for line in read_lines(log) if line["event"] == "shape"]  # fmt: skip
        facts = DatasetFacts(name, read_json(path), sheet, checked, ledger, voxel_records(output, name), times)
        facts.funnel, facts.reasons = _funnel(ledger), _reasons(ledger)
        found.append(facts)
    return found


def experiments(output: Path) -> list[ExperimentFacts]:
    """Every evaluated run below `output`, in the order of their names."""
    return [
        ExperimentFacts(path.parent.name, path.parent, read_json(path), read_lines(path.parent / "metrics.jsonl"))
        for path in sorted(output.glob("runs/*/results.json"))
    ]


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
    """Wall time and memory of each rule, summed over its jobs, from Snakemake's benchmark files."""
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(output.glob("benchmarks/**/*.tsv")):
        rule = path.relative_to(output / "benchmarks").parts[0].removesuffix(".tsv")
        for line in read_tsv(path):
            row = rows.setdefault(rule, {"rule": rule, "jobs": 0, "seconds": 0.0, "peak_mb": 0.0})
            row["jobs"] += 1
            row["seconds"] += _number(line.get("s"))
            row["peak_mb"] = max(row["peak_mb"], _number(line.get("max_rss")))
    return sorted(rows.values(), key=lambda row: -float(row["seconds"]))


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError("cannot read a result", where=str(path), got=str(error),
                        do="delete it and run the same command again") from error  # fmt: skip


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines; a last line that a killed run left unfinished is passed over."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a tab-separated table with a header; none if the file is absent."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _funnel(ledger: list[dict[str, str]]) -> list[tuple[str, int]]:
    """How many shapes passed each stage."""
    lost = Counter(row["stage"] for row in ledger if row.get("status") == "rejected")
    left, rows = len(ledger), [("listed", len(ledger))]
    for stage in ("index", "prepare", "voxelize", "render"):
        left -= lost[stage]
        rows.append((stage, left))
    return rows


def _reasons(ledger: list[dict[str, str]]) -> list[tuple[str, str, int, str]]:
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in ledger:
        if row.get("status") == "rejected":
            groups.setdefault((row["stage"], row["reason"]), []).append(row)
    return [
        (stage, reason, len(rows), f"{rows[0]['shape_id']}: {rows[0]['detail']}")
        for (stage, reason), rows in sorted(groups.items())
    ]


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # Snakemake writes "-" or "NA" for jobs too short to measure
        return 0.0
