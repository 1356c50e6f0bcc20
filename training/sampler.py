"""Which shapes and views a step sees: arithmetic on (seed, step), never state.

Think of one endless line of shapes: epoch 0 in one order, epoch 1 in another, and so on.
Step t takes places t * B to t * B + B - 1 of that line, and rank r of W takes slice r of
these, so the global batch is the same for any number of processes and resuming needs only
the step number.  The order of an epoch is a keyed permutation that is computed for single
places (a Feistel network with cycle walking: Black and Rogaway, "Ciphers with Arbitrary
Finite Domains", 2002), so nothing is shuffled and nothing stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.seeds import stable_hash

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ROUNDS = 6
_GOLDEN = 0x9E3779B97F4A7C15
_STRIDES = np.array([number * _GOLDEN % 2**64 for number in range(1, _ROUNDS + 1)], np.uint64)


@dataclass(frozen=True)
class Sampler:
    """``Sampler(count=len(data), batch=128, seed=1)``; the same answer for the same step, for ever."""

    count: int  # shapes in the split
    batch: int  # shapes in a global batch, over all ranks
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError("there is nothing to sample: the split holds no shapes",
                            do="choose other categories, or a data set with shapes in this split")
        if self.batch % self.world or not 0 <= self.rank < self.world:
            raise UserError("a batch cannot be shared evenly", got=f"batch {self.batch}, rank {self.rank}",
                            wanted=f"a multiple of {self.world} processes", do="change the batch")

    def places(self, step: int) -> Words:
        """(b,) places in the endless line that this rank sees at `step`."""
        share = self.batch // self.world
        start = step * self.batch + self.rank * share
        return np.arange(start, start + share, dtype=np.uint64)

    def objects(self, step: int) -> Integers:
        """(b,) shape numbers; every shape comes once in each epoch of `count` places."""
        places = self.places(step)
        epochs, within = np.divmod(places, np.uint64(self.count))
        keys = mix(epochs ^ np.uint64(stable_hash("epoch", self.seed)))
        return permuted(within, self.count, keys).astype(np.int64)

    def views(self, step: int, available: int, wanted: int) -> Integers:
        """(b, wanted) different views of each shape; all of them, in order, where all are wanted."""
        if not 1 <= wanted <= available:
            raise UserError("more views are wanted than the shards hold", got=str(wanted), wanted=f"1 to {available}",
                            do="lower `views_per_shape`, or raise `render.views`")
        if wanted == available:
            return np.tile(np.arange(available), (len(self.places(step)), 1))
        keys = self._words(step, "views", available)
        return np.argsort(keys, axis=1, kind="stable")[:, :wanted]

    def uniform(self, step: int, purpose: str, numbers: int) -> npt.NDArray[np.float32]:
        """(b, numbers) in [0, 1), for one purpose; depends on the place, not on rank or batch."""
        return ((self._words(step, purpose, numbers) >> np.uint64(40)).astype(np.float32)) * np.float32(2**-24)

    def _words(self, step: int, purpose: str, numbers: int) -> Words:
        key = np.uint64(stable_hash(purpose, self.seed))
        rows = mix(self.places(step) ^ key)[:, None]
        return mix(rows + np.arange(1, numbers + 1, dtype=np.uint64) * np.uint64(_GOLDEN))


def mix(words: Words) -> Words:
    """Scramble 64-bit words (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def permuted(places: Words, count: int, keys: Words) -> Words:
    """Where a keyed permutation of 0 .. count - 1 sends each of `places`; keys as one or one a place."""
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    out = _feistel(places, half, keys)
    outside = out >= count
    while outside.any():  # at most 4 times the domain, so a few rounds; a cycle always leads back inside
        out = np.where(outside, _feistel(out, half, keys), out)
        outside = out >= count
    return out


def _feistel(words: Words, half: int, keys: Words) -> Words:
    """A permutation of 2 * half bits."""
    bits, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = words >> bits, words & mask
    for stride in _STRIDES:
        left, right = right, left ^ (mix(right + keys + stride) & mask)
    return (left << bits) | right
