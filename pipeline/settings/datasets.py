"""``datasets:``, where shapes come from, and the parts of it that single jobs read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from pipeline.settings.base import Strict
from pipeline.settings.sources import GENERATED, SOURCES, LicenceCode, SourceEntry

if TYPE_CHECKING:
    SourceName = str
else:
    SourceName = Literal[(GENERATED, *SOURCES)]


class Procedural(Strict):
    """The generated furniture set, written as an archive in a real set's layout."""

    layout: Literal["modelnet", "shapenet"] = "modelnet"
    """Archive layout to imitate: OFF files with Z up, or OBJ + MTL + textures with Y up."""
    shapes_per_category: int = pydantic.Field(default=64, ge=1, le=100_000)
    """Shapes generated for each category."""
    nasty: bool = True
    """Plant a few broken files of the kinds that real sets contain."""


class Dataset(Strict):
    """One data set: a source, where to get it, and how to split it."""

    source: SourceName
    """The adapter that knows the layout."""
    mirrors: tuple[str, ...] = ()
    """Addresses tried in order: https://, file:// or a folder; empty takes the official ones."""
    path: str | None = None
    """For `folder`: the folder with one sub-folder per category, or with the meshes of one."""
    categories: tuple[str, ...] | None = None
    """Categories to keep, by name; null keeps all."""
    licences: tuple[LicenceCode, ...] | None = None
    """Keep shapes under these licences only (`cc0`, `by`, ...), of a source that says one for each; null keeps all."""
    shapes_per_category: int | None = pydantic.Field(default=None, ge=1)
    """Keep at most this many shapes of each category (chosen by hash); null keeps all."""
    poses: int = pydantic.Field(default=1, ge=1, le=12)
    """Of `volumetric`: poses of each object, 30 degrees apart, that become shapes; for networks that see no picture."""
    up_axis: Literal["x", "y", "z"] | None = None
    """Which axis points up in the files; null takes the source's own convention, for `folder` that of each format."""
    yaw_deg: float = 0.0
    """Extra turn about the up axis, for folders whose objects do not face -Z."""
    shards: Annotated[int, pydantic.Field(ge=1, le=100_000)] | Literal["auto"] = "auto"
    """Work units of this data set; `auto` takes one for 128 shapes, and moves no shape when the set grows."""
    split: Literal["official", "hash", "clusters"] = "official"
    """`official`: the source's own where it has one; `hash`: by the id's hash; `clusters`: near-duplicates together."""
    val_percent: float = pydantic.Field(default=10.0, ge=0, lt=100)
    """Share of shapes for validation (of the training part, where an official split exists)."""
    test_percent: float = pydantic.Field(default=15.0, ge=0, lt=100)
    """Share of shapes for testing, where no official split exists or `split` is `hash` or `clusters`."""
    max_rejected_percent: float = pydantic.Field(default=10.0, ge=0, le=100)
    """More rejected shapes than this stop the run instead of passing silently."""
    procedural: Procedural | None = None
    """Settings of the generated set, for `source: procedural` only."""

    @property
    def layout(self) -> SourceName:
        """The adapter that reads the archives: a generated set imitates a real one."""
        if self.source != GENERATED:
            return self.source
        shapenet = self.procedural is not None and self.procedural.layout == "shapenet"
        return "shapenet_v1" if shapenet else "modelnet10"

    @property
    def entry(self) -> SourceEntry:
        """What the table of sources says of its layout."""
        return SOURCES[self.layout]

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Dataset:
        if self.source == "folder" and not self.path:
            raise ValueError("source 'folder' needs `path`, the folder with one sub-folder per category")
        if self.licences is not None and not self.entry.licensed:
            known = ", ".join(sorted(name for name, entry in SOURCES.items() if entry.licensed))
            raise ValueError(
                f"source {self.source!r} has one licence for all its shapes; `licences` chooses among those of: {known}"
            )
        if self.poses > 1 and self.source != "volumetric":
            raise ValueError(f"source {self.source!r} has one pose of each object; `poses` is for 'volumetric'")
        if self.licences == ():
            raise ValueError("`licences` allows nothing; name at least one, or leave it out")
        if "views" in self.entry.provides and (self.up_axis or self.yaw_deg):
            raise ValueError(
                f"source {self.source!r} brings pictures, which cannot be turned; remove `up_axis` and `yaw_deg`"
            )
        if self.val_percent + self.test_percent >= 100:
            raise ValueError("val_percent + test_percent leave nothing to train on; make them smaller")
        return self


class PrepareSettings(Strict):
    """What a prepared mesh depends on, and nothing else: another split or view re-makes no mesh."""

    source: SourceName
    """The adapter that finds a model's files in its archive."""
    up_axis: Literal["x", "y", "z"] | None = None
    """Which axis points up in the files; null takes the source's own convention, for `folder` that of each format."""
    yaw_deg: float = 0.0
    """Extra turn about the up axis, counter-clockwise seen from above."""
    texture_px: int = pydantic.Field(default=512, ge=16, le=8192)
    """Longest side of a stored texture in pixels."""
    max_faces: int = pydantic.Field(default=2_000_000, ge=1)
    """Larger meshes are rejected, or simplified."""
    above_max_faces: Literal["reject", "decimate"] = "reject"
    """What becomes of larger meshes; `decimate` simplifies them to `max_faces`."""

    @classmethod
    def of(
        cls, dataset: Dataset, *, texture_px: int, max_faces: int, above_max_faces: Literal["reject", "decimate"]
    ) -> PrepareSettings:
        """The part of a data set's settings that `prepare` reads."""
        return cls(
            source=dataset.layout,
            up_axis=dataset.up_axis,
            yaw_deg=dataset.yaw_deg,
            texture_px=texture_px,
            max_faces=max_faces,
            above_max_faces=above_max_faces,
        )


class ImportVoxelsSettings(Strict):
    """What imported voxels depend on."""

    source: SourceName
    """The adapter that finds them."""
    resolution: int = 32
    """Voxels a side that the run asks for; a source that brings voxels has one size only."""


class ImportViewsSettings(Strict):
    """What imported pictures depend on."""

    source: SourceName
    """The adapter that finds them."""
    size_px: int = pydantic.Field(default=64, ge=32, le=1024, multiple_of=8)
    """Side the pictures are scaled to."""
