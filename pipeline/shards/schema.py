"""What a shard holds: one HDF5 file of 64-256 shapes with their views, voxels and cameras.

Letters: N shapes, V views of each, S pixels a side, R voxels a side, L lights.  `KINDS`
lists the arrays of each kind of shard; docs/formats.md explains them to people who read
shards with plain h5py.

Nothing in a shard is believed without a checksum.  HDF5's own metadata carries them since
format version 1.10 (`LIBVER`; the default format does not), and `crc32/<name>` holds a
CRC-32 of every row of every dataset: of every single picture where a row holds V pictures.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from zlib_ng import zlib_ng

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.manifest import Record, Rejection

FORMAT = "mesh-views-voxels shard"
MAJOR, MINOR = 1, 0  # readers refuse another major version
# Object headers, chunk indices and the superblock carry checksums in this version of the format.
LIBVER = ("v110", "v110")
GZIP_LEVEL = 4
CRC_GROUP = "crc32"
REMEDY = "delete the file and run the same command again"

# Stored as root attributes, for people who open a shard years later.
CONVENTIONS = {
    "axes": "right-handed world, +Y up, -Z front; unit box centred on the origin",
    "voxel_layout": "x,y,z C order, packed bits, most significant bit first; voxel i has its centre at (i+0.5)/R-0.5",
    "image_layout": "row,column,channel uint8 sRGB, row 0 on top; straight alpha",
    "camera": "K in pixels, pixel centres at +0.5; camera_to_world 4x4, looking along its own -Z, +Y up",
}


@dataclass(frozen=True)
class Field:
    """One dataset: `shape` of a row with the letters of the module docstring, and how it is stored."""

    shape: tuple[str | int, ...]
    dtype: str
    gzip: bool = False  # one chunk a picture, compressed; otherwise contiguous, so that it can be memory-mapped
    per_view: bool = False  # a checksum for each view instead of one for the row
    optional: bool = False


_CAMERAS = {
    "K": Field(("V", 3, 3), "<f8"),
    "camera_to_world": Field(("V", 4, 4), "<f8"),
    "azimuth_deg": Field(("V",), "<f4"),
    "elevation_deg": Field(("V",), "<f4"),
    "distance": Field(("V",), "<f4"),  # camera to origin, in unit-box sides
    "roll_deg": Field(("V",), "<f4"),
}
_VIEW_FACTS = {
    "coverage": Field(("V",), "<f4", optional=True),  # share of the picture that the object covers
    "truncation": Field(("V",), "<f4", optional=True),  # share of the object outside the picture
    # position or direction xyz, kind, rgb, energy; unused lights are 0
    "lights": Field(("V", "L", 8), "<f4", optional=True),
}
_BACKGROUNDS = {
    "background_id": Field(("V",), "<i4"),
    "background_crop": Field(("V", 5), "<f4"),  # row, column, side in bank pixels, mirror, gain
    "background_look": Field(("V", 5), "<f4", optional=True),  # blur, noise, gains of r, g, b of the bank's crop
}
_RGBA = {"rgba": Field(("V", "S", "S", 4), "|u1", gzip=True, per_view=True)}
_VOXELS = {"voxels": Field(("R^3/8",), "|u1")}

KINDS: dict[str, dict[str, Field]] = {
    "renders": {**_RGBA, **_CAMERAS, **_VIEW_FACTS},
    "composite": {
        "images": Field(("V", "S", "S", 3), "|u1", per_view=True),
        "alpha": Field(("V", "S", "S"), "|u1", gzip=True, per_view=True),
        **_VOXELS,
        **_CAMERAS,
        **_VIEW_FACTS,
        **_BACKGROUNDS,
    },
    "layers": {**_RGBA, **_VOXELS, **_CAMERAS, **_VIEW_FACTS, **_BACKGROUNDS},
}

# Arrays that the writer derives from the records, in every kind.
TEXT_FIELDS = ("object_id", "category", "split", "mesh_sha256", "record")
PLACEMENT = Field((13,), "<f8")  # scale, translation xyz, rotation row by row; not a number where unknown


@dataclass(frozen=True)
class Sizes:
    """What the letters stand for in one shard."""

    views: int
    size_px: int
    resolution: int | None = None
    lights: int = 0

    def row_shape(self, field: Field) -> tuple[int, ...]:
        """Shape of one row of `field`."""
        letters = {"V": self.views, "S": self.size_px, "L": self.lights, "R^3/8": (self.resolution or 0) ** 3 // 8}
        return tuple(letters[part] if isinstance(part, str) else part for part in field.shape)


def crc_rows(field: Field, row: Array) -> Array:
    """CRC-32 of one row: () uint32, or (V,) where the field keeps one a view."""
    if field.per_view:
        return np.array([zlib_ng.crc32(view.data) for view in np.ascontiguousarray(row)], "<u4")
    return np.array(zlib_ng.crc32(np.ascontiguousarray(row).data), "<u4")


def damaged(where: str, got: str) -> UserError:
    """The error every reader raises when stored bytes are not what was written."""
    return UserError("a shard is damaged", where=where, got=got, wanted="the bytes that were written", do=REMEDY)


def text_columns(records: list[Record]) -> dict[str, list[bytes]]:
    """The text arrays of the records, as bytes."""
    return {
        "object_id": [record.shape_id.encode() for record in records],
        "category": [record.category.encode() for record in records],
        "split": [record.split.encode() for record in records],
        "mesh_sha256": [str(record.facts.get("prepare", {}).get("mesh_sha256", "")).encode() for record in records],
        "record": [to_json(dataclasses.asdict(record)) for record in records],
    }


def placements(records: list[Record]) -> Array:
    """(N, 13) how each original mesh was moved into the unit box."""
    out = np.full((len(records), 13), np.nan)
    for row, record in enumerate(records):
        placement = record.facts.get("prepare", {}).get("placement")
        if placement:
            out[row] = [placement["scale"], *placement["translation"], *placement["rotation"]]
    return out


def to_json(value: Mapping[str, Any]) -> bytes:
    """Compact, sorted, so that equal content gives equal bytes."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def rejection_lines(rejects: list[Rejection]) -> list[bytes]:
    """One JSON line a rejection."""
    return [to_json(dataclasses.asdict(rejection)) for rejection in sorted(rejects)]


def stored_fields(kind: str, names: Iterator[str] | list[str]) -> dict[str, Field]:
    """The fields of `kind` that a shard has, in schema order."""
    present = set(names)
    return {name: field for name, field in KINDS[kind].items() if name in present}
