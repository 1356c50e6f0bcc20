"""One line for every shape of a data set: how far it came, and why it stopped there.

    python -m pipeline ledger --dataset D --settings JSON --index index/D/ --packs ... -o ledger/D.tsv

No shape is lost silently: each one that an archive holds is in the index or its rejects, and
each one a stage was given is in that stage's records or rejects.  Too many refused shapes
(`max_rejected_percent`) stop the run here, with the reasons.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.atomic import write_text
from pipeline.errors import UserError
from pipeline.formats.clusters import read_splits
from pipeline.formats.ledger import NO_LOSS, STAGES, Row, funnel, reasons, to_tsv
from pipeline.formats.pack import PackReader
from pipeline.manifest import Record, Rejection, read_rejects, shapes_from_tsv
from pipeline.progress import Log, say
from pipeline.settings.datasets import Dataset
from pipeline.settings.parse import parse


def collect_files(index: Path, packs: Sequence[Path], clusters: Path | None = None) -> list[Row]:
    """The ledger from a folder of `index` and the packs or shards of later stages, in any order.

    clusters : what `clusters` wrote, which says the split of near-duplicates.
    """
    rows: dict[str, Row] = {}
    for path in sorted(index.glob("*.tsv")):
        for shape in shapes_from_tsv(path.read_text(encoding="utf-8"), str(path)):
            rows[shape.shape_id] = Row(shape.shape_id, shape.category, shape.split, "index", "accepted")
    for rejection in read_rejects(index):
        _refuse(rows, rejection)
    for path in packs:
        records, rejects = _read(path)
        for record in records:
            _advance(rows, record)
        for rejection in rejects:
            _refuse(rows, rejection)
    splits = read_splits(clusters)
    for shape_id, row in rows.items():
        row.split = splits.get(shape_id, row.split)
    return sorted(rows.values(), key=lambda row: row.shape_id)


def enforce_limit(rows: Sequence[Row], max_rejected_percent: float, dataset: str) -> None:
    """Raise UserError when more shapes were refused than the configuration allows."""
    rows = [row for row in rows if row.reason not in NO_LOSS]
    refused = sum(row.status == "rejected" for row in rows)
    if not rows or 100 * refused <= max_rejected_percent * len(rows):
        return
    examples = [row for row in rows if row.status == "rejected"][:3]
    raise UserError(
        f"too many shapes of data set {dataset!r} were refused",
        where=", ".join(f"{row.shape_id} ({row.detail or row.reason})" for row in examples),
        got=f"{refused} of {len(rows)} ({100 * refused / len(rows):.1f} %): "
        + ", ".join(f"{reason} {count}" for reason, count in reasons(rows).items()),
        wanted=f"at most {max_rejected_percent:g} %",
        do=f"look at ledger/{dataset}.refused.tsv; if these reasons are expected, "
        f"raise datasets.{dataset}.max_rejected_percent",
    )


def write_ledger(
    dataset: str,
    settings: Dataset,
    index: Path,
    packs: Sequence[Path],
    output: Path,
    *,
    clusters: Path | None = None,
    log: Log,
) -> None:
    """Write the ledger, then enforce the limit.

    Snakemake removes the output of a job that failed, so what was refused is also in
    ``D.refused.tsv``, to be looked at either way.
    """
    rows = collect_files(index, packs, clusters)
    write_text(output.with_suffix(".refused.tsv"), to_tsv(row for row in rows if row.status == "rejected"))
    write_text(output, to_tsv(rows))
    refused = sum(row.status == "rejected" for row in rows)
    log.write("ledger", dataset=dataset, shapes=len(rows), rejected=refused, funnel=funnel(rows), reasons=reasons(rows))
    enforce_limit(rows, settings.max_rejected_percent, dataset)
    why = ", ".join(f"{reason} {count}" for reason, count in reasons(rows).items())
    say(f"ledger: {dataset}: {len(rows)} shapes, {refused} refused{f' ({why})' if why else ''}")


def _read(path: Path) -> tuple[list[Record], list[Rejection]]:
    if path.suffix == ".h5":
        from pipeline.shards import open_shard  # HDF5 takes a moment to load

        with open_shard(path) as shard:
            return list(shard.records), list(shard.rejects)
    pack = PackReader(path)
    return pack.records, pack.rejects


def _advance(rows: dict[str, Row], record: Record) -> None:
    row = rows.setdefault(record.shape_id, Row(record.shape_id, record.category, record.split, "index", "accepted"))
    row.category, row.split = record.category, record.split or row.split
    reached = max((STAGES.index(stage) for stage in record.facts if stage in STAGES), default=0)
    if reached > STAGES.index(row.stage) and row.status == "accepted":
        row.stage = STAGES[reached]
    prepared = record.facts.get("prepare")
    if prepared:
        row.mesh_sha256 = prepared["mesh_sha256"]
        row.licence, row.credit = prepared.get("licence", ""), prepared.get("credit", "")
        row.repairs = " ".join(f"{name}={count}" for name, count in sorted(prepared["repairs"].items()) if count)


def _refuse(rows: dict[str, Row], rejection: Rejection) -> None:
    category = rejection.shape_id.split("/")[1] if rejection.shape_id.count("/") >= 2 else ""
    row = rows.setdefault(rejection.shape_id, Row(rejection.shape_id, category, "", rejection.stage, "rejected"))
    row.stage, row.status, row.reason, row.detail = rejection.stage, "rejected", rejection.reason, rejection.detail


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--index", type=Path, required=True, help="folder of `index`")
    parser.add_argument("--packs", type=Path, nargs="*", default=[], help="outputs of prepare, voxelize, render")
    parser.add_argument("--clusters", type=Path, help="near-duplicates, where they stay on one side of the split")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    settings = parse(Dataset, given.settings, "--settings")
    write_ledger(given.dataset, settings, given.index, given.packs, given.output, clusters=given.clusters, log=log)
