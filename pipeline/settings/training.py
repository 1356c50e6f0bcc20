"""``experiments:``, one entry a training run; named presets fill what an entry leaves out."""

from __future__ import annotations

from typing import Literal

import pydantic

from pipeline.settings.base import Strict


class Experiment(Strict):
    """One training run. Owned by training/, which documents what each value does."""

    datasets: tuple[str, ...]
    """Data sets to train on, by their names above."""
    preset: Literal["demo", "paper-3dvaegan"] = "demo"
    """`demo` is balanced for 32^3; `paper-3dvaegan` keeps the paper's weights and collapses at 32^3."""
    seed: int = 1
    """Seed of initial weights, sampling and noise."""
    categories: tuple[str, ...] | None = None
    """Categories to train on; null takes all."""
