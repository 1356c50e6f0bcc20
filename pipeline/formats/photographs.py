"""The file of photographs that a network is judged on, with the voxels of what they show.

An uncompressed ``.npz`` of plain NumPy arrays, rows sorted by picture; equal content gives equal bytes:

    images     (N, S, S, 3) uint8     the object's crop, centred; the missing sides repeat the border
    voxels     (N, R, R, R) bool      R = 20 (IKEA) or 32 (Pix3D), +Y up
    category, object, picture   (N,) text      category name, 3D model, file of the picture
    rejects    (M,) text              one JSON line for each picture that could not be used
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.npz import write_stored_npz
from pipeline.formats.zipped import damage_as
from pipeline.manifest import REJECTION, Rejection
from pipeline.state.files import parse_lines


@dataclasses.dataclass
class Photographs:
    """The content of one file."""

    images: UInt8[Array, "N S S 3"]
    voxels: Bool[Array, "N R R R"]
    category: list[str]
    object: list[str]
    picture: list[str]
    rejects: list[Rejection]


def write_photographs(path: Path, photographs: Photographs) -> None:
    """Publish one file."""
    lines = [json.dumps(dataclasses.asdict(reject), sort_keys=True) for reject in photographs.rejects]
    write_stored_npz(
        path,
        images=photographs.images,
        voxels=photographs.voxels,
        category=np.array(photographs.category),
        object=np.array(photographs.object),
        picture=np.array(photographs.picture),
        rejects=np.array(lines, dtype=np.str_),
    )


def load_photographs(path: str | Path) -> Photographs:
    """Read what `write_photographs` wrote; a UserError for anything else."""

    def unreadable(problem: str) -> UserError:
        what, do = "cannot read a file of photographs", "make it again with `python -m pipeline photographs`"
        return UserError(what, where=str(path), got=problem, do=do)

    with damage_as(unreadable):
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            texts = {name: [str(v) for v in file[name]] for name in ("category", "object", "picture", "rejects")}
            images, voxels = file["images"], file["voxels"]
        rejects = [Rejection(**line) for line in parse_lines("\n".join(texts.pop("rejects")), REJECTION)]
        lengths = {len(images), len(voxels), *map(len, texts.values())}
        if images.ndim != 4 or voxels.ndim != 4 or len(lengths) > 1:
            raise ValueError(f"pictures of shape {images.shape} and voxels of shape {voxels.shape}")
    return Photographs(images, voxels, **texts, rejects=rejects)
