"""The SHA-256 of a shard as the record of its job says it, so that a finished data set is not read once more.

The job that packs a shard records its bytes and sums (``<output>/made/pack/<data set>/<shard>.json``); to list four
thousand shards of which one is new is then a matter of seconds.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from pipeline.state.files import read_state


def recorded_sum(records: Path | None, shard: Path) -> str | None:
    """The SHA-256 that the record of a shard names; None where there is no record, or the shard has another size.

    records : the folder of the records of a data set's shards.
    """
    if records is None:
        return None
    try:
        outputs = read_state(records / f"{shard.stem}.json")["outputs"]
        made = next(made for name, made in outputs.items() if Path(name).name == shard.name)
        return str(made["sha256"]) if made["bytes"] == shard.stat().st_size else None
    except (OSError, UserError, KeyError, TypeError, AttributeError, StopIteration):
        return None
