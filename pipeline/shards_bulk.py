"""Many rows at once: into memory by a few threads, every picture compared with its checksum."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipeline.bank import Bank, background, composite
from pipeline.shards_read import Rows, Shard
from pipeline.shards_schema import Array


def load_rows(rows: Rows, wanted: Array, out: Array, places: Array, *, threads: int = 2) -> None:
    """Copy rows `wanted` of a dataset to ``out[places]``; checksums and inflate run without the interpreter's lock."""

    def load(row: int, place: int) -> None:
        out[place] = rows.row(row)

    _run(load, wanted, places, threads)


def load_composites(
    shard: Shard, bank: Bank | None, wanted: Array, out: Array, places: Array, *, threads: int = 2
) -> None:
    """Decode shapes of a `layers` shard and put them before the backgrounds of record, into ``out[places]``."""
    rgba, ids, crops = shard.array("rgba"), shard.array("background_id"), shard.array("background_crop")

    def load(row: int, place: int) -> None:
        for view, (number, crop) in enumerate(zip(ids[row], crops[row], strict=True)):
            behind = background(bank, int(number), crop, shard.size_px)
            out[place, view] = composite(rgba.view(row, view), behind, shard.compositing)

    _run(load, wanted, places, threads)


def _run(load: Callable[[int, int], None], wanted: Array, places: Array, threads: int) -> None:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(load, wanted.tolist(), places.tolist()):
            pass  # taking the results raises the first error
