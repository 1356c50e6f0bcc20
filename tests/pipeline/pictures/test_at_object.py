"""The square around an object is that of a loop over its pixels, and shows what Pillow makes of it."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.pictures.at_object import Window, cropped, window_around, window_of, windows_of


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.sampled_from((0.0, 0.03, 0.3, 1.0)))
def test_the_window_is_that_of_a_loop_over_the_pixels(seed: int, height: int, width: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    alpha = np.where(rng.random((3, height, width)) < share, 128, 127).astype(np.uint8)
    for one, window in zip(alpha, windows_of(alpha).tolist(), strict=True):
        pixels = [(row, column) for row in range(height) for column in range(width) if one[row, column] >= 128]
        if not pixels or len(pixels) == height * width:
            side = max(height, width)
            wanted = [-((side - width) // 2), -((side - height) // 2), side]
        else:
            ends = [(min(n), max(n) + 1) for n in zip(*pixels, strict=True)]
            side = math.ceil(23 * max(last - first for first, last in ends) / 20)
            wanted = [math.floor((first + last - side) / 2) for first, last in reversed(ends)] + [side]
            assert window_around(ends[1][0], ends[0][0], ends[1][1], ends[0][1]) == tuple(wanted)
        assert window == wanted == list(window_of(one))


def test_a_window_shows_its_part_of_the_picture_with_the_border_repeated_around_it() -> None:
    rng = np.random.default_rng(1)
    for channels in ((), (3,), (4,)):
        pixels = rng.integers(0, 256, (9, 12, *channels), np.uint8)
        padded = np.pad(pixels, ((20, 20), (20, 20), *[(0, 0)] * len(channels)), mode="edge")
        for window in (Window(2, 1, 6), Window(-3, -2, 15), Window(-13, 4, 11)):
            left, top, side = window.left + 20, window.top + 20, window.side
            cut = Image.fromarray(padded[top : top + side, left : left + side])
            wanted = np.asarray(cut.resize((8, 8), Image.Resampling.HAMMING))
            np.testing.assert_array_equal(cropped(pixels, window, 8), wanted)
        np.testing.assert_array_equal(cropped(pixels, Window(3, 2, 6), 6), pixels[2:8, 3:9])  # nothing to scale
