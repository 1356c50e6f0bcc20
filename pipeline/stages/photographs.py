"""Photographs with the voxels of what they show: sets to judge a network on, never to train on.

    python -m pipeline photographs --settings JSON -o photographs/ikea.npz

pipeline/formats/photographs.py says what the file holds.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.conventions import Grid
from pipeline.errors import Reject, UserError
from pipeline.formats.photographs import Photographs, write_photographs
from pipeline.manifest import Rejection
from pipeline.pictures.decode import decode_picture
from pipeline.pictures.square import square_picture
from pipeline.progress import Log, progress, say
from pipeline.settings.parse import parse
from pipeline.settings.photographs import PhotographSettings
from pipeline.sources.ikea import ikea_photographs
from pipeline.sources.photograph import Photograph
from pipeline.sources.pix3d import pix3d_photographs
from pipeline.worker import IsolatedWorker

SECONDS = 60.0  # of one picture and its voxels; a second is much
MEMORY_BYTES = 1 << 30
_READERS = {"ikea": ikea_photographs, "pix3d": pix3d_photographs}


def build(settings: PhotographSettings, output: Path, *, log: Log) -> None:
    """Crop every photograph, pair it with its voxels, publish one file."""
    folder = Path(settings.path)
    if not folder.is_dir():
        raise UserError("there is no such folder", where="path", got=str(folder), do="give the unpacked data set")
    found = sorted(_READERS[settings.source](folder), key=lambda photograph: photograph.picture)
    images: list[npt.NDArray[np.uint8]] = []
    grids: list[Grid] = []
    used: list[Photograph] = []
    rejects: list[Rejection] = []
    # A file that crashes a decoder or fills the memory costs its own picture and nothing else.
    worker: IsolatedWorker[tuple[npt.NDArray[np.uint8], Grid]] = IsolatedWorker(
        functools.partial(_make_job, found, settings.size_px), seconds=SECONDS, memory_bytes=MEMORY_BYTES
    )
    with worker:
        for number, photograph in enumerate(progress(found, settings.source, unit="picture", log=log)):
            try:
                image, grid = worker.call(number)
            except Reject as reject:
                name = f"{settings.source}/{photograph.category}/{photograph.picture}"
                rejects.append(Rejection(name, "photograph", reject.reason, reject.detail))
                continue
            images.append(image)
            grids.append(grid)
            used.append(photograph)
    if not used:
        raise UserError(
            "no photograph can be used", where=str(folder), got=str(rejects[:1]), do="check the layout of the folder"
        )
    photographs = Photographs(
        np.stack(images),
        np.stack(grids),
        [photograph.category for photograph in used],
        [photograph.object for photograph in used],
        [photograph.picture for photograph in used],
        rejects,
    )
    write_photographs(output, photographs)
    log.write("photographs", source=settings.source, pictures=len(used), rejected=len(rejects))
    say(
        f"photographs: {settings.source}: {len(used)} pictures of {len({p.object for p in used})} models, "
        f"{len(rejects)} rejected"
    )


def _make_job(found: Sequence[Photograph], size_px: int) -> Callable[[int], tuple[npt.NDArray[np.uint8], Grid]]:
    return lambda number: (crop(found[number], size_px), found[number].voxels())


def crop(photograph: Photograph, size_px: int) -> npt.NDArray[np.uint8]:
    """(S, S, 3): the box of the object, made square by repeating the border, scaled."""
    data = photograph.read()
    rgb = decode_picture(data).on_white
    if photograph.size not in (None, (rgb.shape[1], rgb.shape[0])):
        rgb = decode_picture(data, upright=False).on_white  # the box was drawn without a look at the EXIF
    left, top, right, bottom = photograph.box or (0, 0, rgb.shape[1], rgb.shape[0])
    rgb = rgb[max(top, 0) : bottom, max(left, 0) : right]
    if min(rgb.shape[:2]) < 1:
        raise Reject("bad_box", f"{photograph.picture}: the box {photograph.box} holds nothing")
    return square_picture(rgb, size_px)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    del parser  # nothing else


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    build(parse(PhotographSettings, given.settings, "--settings"), given.output, log=log)
