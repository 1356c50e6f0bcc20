"""Import this to have the voxelizer's compiled kernels loaded: forked processes then begin with them."""

from __future__ import annotations

from tests.voxelize.solids import box
from voxelize import formats, meshes, quality  # noqa: F401  (what a worker imports)
from voxelize.engines import choose  # noqa: F401
from voxelize.engines.builtin import voxelize
from voxelize.options import Options

voxelize(*box(), Options(resolution=16))
