"""What the voxelizer's job takes at most, measured in a process that has done nothing else.

Not in ``__main__``: multiprocessing leaves that of a package unloaded in a process that begins anew.
"""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

from pipeline.settings.voxels import Voxels
from voxelize.shard import make_job


def peak_bytes(glb: bytes, size: int) -> int:
    """Most bytes of a fresh process that voxelizes one prepared mesh at `size`^3; 0 where the system does not tell."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (glb, size))


def _peak(glb: bytes, size: int) -> int:
    """Bytes, of this process alone (getrusage would count the parent's too)."""
    make_job(Voxels.model_validate({"resolution": size}).model_dump())(glb)
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
