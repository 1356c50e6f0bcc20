"""The ledger of a data set: a table with one line a shape, which says how far it came and why it stopped there.

Tab-separated with a header; `python -m pipeline ledger` writes it, the report reads it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UserError, remedy
from pipeline.state.tables import read_table, write_table

STAGES = ("index", "prepare", "voxelize", "render")
# Listed and counted, but no loss: a set of pictures shows a choice of the meshes it is paired with, a folder holds a
# choice of what its annotations name, licences are refused because somebody asked for it, and photographs that show
# their object in part are marked so by their publisher.
NO_LOSS = {"no_views", "not_in_mirror", "licence", "not_whole"}


@dataclasses.dataclass
class Row:
    """One shape's line."""

    shape_id: str
    category: str
    split: str  # empty for a shape that was refused before it had one
    stage: str  # the last stage that knew it
    status: str  # "accepted" or "rejected"
    reason: str = ""
    detail: str = ""
    repairs: str = ""  # "degenerate_faces=3 duplicate_faces=12"; what is zero is left out
    mesh_sha256: str = ""
    licence: str = ""  # of this shape, where its source says one for each
    credit: str = ""  # who has to be named


_COLUMNS = [field.name for field in dataclasses.fields(Row)]


def to_tsv(rows: Iterable[Row]) -> str:
    """Tab-separated with a header; opens in any spreadsheet."""
    return write_table(_COLUMNS, map(dataclasses.astuple, rows))


def read_ledger(path: Path) -> list[Row]:
    """The rows of a ledger, none where there is no file; a UserError for anything else."""
    try:
        header, *lines = read_table(path.read_text(encoding="utf-8"))
        if header != _COLUMNS:
            raise ValueError(f"the columns {', '.join(header)}")
        rows = [Row(*line) for line in lines]
        unknown = [row for row in rows if row.stage not in STAGES or row.status not in ("accepted", "rejected")]
        if unknown:
            raise ValueError(f"{unknown[0].shape_id} is {unknown[0].status!r} at the stage {unknown[0].stage!r}")
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise UserError(
            "cannot read a ledger",
            where=str(path),
            got=str(error),
            wanted=f"the columns {', '.join(_COLUMNS)}",
            do=remedy(path, ".tsv"),
        ) from error
    return rows


def funnel(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Totals a stage: how many shapes entered, passed and were refused there; for the report.

    A stage that no shape has reached yet has zeros.
    """
    table = {stage: {"entered": 0, "passed": 0, "rejected": 0} for stage in STAGES}
    for row in rows:
        reached = STAGES.index(row.stage)
        for number, stage in enumerate(STAGES[: reached + 1]):
            table[stage]["entered"] += 1
            stopped = number == reached and row.status == "rejected"
            table[stage]["rejected" if stopped else "passed"] += 1
    return table


def reasons(rows: Iterable[Row]) -> dict[str, int]:
    """How many shapes were refused for each ``stage: reason``, most frequent first."""
    counts = Counter(f"{row.stage}: {row.reason}" for row in rows if row.status == "rejected")
    return dict(counts.most_common())
