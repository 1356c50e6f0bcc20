"""Seeded damage to files, and a worker that says whether reading them crashed, hung or ate the memory.

``FUZZ=10000 pytest tests/pipeline/meshes -k fuzz`` tries that many of each kind, each in at most
5 seconds and 1 GB; without FUZZ there are few and no limit of time, since a busy machine is no fault of a reader.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable

import numpy as np

from pipeline.errors import Reject
from pipeline.worker import IsolatedWorker

ROUNDS = int(os.environ.get("FUZZ", "0"))
SECONDS = 5.0 if ROUNDS else 600.0
MEMORY_BYTES = 1 << 30
FATAL = ("crash", "timeout", "memory")  # reasons of the worker's own: the reader did not answer for itself


def rounds(few: int) -> int:
    """How many files to try: as many as FUZZ says, or few."""
    return ROUNDS or few


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One file made of another: bits flipped, bytes and words replaced, pieces doubled, dropped, moved or zeroed."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place, other = sorted(int(n) for n in rng.integers(0, len(out) + 1, 2))
        length = int(rng.integers(1, 64))
        way = int(rng.integers(7))
        if way == 0 and place < len(out):
            out[place] ^= 1 << int(rng.integers(8))
        elif way == 1:
            out[place : place + length] = rng.bytes(length)
        elif way == 2:
            out[place : place + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])).to_bytes(4, "little")
        elif way == 3:
            out[place:place] = out[other : other + length]
        elif way == 4:
            del out[place : place + length]
        elif way == 5:
            out[place : place + length] = bytes(length)
        elif len(out) > place + length:
            out[place : place + length] = out[other : other + length]
    return bytes(out)


def outcomes(read: Callable[[bytes], object], files: Iterable[bytes]) -> tuple[collections.Counter[str], list[bytes]]:
    """How often reading ended in which way, "read" where it went well, and the files that were fatal.

    An exception that is no Reject ends the worker, so that it counts as a crash.
    """
    counts: collections.Counter[str] = collections.Counter()
    fatal: list[bytes] = []
    with IsolatedWorker[object](lambda: read, seconds=SECONDS, memory_bytes=MEMORY_BYTES) as worker:
        for data in files:
            try:
                worker.call(data)
                counts["read"] += 1
            except Reject as reject:
                counts[reject.reason] += 1
                if reject.reason in FATAL:
                    fatal.append(data)
    return counts, fatal
