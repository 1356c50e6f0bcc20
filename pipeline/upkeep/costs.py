"""``python -m pipeline costs results``: time, memory and disk of each stage, and what more shapes will take.

    python -m pipeline costs results --shapes 51000 --cores 16

Snakemake measures every job (``<output>/benchmarks``); this puts the figures beside the sizes
of the files.  Run the first shards, look, and choose `shards` so that a job takes minutes.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.progress import tell
from pipeline.state.tables import read_named

STAGES = {
    "prepare": ("prepared", ".zip"),
    "voxelize": ("voxels", ".zip"),
    "render": ("renders", ".h5"),
    "import": ("renders", ".h5"),
    "pack": ("shards", ".h5"),
}


@dataclass(frozen=True)
class Cost:
    """What one stage has cost so far, over the shards that are there."""

    stage: str
    shards: int
    shapes: int
    seconds: float  # of all these jobs together
    longest_s: float
    memory_mb: float  # the most that a job had resident
    bytes: int  # of all these files together


def measured(root: Path) -> list[Cost]:
    """The stages of a run in order; a UserError where no shard has been finished."""
    shapes = _shapes(root)
    out = []
    for stage, (folder, suffix) in STAGES.items():
        rows = []
        for (dataset, shard), count in shapes.items():
            benchmark = root / "benchmarks" / stage / f"{dataset}-{shard}.tsv"
            made = root / folder / dataset / f"{shard}{suffix}"
            if benchmark.exists() and made.exists():
                rows.append((count, *_last(benchmark), made.stat().st_size))
        if rows:
            counts, seconds, memory, sizes = zip(*rows)
            out.append(Cost(stage, len(rows), sum(counts), sum(seconds), max(seconds), max(memory), sum(sizes)))
    if not out:
        raise UserError(
            "no shard has been finished here",
            where=str(root),
            wanted="benchmarks/<stage>/<data set>-<shard>.tsv",
            do="run the pipeline up to some shards first: snakemake --cores 16 shards_all",
        )
    return out


def table(costs: list[Cost]) -> str:
    """One row a stage, as Markdown."""
    lines = [
        "| stage | shards | s a shard (longest) | ms a shape | most memory | MB a shard | kB a shape |",
        "|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        lines.append(
            f"| {cost.stage} | {cost.shards} | {cost.seconds / cost.shards:.1f} ({cost.longest_s:.1f}) "
            f"| {1000 * cost.seconds / cost.shapes:.0f} | {cost.memory_mb:.0f} MB "
            f"| {cost.bytes / cost.shards / 1e6:.1f} | {cost.bytes / cost.shapes / 1e3:.1f} |"
        )
    return "\n".join(lines)


def forecast(costs: list[Cost], shapes: int, cores: int) -> str:
    """One sentence: how long so many shapes will take on so many cores, and their disk."""
    hours = sum(cost.seconds / cost.shapes for cost in costs) * shapes / cores / 3600
    disk = {cost.stage: cost.bytes / cost.shapes * shapes / 1e9 for cost in costs}
    kept = ", ".join(f"{stage} {size:.3g}" for stage, size in disk.items())
    return f"{shapes:,} shapes on {cores} cores: {hours:.1f} h, {sum(disk.values()):.0f} GB ({kept})"


def report(root: Path, shapes: int | None, cores: int, *, as_json: bool = False) -> int:
    """Print the table, and the forecast where a number of shapes is given."""
    costs = measured(root)
    if as_json:
        said = {"stages": [dataclasses.asdict(cost) for cost in costs]}
        print(json.dumps(said | ({"forecast": forecast(costs, shapes, cores)} if shapes else {}), indent=1))
        return 0
    tell(table(costs))
    if shapes:
        tell(forecast(costs, shapes, cores))
    return 0


def _shapes(root: Path) -> dict[tuple[str, str], int]:
    """(data set, shard) -> shapes listed."""
    out = {}
    for path in sorted(root.glob("index/*/*.tsv")):
        out[path.parent.name, path.stem] = max(1, path.read_text(encoding="utf-8").count("\n") - 1)
    return out


def _last(benchmark: Path) -> tuple[float, float]:
    """Seconds and MB of the last job in a benchmark file."""
    try:
        rows = read_named(benchmark.read_text(encoding="utf-8"))
        return float(rows[-1]["s"]), _number(rows[-1]["max_rss"])
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(
            "cannot read a benchmark", where=str(benchmark), got=str(error), do="delete the file; others tell as much"
        ) from error


def _number(text: str) -> float:
    """A figure of a benchmark file; 0 for ``-`` and ``NA``, which a job of a moment has."""
    try:
        return float(text)
    except ValueError:
        return 0.0
