"""Photographs with the voxels of what they show: sets to judge a network on, never to train on.

    python -m pipeline photographs --settings JSON -o photographs/ikea.npz

The file holds plain NumPy arrays, rows sorted by picture:

    images     (N, S, S, 3) uint8     the object's crop, centred; the missing sides repeat the border
    voxels     (N, R, R, R) bool      R = 20 (IKEA) or 32 (Pix3D), +Y up
    category, object, picture   (N,) text      category name, 3D model, file of the picture
    rejects    (M,) text              one JSON line for each picture that could not be used
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.atomic import atomic_path
from pipeline.conventions import Grid
from pipeline.errors import Reject, UserError
from pipeline.manifest import Rejection
from pipeline.pictures.decode import decode_picture
from pipeline.pictures.square import square_picture
from pipeline.progress import Log, progress, say
from pipeline.settings.parse import parse
from pipeline.settings.photographs import PhotographSettings
from pipeline.sources.ikea import ikea_photographs
from pipeline.sources.photograph import Photograph
from pipeline.sources.pix3d import pix3d_photographs

_READERS = {"ikea": ikea_photographs, "pix3d": pix3d_photographs}


@dataclasses.dataclass
class Photographs:
    """What `load_photographs` gives; see the module docstring."""

    images: npt.NDArray[np.uint8]
    voxels: npt.NDArray[np.bool_]
    category: list[str]
    object: list[str]
    picture: list[str]
    rejects: list[Rejection]


def build(settings: PhotographSettings, output: Path, *, log: Log) -> None:
    """Crop every photograph, pair it with its voxels, publish one file."""
    folder = Path(settings.path)
    if not folder.is_dir():
        raise UserError("there is no such folder", where="path", got=str(folder), do="give the unpacked data set")
    images: list[npt.NDArray[np.uint8]] = []
    grids: list[Grid] = []
    used: list[Photograph] = []
    rejects: list[Rejection] = []
    found = sorted(_READERS[settings.source](folder), key=lambda photograph: photograph.picture)
    for photograph in progress(found, settings.source, unit="picture", log=log):
        try:
            grid = photograph.voxels()
            images.append(crop(photograph, settings.size_px))
            grids.append(grid)
            used.append(photograph)
        except Reject as reject:
            name = f"{settings.source}/{photograph.category}/{photograph.picture}"
            rejects.append(Rejection(name, "photograph", reject.reason, reject.detail))
    if not used:
        raise UserError(
            "no photograph can be used", where=str(folder), got=str(rejects[:1]), do="check the layout of the folder"
        )
    _write(
        output,
        {
            "images": np.stack(images),
            "voxels": np.stack(grids),
            "category": np.array([p.category for p in used]),
            "object": np.array([p.object for p in used]),
            "picture": np.array([p.picture for p in used]),
            "rejects": np.array([json.dumps(dataclasses.asdict(r), sort_keys=True) for r in rejects], dtype=np.str_),
        },
    )
    log.write("photographs", source=settings.source, pictures=len(used), rejected=len(rejects))
    say(
        f"photographs: {settings.source}: {len(used)} pictures of {len({p.object for p in used})} models, "
        f"{len(rejects)} rejected"
    )


def load_photographs(path: str | Path) -> Photographs:
    """Read what `build` wrote."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            texts = {name: [str(v) for v in file[name]] for name in ("category", "object", "picture", "rejects")}
            images, voxels = file["images"], file["voxels"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            "cannot read a file of photographs",
            where=str(path),
            got=str(error),
            do="make it again with `python -m pipeline photographs`",
        ) from error
    rejects = [Rejection(**json.loads(line)) for line in texts.pop("rejects")]
    return Photographs(images, voxels, **texts, rejects=rejects)


def crop(photograph: Photograph, size_px: int) -> npt.NDArray[np.uint8]:
    """(S, S, 3): the box of the object, made square by repeating the border, scaled."""
    rgb = decode_picture(photograph.read()).on_white
    left, top, right, bottom = photograph.box or (0, 0, rgb.shape[1], rgb.shape[0])
    rgb = rgb[max(top, 0) : bottom, max(left, 0) : right]
    if min(rgb.shape[:2]) < 1:
        raise Reject("bad_box", f"{photograph.picture}: the box {photograph.box} holds nothing")
    return square_picture(rgb, size_px)


def _write(output: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """An .npz with fixed times, so that the same content gives the same bytes."""
    with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, payload in _members(arrays):
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), payload)


def _members(arrays: dict[str, npt.NDArray[Any]]) -> Iterator[tuple[str, bytes]]:
    for name, array in arrays.items():
        out = io.BytesIO()
        np.save(out, array, allow_pickle=False)
        yield f"{name}.npy", out.getvalue()


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    del parser  # nothing else


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    build(parse(PhotographSettings, given.settings, "--settings"), given.output, log=log)
