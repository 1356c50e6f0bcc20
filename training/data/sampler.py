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
from jaxtyping import Float32, Int64, UInt64

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.seeds import stable_hash

Words = UInt64[Array, " n"]

_ROUNDS = 6
_GOLDEN = 0x9E3779B97F4A7C15
_STRIDES = np.array([number * _GOLDEN % 2**64 for number in range(1, _ROUNDS + 1)], np.uint64)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))


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
            raise UserError(
                "there is nothing to sample: the split holds no shapes",
                do="choose other categories, or a data set with shapes in this split",
            )
        if self.batch % self.world or not 0 <= self.rank < self.world:
            raise UserError(
                "a batch cannot be shared evenly",
                got=f"batch {self.batch}, rank {self.rank}",
                wanted=f"a multiple of {self.world} processes",
                do="change the batch",
            )

    @property
    def share(self) -> int:
        """b, shapes of a batch on this rank."""
        return self.batch // self.world

    def places(self, step: int, steps: int = 1) -> Words:
        """(steps * b,) places in the endless line that this rank sees from `step` on."""
        starts = np.arange(step, step + steps, dtype=np.uint64) * np.uint64(self.batch)
        own = np.arange(self.rank * self.share, (self.rank + 1) * self.share, dtype=np.uint64)
        return (starts[:, None] + own).reshape(-1)

    def objects(self, step: int, steps: int = 1) -> Int64[Array, " n"]:
        """(steps * b,) shape numbers; every shape comes once in each epoch of `count` places."""
        epochs, within = np.divmod(self.places(step, steps), np.uint64(self.count))
        keys = mix(epochs ^ np.uint64(stable_hash("epoch", self.seed)))
        return permuted(within, self.count, keys).astype(np.int64)

    def views(self, step: int, available: int, wanted: int, steps: int = 1) -> Int64[Array, "n {wanted}"]:
        """(steps * b, wanted) different views of each shape; all of them, in order, where all are wanted."""
        if not 1 <= wanted <= available:
            raise UserError(
                "more views are wanted than the shards hold",
                got=str(wanted),
                wanted=f"1 to {available}",
                do="lower `views_per_shape`, or raise `render.views`",
            )
        if wanted == available:
            return np.tile(np.arange(available), (steps * self.share, 1))
        if wanted == 1:
            return (
                (self._words(step, "view", 1, steps) >> np.uint64(32)) * np.uint64(available) >> np.uint64(32)
            ).astype(np.int64)
        keys = self._words(step, "views", available, steps)
        return np.argsort(keys, axis=1)[:, :wanted]

    def uniform(self, step: int, purpose: str, numbers: int, steps: int = 1) -> Float32[Array, "n {numbers}"]:
        """(steps * b, numbers) in [0, 1), for one purpose; depends on the place, not on rank or batch."""
        words = self._words(step, purpose, numbers, steps)
        return (words >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)

    def _words(self, step: int, purpose: str, numbers: int, steps: int) -> UInt64[Array, "n {numbers}"]:
        key = np.uint64(stable_hash(purpose, self.seed))
        rows = mix(self.places(step, steps) ^ key)[:, None]
        return mix(rows + np.arange(1, numbers + 1, dtype=np.uint64) * np.uint64(_GOLDEN))


def mix(words: UInt64[Array, "*n"]) -> UInt64[Array, "*n"]:
    """Scramble 64-bit words (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    out, shifted = words.copy(), np.empty_like(words)  # in place: new memory costs more than the arithmetic
    for bits, factor in _MIX:
        out ^= np.right_shift(out, bits, out=shifted)
        out *= factor
    out ^= np.right_shift(out, np.uint64(31), out=shifted)
    return out


def permuted(places: Words, count: int, keys: UInt64[Array, "*m"] | np.uint64) -> Words:
    """Where a keyed permutation of 0 .. count - 1 sends each of `places`; keys as one or one a place."""
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    keys = np.broadcast_to(keys, places.shape)
    out = _feistel(places, half, keys)
    outside = np.flatnonzero(out >= count)
    while len(outside):  # the domain is at most 4 times `count`, and a cycle always leads back inside
        out[outside] = _feistel(out[outside], half, keys[outside])
        outside = outside[out[outside] >= count]
    return out


def _feistel(words: Words, half: int, keys: Words) -> Words:
    """A permutation of 2 * half bits."""
    bits, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = words >> bits, words & mask
    for stride in _STRIDES:
        left, right = right, left ^ (mix(right + keys + stride) & mask)
    return (left << bits) | right
