"""NumPy archives that equal content makes equal, byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.atomic import atomic_path


def write_npz(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Publish arrays by name, compressed; NumPy gives every member the same date."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
