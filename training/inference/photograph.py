"""A photograph, and perhaps a mask, become the picture that an encoder sees.

A command that is given files of strangers reads them with `isolated_reader`: a decoder that crashes, hangs or fills
the memory takes a process of its own with it, and the command says which file it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import UInt8

from pipeline.conventions import Array
from pipeline.errors import Reject, UserError
from pipeline.pictures.at_object import cropped, window_of
from pipeline.pictures.decode import decode_picture
from pipeline.pictures.mask import border_coverage, cover_of_alpha, coverage, decode_mask
from pipeline.pictures.square import square_picture
from pipeline.progress import say
from pipeline.worker import IsolatedWorker

T = TypeVar("T")
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
GREY = 127  # behind a masked object: 0 in the network's range
SECONDS = 60.0  # of one photograph and its mask; the largest takes six
MEMORY_BYTES = 5 << 29  # the largest, of 2^26 pixels with alpha and a mask, takes 1.5 GB
Prepared = tuple[UInt8[Array, "S S 3"], list[str]]  # the picture, and what is to be said of it


class ReadPhoto(Protocol):
    """`read_photo`, here or in a process of its own."""

    def __call__(
        self, path: Path, size_px: int, *, crop: Box | None = None, mask: Path | None = None, at_object: bool = False
    ) -> UInt8[Array, "S S 3"]: ...


@contextlib.contextmanager
def isolated_reader() -> Iterator[ReadPhoto]:
    """`read_photo` in a process of its own, which starts now: before torch has threads."""
    with IsolatedWorker[Prepared](lambda: _prepared, seconds=SECONDS, memory_bytes=MEMORY_BYTES) as worker:

        def read(
            path: Path, size_px: int, *, crop: Box | None = None, mask: Path | None = None, at_object: bool = False
        ) -> UInt8[Array, "S S 3"]:
            try:
                return _told(worker.call(path, size_px, crop, mask, at_object))
            except Reject as reject:
                raise UserError(
                    "cannot read this picture",
                    where=str(path),
                    got=reject.detail,
                    do="save it again with another program, as a JPEG or PNG of usual size",
                ) from reject

        yield read


def read_photo(
    path: Path, size_px: int, *, crop: Box | None = None, mask: Path | None = None, at_object: bool = False
) -> UInt8[Array, "{size_px} {size_px} 3"]:
    """(S, S, 3) a photograph as the encoder wants it: upright, masked onto grey, cropped, square, scaled.

    crop : left, top, right, bottom in pixels of the upright photograph; None takes the whole.
    mask : picture of the same size, bright where the object is (pipeline/pictures/mask.py); a photograph's
        own alpha serves as well.  How much of the picture is covered is said.
    at_object : crop at the object, as the pictures of a network with `crop: alpha` are; without a mask or
        transparency what is there is taken as it is, and that is said.
    """
    return _told(_prepared(path, size_px, crop, mask, at_object))


def _told(prepared: Prepared) -> UInt8[Array, "S S 3"]:
    picture, remarks = prepared
    for remark in remarks:
        say(remark)
    return picture


def _prepared(path: Path, size_px: int, crop: Box | None, mask: Path | None, at_object: bool) -> Prepared:
    photo = _read(path, decode_picture)
    remarks = [f"{path}: {note}" for note in photo.notes]
    cover = cover_of_alpha(photo.rgba[..., 3])
    if mask is not None:
        cover = np.minimum(cover, _mask_of_size(mask, cover.shape))
    if (cover < 255).any():
        doubt = (
            "; most of its border is, so make sure that the mask is not inverted"
            if border_coverage(cover) > 0.5
            else ""
        )
        remarks.append(f"{mask or path}: {coverage(cover):.1%} of the picture is covered{doubt}; the rest becomes grey")
    left, top, right, bottom = crop or (0, 0, cover.shape[1], cover.shape[0])
    if not (0 <= left < right <= cover.shape[1] and 0 <= top < bottom <= cover.shape[0]):
        raise UserError(
            "the crop does not lie in the photograph",
            where=str(path),
            got=str(crop),
            wanted=f"0 <= left < right <= {cover.shape[1]}, 0 <= top < bottom <= {cover.shape[0]}",
        )
    share = cover[top:bottom, left:right, None].astype(np.uint16)
    if not share.any():
        raise UserError(
            "nothing of the photograph is left",
            where=str(path),
            got=f"{mask} covers nothing of it" if mask else "it is transparent",
            do="look at the mask and at the crop" if mask else "give a picture with an opaque object",
        )
    flat = ((photo.pixels[top:bottom, left:right, :3] * share + GREY * (255 - share) + 127) // 255).astype(np.uint8)
    if at_object and (cover < 255).any():
        return cropped(flat, window_of(cover[top:bottom, left:right]), size_px), remarks
    if at_object:
        remarks.append(
            f"{path}: this network knows pictures cropped at the object, and nothing says where it is; "
            + ("--crop" if crop else "the whole picture")
            + " is taken: give a mask, or a crop 1.15 times as wide as the object"
        )
    return square_picture(flat, size_px), remarks


def _read(path: Path, decode: Callable[[bytes], T]) -> T:
    """What `decode` makes of a file; a UserError that names the file where it is refused."""
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise UserError("cannot read this picture", where=str(path), got=error.strerror or str(error)) from error
    except Reject as reject:
        if reject.reason == "bad_mask":
            what, wanted = "cannot use this mask", "a picture that is bright where the object is and dark elsewhere"
        else:
            what, wanted = "cannot read this picture", "a JPEG, PNG or other common picture"
        raise UserError(what, where=str(path), got=reject.detail, wanted=wanted) from reject


def _mask_of_size(path: Path, size: tuple[int, ...]) -> UInt8[Array, "H W"]:
    cover = _read(path, decode_mask)
    if cover.shape != size:
        raise UserError(
            "the mask has another size than the photograph",
            where=str(path),
            got=f"{cover.shape[1]} x {cover.shape[0]}",
            wanted=f"{size[1]} x {size[0]}, as the photograph has when it is shown upright",
        )
    return cover
