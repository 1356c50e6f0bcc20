"""NumPy archives that equal content makes equal, byte by byte."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.atomic import atomic_path
from pipeline.conventions import Array
from pipeline.formats.zipped import member


def write_npz(path: Path, **arrays: Array) -> None:
    """Publish arrays by name, compressed; NumPy gives every member the same date."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def write_stored_npz(path: Path, **arrays: Array) -> None:
    """Publish arrays by name, uncompressed, so that they can be memory-mapped."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with open_member(archive, name) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Write one array of an open .npz piece by piece: for those that are larger than memory."""
    return archive.open(member(f"{name}.npy"), "w", force_zip64=True)
