"""The table of sources: the one place to add a data set to.

A source is an entry here and an adapter in ``pipeline/sources/``; what it provides decides which rules make the
rest.  The table holds names only, so that the plan, which every job reads, loads no adapter.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal["mesh", "voxels", "views"]
# Licences of single shapes.  Those with "by", and cc0, are of Creative Commons, without their version:
# https://creativecommons.org/share-your-work/cclicenses/
LicenceCode = Literal[
    "cc0",
    "public-domain",
    "by",
    "by-sa",
    "by-nd",
    "by-nc",
    "by-nc-sa",
    "by-nc-nd",
    "gpl",
    "lgpl",
    "bsd",
    "other",
    "unknown",
]


@dataclasses.dataclass(frozen=True)
class SourceEntry:
    """One source of shapes."""

    adapter: str  # module below pipeline/sources/ and the name in it, "modelnet:MODELNET10"
    provides: frozenset[Kind]  # what its files hold of each shape; what is missing is made
    shapes: int = 0  # official number, from which the number of shards follows before anything is fetched
    categories: int = 1  # official number
    resolution: int | None = None  # voxels a side of what it publishes
    licensed: bool = False  # whether it says a licence of each shape

    @property
    def prepared(self) -> bool:
        """Whether something has to be made from a mesh; where only voxels are published, that is their surface."""
        return not self.provides >= {"voxels", "views"}


def _entry(
    adapter: str,
    *provides: Kind,
    shapes: int = 0,
    categories: int = 1,
    resolution: int | None = None,
    licensed: bool = False,
) -> SourceEntry:
    return SourceEntry(adapter, frozenset(provides), shapes, categories, resolution, licensed)


SOURCES: dict[str, SourceEntry] = {
    "modelnet10": _entry("modelnet:MODELNET10", "mesh", shapes=4_899, categories=10),
    "modelnet40": _entry("modelnet:MODELNET40", "mesh", shapes=12_311, categories=40),
    "shapenet_v1": _entry("shapenet:SHAPENET_V1", "mesh", shapes=51_300, categories=55),
    "shapenet_v2": _entry("shapenet:SHAPENET_V2", "mesh", shapes=51_300, categories=55),
    "volumetric": _entry("volumetric:VOLUMETRIC", "voxels", shapes=12_311, categories=40, resolution=32),
    "r2n2": _entry("r2n2:R2N2_RELEASE", "voxels", "views", shapes=43_783, categories=13, resolution=32),
    "mvcnn": _entry("mvcnn:MVCNN", "mesh", "views", shapes=3_983, categories=40),
    "objaverse": _entry("objects.objaverse:OBJAVERSE", "mesh", shapes=46_000, categories=1_156, licensed=True),
    # Of some dozens of product types a few hold most models: a guess that gives shards of a hundred or two.
    "abo": _entry("objects.abo:ABO", "mesh", shapes=7_953, categories=12),
    "future3d": _entry("future3d:FUTURE3D", "mesh", shapes=16_563, categories=8),
    "thingi10k": _entry("objects.thingi10k:THINGI10K", "mesh", shapes=10_000, licensed=True),
    "pix3d": _entry("pix3d_views:PIX3D", "voxels", "views", shapes=10_069, categories=9, resolution=32),
    "folder": _entry("folder:FOLDER", "mesh"),
}
# A generated set imitates the layout of one of the others.
GENERATED = "procedural"
