"""Where shapes come from: one adapter a data set, one table of them all."""

from __future__ import annotations

from pipeline.sources.base import Source
from pipeline.sources.folder import Folder
from pipeline.sources.modelnet import MODELNET10, MODELNET40
from pipeline.sources.mvcnn import MVCNN
from pipeline.sources.r2n2 import R2N2_RELEASE
from pipeline.sources.shapenet import SHAPENET_V1, SHAPENET_V2
from pipeline.sources.volumetric import VOLUMETRIC

SOURCES: dict[str, Source] = {
    "modelnet10": MODELNET10,
    "modelnet40": MODELNET40,
    "shapenet_v1": SHAPENET_V1,
    "shapenet_v2": SHAPENET_V2,
    "volumetric": VOLUMETRIC,
    "r2n2": R2N2_RELEASE,
    "mvcnn": MVCNN,
    "folder": Folder(),
}


def source_of(layout: str) -> Source:
    """The adapter of a `Dataset.layout`."""
    return SOURCES[layout]
