"""Many rows at once: into memory by a few threads, every picture compared with its checksum."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.pictures.bank import Bank, background, composite, open_bank
from pipeline.shards.read import Rows, Shard
from pipeline.shards.schema import damaged


def load_rows(rows: Rows, wanted: Array, out: Array, places: Array, *, threads: int = 2) -> None:
    """Copy rows `wanted` of a dataset to ``out[places]``; checksums and inflate run without the interpreter's lock."""
    if not rows.field.per_view:
        out[places] = rows.whole()[wanted]
        return

    def load(row: int, place: int) -> None:
        out[place] = rows.row(row)

    _run(load, wanted, places, threads)


def load_composites(
    shard: Shard,
    bank: Bank | None,
    wanted: Array,
    out: Array,
    places: Array,
    alpha: Array | None = None,
    *,
    threads: int = 2,
) -> None:
    """Decode shapes of a `layers` shard and put them before the backgrounds of record, into ``out[places]``.

    Where `alpha` (N, V, S, S) is given, ``alpha[places]`` gets theirs.
    """
    rgba, ids, crops = shard.array("rgba"), shard.array("background_id"), shard.array("background_crop")

    def load(row: int, place: int) -> None:
        for view, (number, crop) in enumerate(zip(ids[row], crops[row], strict=True)):
            behind = background(bank, int(number), crop, shard.size_px)
            foreground = rgba.view(row, view)
            out[place, view] = composite(foreground, behind, shard.compositing)
            if alpha is not None:
                alpha[place, view] = foreground[..., 3]

    _run(load, wanted, places, threads)


def bank_mark(bank: Bank) -> str:
    """Short name of a bank's content, from its size, its notes and three of its pictures."""
    digest = hashlib.sha256(json.dumps([bank.crops.shape, bank.info], sort_keys=True).encode())
    for number in {0, len(bank) // 2, len(bank) - 1} if len(bank) else ():
        digest.update(np.ascontiguousarray(bank.crops[number]).data)
    return digest.hexdigest()[:16]


def open_bank_of(path: Path, shards: list[Shard]) -> Bank:
    """The bank that `shards` in layers were made with: every byte compared with its checksum, and not another bank."""
    bank = open_bank(path)
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise damaged(f"{path}: {broken}", "a CRC-32 that does not match")
    for shard in shards:
        wanted = shard.attributes.get("bank")
        if wanted is not None and wanted != bank_mark(bank):
            raise UserError(
                "a background bank is not the one that the shards were made with",
                where=str(path),
                got=bank_mark(bank),
                wanted=f"{wanted} as in {shard.path}",
                do="delete the shards and run the same command again",
            )
    return bank


def _run(load: Callable[[int, int], None], wanted: Array, places: Array, threads: int) -> None:
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(load, wanted.tolist(), places.tolist()):
            pass  # taking the results raises the first error
