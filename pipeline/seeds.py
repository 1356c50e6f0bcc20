"""Everything random is a function of (seed, stable id, index); there is no global state."""

from __future__ import annotations

import hashlib

import numpy as np


def stable_hash(*parts: object) -> int:
    """64-bit hash of the parts' text, the same in every process and on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(seed: int, *parts: object) -> np.random.Generator:
    """A NumPy generator for one purpose, e.g. ``generator(seed, "camera", shape_id, view)``."""
    return np.random.Generator(np.random.Philox(key=[seed & (2**64 - 1), stable_hash(*parts)]))


def uniform(seed: int, *parts: object) -> float:
    """One number in [0, 1) for one purpose."""
    return stable_hash(seed, *parts) / 2**64
