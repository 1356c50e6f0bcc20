"""Voxels that a source itself publishes: they travel with the prepared mesh and are not made again."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from pipeline.conventions import Grid, pack_grid, unpack_grid
from pipeline.manifest import Record

_KEY = "given_voxels"


def attach(facts: dict[str, Any], grid: Grid) -> None:
    """Put a grid (R, R, R) in world axes into the facts of `prepare`."""
    packed = zlib.compress(pack_grid(grid).tobytes(), 9)
    facts[_KEY] = {"resolution": grid.shape[0], "bits": base64.b64encode(packed).decode()}


def take(record: Record, resolution: int) -> Grid | None:
    """The grid of a record, where its source gave one at this resolution; the bits leave the record.

    At another resolution the voxels are made from the mesh, as for every other source.
    """
    given = record.facts.get("prepare", {}).get(_KEY)
    bits = given.pop("bits", None) if given else None
    if bits is None or given["resolution"] != resolution:
        return None
    return unpack_grid(np.frombuffer(zlib.decompress(base64.b64decode(bits)), np.uint8), resolution)
