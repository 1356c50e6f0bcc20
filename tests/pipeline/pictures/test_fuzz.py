"""Seeded damage to pictures and masks of every format: read or refused, never a crash, a hang or a gigabyte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.errors import Reject
from pipeline.pictures.decode import REASONS, decode_picture
from pipeline.pictures.mask import decode_mask
from pipeline.seeds import generator
from tests.pipeline.meshes.mutations import mutated, outcomes, rounds
from tests.pipeline.pictures.samples import WIDTH, encoded, every_format, scene


def as_all_uses(data: bytes) -> None:
    """As a background, a texture and a photograph."""
    for options in ({"enough_px": 4}, {"upright": False, "longest_px": 7}, {}):
        picture = decode_picture(data, **options)  # type: ignore[arg-type]
        assert picture.rgba.shape[2] == 4 and picture.on_white.dtype == np.uint8


def damaged(few: int) -> Iterator[bytes]:
    files = sorted(every_format().items())
    for seed in range(rounds(few)):
        name, data = files[seed % len(files)]
        yield mutated(data, generator(seed, "picture", name))


def test_fuzz_of_pictures() -> None:
    counts, fatal = outcomes(as_all_uses, damaged(300))
    assert not fatal, counts
    assert counts["read"] and counts["bad_picture"] and counts["cut_short"]
    assert set(counts) <= {"read", *REASONS}


def test_fuzz_of_masks() -> None:
    inside = np.zeros((16, WIDTH), np.uint8)
    inside[4:12, 6:18] = 255
    masks = [encoded(inside, "PNG"), encoded(inside, "JPEG"), encoded(np.dstack([scene(), inside]), "PNG")]
    files = (mutated(masks[seed % 3], generator(seed, "mask")) for seed in range(rounds(100)))
    counts, fatal = outcomes(decode_mask, files)
    assert not fatal, counts
    assert set(counts) <= {"read", "bad_mask", *REASONS}


@pytest.mark.parametrize("name", sorted(every_format()))
def test_fuzz_of_cuts(name: str) -> None:
    """Every cut is refused; only behind the pixels of a TGA stands a signature that nobody misses."""
    data = every_format()[name]
    whole = decode_picture(data).pixels
    for length in range(0, len(data), 1 if rounds(0) else max(1, len(data) // 60)):
        try:
            found = decode_picture(data[:length])
        except Reject as reject:
            assert reject.reason in ("cut_short", "bad_picture"), (length, reject)
        else:
            assert name.startswith("TGA") and (found.pixels == whole).all(), f"cut to {length} of {len(data)} bytes"
