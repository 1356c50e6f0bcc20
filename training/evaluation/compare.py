"""Experiments side by side: one row an experiment, seeds of one experiment together.

    python -m training compare results/runs/* -o table.md        # or .csv, .json; none: to the terminal
    python -m training compare results/runs/* --columns IoU AP   # a line for each experiment, only these

Runs whose settings differ in nothing but the seed are one row: the mean over the seeds and, with
more than one, the standard deviation (n - 1) over them.  Without a second seed the number in
brackets is missing, not zero.  Settings in which few experiments differ, as `vary` makes them, stand beside the names.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.atomic import json_text, write_text
from pipeline.errors import UserError
from pipeline.formats.results import COLUMNS, MORE_COLUMNS, centre, figure_at
from pipeline.settings.training import REMOVED, Experiment
from pipeline.state.files import parse_json, read_lines, read_state
from pipeline.state.tables import write_table
from training.evaluation import tables
from training.run import files as run_files

FORMATS = (".md", ".csv", ".json")
_MOST_VARIED = 6  # experiments that differ in more are told apart by their names
_FIXED = {column.title for column in COLUMNS}


@dataclass(frozen=True)
class Row:
    """One experiment over its seeds."""

    name: str
    runs: list[str]
    mean: dict[str, float]
    spread: dict[str, float]  # empty with one run
    varied: dict[str, Any] = field(default_factory=dict)  # settings in which the rows differ


def compare(runs: Sequence[Path]) -> list[Row]:
    """One row for each experiment, in the order in which they were named."""
    groups: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    # A run that is older than a key did what the key's default does.
    defaults = Experiment(datasets=("any",)).model_dump(mode="json")
    for run in runs:
        results = read_results(run) | {"speed": _speed(run / "timing.jsonl")}
        settings = {**defaults, **run_files.read_config(run)["settings"], "seed": None}
        settings = {key: value for key, value in settings.items() if key not in REMOVED}
        data = [(one["dataset"], one["digest"]) for one in results.get("data", [])]
        groups.setdefault(json.dumps([settings, data], sort_keys=True), []).append((run, results))
    learnt = [parse_json(key)[0] for key in groups]
    varied = sorted(key for key in learnt[0] if any(one[key] != learnt[0][key] for one in learnt)) if groups else []
    shown = varied if len(varied) <= _MOST_VARIED else []
    return [
        replace(_row(members), varied={key: one[key] for key in shown})
        for members, one in zip(groups.values(), learnt, strict=True)
    ]


def read_results(run: Path) -> dict[str, Any]:
    """results.json of a run folder; a UserError where there is none."""
    path = run / "results.json"
    found: dict[str, Any] = read_state(
        path,
        what="this run has not been evaluated",
        do="run `snakemake --cores 2 evaluate_all`, or `python -m training evaluate`, first",
    )
    return found


def _speed(timing: Path) -> dict[str, float]:
    """The median of what the training said of its speed; of one machine, so never part of results.json."""
    lines = read_lines(timing, what="cannot read the speed of a run")
    speeds = [float(line["samples_per_s"]) for line in lines if isinstance(line.get("samples_per_s"), (int, float))]
    return {"samples_per_s": statistics.median(speeds)} if speeds else {}


def _row(members: list[tuple[Path, dict[str, Any]]]) -> Row:
    values = {title: [figure_at(results, place) for _, results in members] for title, place in columns(members).items()}
    known = {title: [centre(one) for one in found if one is not None] for title, found in values.items()}
    names = [run.name for run, _ in members]
    return Row(
        names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more seeds",
        names,
        {title: statistics.fmean(found) for title, found in known.items() if found},
        {title: statistics.stdev(found) for title, found in known.items() if len(found) > 1},
    )


def columns(members: list[tuple[Path, dict[str, Any]]]) -> dict[str, str]:
    """The columns there are: for each set of photographs the mean over classes, and each class that was learned."""
    sets = sorted({name for _, results in members for name in results.get("photographs", {})})
    known = sorted({name for _, results in members for name in results.get("categories", {})})
    found = {column.title: column.place for column in (*COLUMNS, *MORE_COLUMNS)}
    for name in sets:
        for title, score in (("AP", "ap"), ("AP aligned", "ap_aligned")):
            place = f"photographs.{name}.scores.network.{score}"
            found[f"{name} {title}"] = f"{place}.class_mean"
            found |= {f"{name} {one} {title}": f"{place}.classes.{one}" for one in known}
    return found


def titles(rows: list[Row]) -> list[str]:
    """Columns that any row has and that need not be asked for, the fixed ones first."""
    more = {column.title for column in MORE_COLUMNS}
    every = [title for row in rows for title in row.mean if title not in more and not _of_one_class(title)]
    return sorted(set(every), key=lambda title: (title not in _FIXED, every.index(title)))


def _of_one_class(title: str) -> bool:
    return title not in _FIXED and len(title.removesuffix(" aligned").split()) > 2


def chosen(rows: list[Row], wanted: Sequence[str]) -> str:
    """A markdown table of some columns, a line for each experiment; a UserError for a column that no row has."""
    known = sorted({title for row in rows for title in row.mean})
    for title in wanted:
        if title not in known:
            raise UserError("no run has this column", where="--columns", got=title, wanted=", ".join(known))

    def cell(row: Row, title: str) -> str:
        if title not in row.mean:
            return ""
        places = 0 if title == "samples/s" else 3
        spread = f" ± {row.spread[title]:.{places}f}" if title in row.spread else ""
        return f"{row.mean[title]:.{places}f}{spread}"

    lines = [[row.runs[0], *_varied(row), str(len(row.runs)), *(cell(row, title) for title in wanted)] for row in rows]
    return "\n".join(tables.grid(["experiment", *rows[0].varied, "seeds", *wanted], lines)) + "\n"


def _varied(row: Row) -> list[str]:
    return [value if isinstance(value, str) else json.dumps(value) for value in row.varied.values()]


def as_markdown(rows: list[Row]) -> str:
    """A table with experiments as columns, so that many numbers stay readable."""

    def cell(row: Row, title: str) -> str:
        if title not in row.mean:
            return ""
        spread = f" ± {row.spread[title]:.4f}" if title in row.spread else ""
        return f"{row.mean[title]:.4f}{spread}"

    body = [[title, *(cell(row, title) for row in rows)] for title in titles(rows)]
    seeds = ["runs", *(str(len(row.runs)) for row in rows)]
    varied = [list(line) for line in zip(rows[0].varied, *map(_varied, rows))] if rows else []
    return "\n".join(tables.grid(["", *(row.name for row in rows)], [*varied, seeds, *body])) + "\n"


def as_csv(rows: list[Row]) -> str:
    """One line an experiment; every number with a second column for its spread."""
    names = titles(rows)
    varied = rows[0].varied if rows else {}
    header = ["experiment", *varied, "runs", *(f"{name}{end}" for name in names for end in ("", " (spread)"))]
    lines = [
        [
            row.name,
            *_varied(row),
            len(row.runs),
            *(one.get(name, "") for name in names for one in (row.mean, row.spread)),
        ]
        for row in rows
    ]
    return write_table(header, lines, ",")


def as_json(rows: list[Row]) -> str:
    """A list of {name, runs, mean, spread, varied}."""
    return json_text([row.__dict__ for row in rows])


def write(rows: list[Row], output: Path | None) -> str:
    """The table as text; also published where `output` says, in the format of its suffix."""
    if output is None:
        return as_markdown(rows)
    writers = dict(zip(FORMATS, (as_markdown, as_csv, as_json), strict=True))
    if output.suffix not in writers:
        raise UserError(
            "cannot write such a table", where=str(output), got=output.suffix or "no suffix", wanted=", ".join(FORMATS)
        )
    text = writers[output.suffix](rows)
    write_text(output, text)
    return text
