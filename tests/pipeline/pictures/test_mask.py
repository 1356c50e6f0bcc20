"""A mask is read whatever numbers it is written with, or refused with words; never silently something else."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import Reject
from pipeline.pictures.mask import coverage, decode_mask
from tests.pipeline.pictures.samples import encoded, scene
from tests.pipeline.pictures.test_decode import exif, tiff

INSIDE = np.zeros((16, 24), bool)
INSIDE[3:12, 5:20] = True
SOFT = np.asarray(Image.fromarray(INSIDE).convert("L").resize((240, 160), Image.Resampling.BICUBIC))


def two(low: Any, high: Any, dtype: Any = np.uint8) -> npt.NDArray[Any]:
    """(H, W) or (H, W, C) with one value outside the object and another inside."""
    return np.where(INSIDE.reshape(INSIDE.shape + (1,) * np.ndim(low)), high, low).astype(dtype)


def palette(*colours: tuple[int, int, int], numbers: npt.NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(numbers, "P")
    picture.putpalette([value for colour in colours for value in colour])
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([np.uint8, np.uint16]), st.data())
def test_of_two_greys_the_brighter_is_the_object(dtype: type, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, np.iinfo(dtype).max - 1))
    high = data.draw(st.integers(low + 1, np.iinfo(dtype).max))
    assert (decode_mask(encoded(two(low, high, dtype), "PNG")) == INSIDE * 255).all()


@pytest.mark.parametrize(
    "data",
    [
        encoded(INSIDE, "PNG", "1"),
        encoded(two(0, 1), "TIFF"),
        encoded(two(0, 65535, np.uint16), "TIFF"),
        tiff(two(0, 1, "<f4"), bits=32, photometric=1),
        tiff(two(0, 1, "<i4"), bits=32, photometric=1),
        encoded(two([0, 0, 0], [255, 255, 255]), "PNG"),
        encoded(two([0, 0, 0], [255, 0, 0]), "PNG"),
        encoded(two([0, 0, 0], [128, 0, 128]), "BMP"),
        encoded(two([0, 0, 0], [255, 255, 255]).repeat(20, 0).repeat(20, 1), "JPEG", quality=80),
        encoded(two([0, 0, 0], [255, 0, 0]).repeat(20, 0).repeat(20, 1), "JPEG", quality=80, subsampling=0),
        palette((0, 0, 0), (128, 0, 0), numbers=two(0, 1)),
        palette((0, 0, 0), (9, 9, 9), (255, 255, 255), numbers=two(0, 2)),
        encoded(two([0, 0, 0, 0], [0, 0, 0, 255]), "PNG"),  # black paint, all in alpha
        encoded(two([255, 255, 255, 0], [255, 255, 255, 255]), "PNG"),
        encoded(two([0, 0, 0, 255], [255, 255, 255, 255]), "PNG"),  # alpha says nothing
        encoded(two([0, 0, 0, 0], [255, 255, 255, 255]), "PNG"),  # both say the same
        encoded(two([0, 0], [0, 1]), "PNG", "LA"),
        encoded(np.dstack([scene(), two(0, 255)]), "PNG"),  # a cut-out photograph
        encoded(np.dstack([scene(), two(0, 1)]), "WEBP", lossless=True, exact=True),
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_masks_as_people_write_them(data: bytes) -> None:
    found = decode_mask(data)
    if found.shape != INSIDE.shape:  # enlarged for JPEG, whose edges are soft
        found = found[10::20, 10::20]
    assert ((found >= 128) == INSIDE).all()
    assert set(np.unique(found)) <= {*range(30), *range(226, 256)}


def test_soft_edges_stay_soft() -> None:
    assert np.abs(decode_mask(encoded(SOFT, "PNG")).astype(int) - SOFT).max() <= 1
    deep = SOFT.astype(np.uint16) * 257
    assert np.abs(decode_mask(encoded(deep, "PNG")).astype(int) - SOFT).max() <= 1
    assert abs(coverage(decode_mask(encoded(SOFT, "PNG"))) - INSIDE.mean()) < 0.01


def test_a_mask_is_turned_with_its_photograph() -> None:
    stored = np.ascontiguousarray(np.rot90(two(0, 255), 1))
    assert (decode_mask(encoded(stored, "PNG", exif=exif(6))) == INSIDE * 255).all()


LABELS = np.zeros((16, 24), np.uint8)
LABELS[3:12, 5:12], LABELS[3:12, 12:20] = 1, 2


@pytest.mark.parametrize(
    "data,words",
    [
        (encoded(two(0, 0), "PNG"), r"one value everywhere \(0 of white\), so it covers nothing"),
        (encoded(two(255, 255), "PNG"), r"one value everywhere \(1 of white\), so it covers everything"),
        (encoded(two([7, 7, 7, 255], [7, 7, 7, 255]), "PNG"), "one value everywhere"),
        (encoded(LABELS, "PNG"), r"3 values \(0, 1, 2 of 255\): labels of several objects"),
        (encoded(np.where(LABELS == 2, 255, LABELS), "PNG"), r"3 values \(0, 1, 255 of 255\): labels"),
        (palette((0, 0, 0), (128, 0, 0), (224, 224, 192), numbers=LABELS), "labels of several objects"),
        (encoded(two([0, 0, 255], [0, 255, 0]), "PNG"), "its colours do not tell which of them is the object"),
        (encoded(two(255, 0), "PNG"), "it covers 100% of the picture's border .* it looks inverted"),
        (
            encoded(two([255, 255, 255, 0], [0, 0, 0, 255]), "PNG"),
            "transparency shows one mask and its colours another",
        ),
        (encoded(np.tile(np.arange(64, 192, dtype=np.uint8), (40, 1)), "PNG"), "neither dark nor bright"),
        (encoded(SOFT.astype(np.uint16), "PNG"), "neither dark nor bright|labels"),  # 0 to 255 of 65,535
        (tiff(two(0, np.nan, "<f4"), bits=32, photometric=1), "values that are no numbers"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(Reject, match=f"bad_mask: .*{words}"):
        decode_mask(data)


def test_what_is_no_picture_is_no_mask() -> None:
    with pytest.raises(Reject, match="bad_picture: this is a web page"):
        decode_mask(b"<!DOCTYPE html>")
