"""Many rows at once: into memory by a few threads, every picture compared with its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.bank import Bank, background, composite
from pipeline.shards_read import Rows, Shard
from pipeline.shards_schema import Array, damaged


def load_rows(rows: Rows, wanted: Array, out: Array, places: Array, *, threads: int = 2) -> None:
    """Copy rows `wanted` of a dataset to ``out[places]``; checksums and inflate run without the interpreter's lock."""
    jobs = list(zip(wanted.tolist(), places.tolist(), strict=True))
    load = _load_pictures if rows.field.gzip else _load_row
    if threads <= 1 or len(jobs) < 2:
        _drain(load(rows, row, out[place]) for row, place in jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        _drain(pool.map(lambda job: load(rows, job[0], out[job[1]]), jobs))


def _drain(results: Iterable[None]) -> None:
    for _ in results:
        pass


def _load_row(rows: Rows, row: int, out: Array) -> None:
    out[...] = rows.row(row)


def _load_pictures(rows: Rows, row: int, out: Array) -> None:
    for view in range(len(out)):
        out[view] = inflate(rows, row, view)


def inflate(rows: Rows, row: int, view: int) -> Array:
    """One compressed picture, (S, S) or (S, S, C)."""
    try:
        data = zlib.decompress(rows.chunk(row, view))
    except zlib.error as error:
        raise damaged(rows.place(row, view), str(error)) from error
    if zlib.crc32(data) != rows.crc[row, view]:
        raise damaged(rows.place(row, view), "a CRC-32 that does not match")
    return np.frombuffer(data, rows.dtype).reshape(rows.shape[2:])


def load_composites(
    shard: Shard, bank: Bank | None, wanted: Array, out: Array, places: Array, *, threads: int = 2
) -> None:
    """Decode shapes of a `layers` shard and put them before the backgrounds of record, into ``out[places]``."""
    rgba, ids, crops = shard.array("rgba"), shard.array("background_id"), shard.array("background_crop")

    def load(row: int, place: int) -> None:
        for view, (number, crop) in enumerate(zip(ids[row], crops[row], strict=True)):
            behind = background(bank, int(number), crop, shard.size_px)
            out[place, view] = composite(inflate(rgba, row, view), behind, shard.compositing)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        _drain(pool.map(load, wanted.tolist(), places.tolist()))
