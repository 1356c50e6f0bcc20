"""The views of one shape as encoded pictures, for exports."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image as Picture

from pipeline.conventions import Array
from pipeline.pictures.bank import Bank
from pipeline.shards.read import Shard


@dataclass(frozen=True)
class EncodedView:
    """One view as files."""

    picture: bytes  # PNG or JPEG as `suffix` says; RGBA where the shard holds renders without backgrounds
    suffix: str
    alpha: bytes | None  # PNG; None where the picture has it


def encoded_views(shard: Shard, row: int, bank: Bank | None, jpeg_quality: int | None) -> Iterator[EncodedView]:
    """The views of shape `row`, PNG or JPEG of `jpeg_quality` (1-100); `bank` is needed by shards in layers."""
    if shard.kind == "renders":  # JPEG has no alpha
        for picture in shard.array("rgba").row(row):
            yield EncodedView(encode(picture, None), "png", None)
        return
    alpha = shard.array("alpha").row(row) if "alpha" in shard else shard.array("rgba").row(row)[..., 3]
    suffix = "png" if jpeg_quality is None else "jpg"
    for picture, mask in zip(shard.images(row, bank), alpha, strict=True):
        yield EncodedView(encode(picture, jpeg_quality), suffix, encode(mask, None))


def encode(picture: Array, jpeg_quality: int | None) -> bytes:
    """(S, S), (S, S, 3) or (S, S, 4) uint8 as PNG, or as JPEG where a quality is given."""
    out = io.BytesIO()
    if jpeg_quality is None:
        Picture.fromarray(picture).save(out, "PNG")
    else:
        Picture.fromarray(picture).save(out, "JPEG", quality=jpeg_quality, subsampling=0)
    return out.getvalue()
