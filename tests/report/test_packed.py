"""Voxels for the slider: at the chosen threshold exactly the answer, elsewhere thresholds of whole levels."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from report.packed import LEVELS, SAME, STEPS, pack_levels


@given(st.lists(st.integers(0, 255), min_size=1, max_size=64), st.integers(1, 255))
def test_every_step_of_the_slider_is_a_threshold(levels: list[int], threshold: int) -> None:
    real = np.array(levels, np.uint8)
    steps = np.frombuffer(zlib.decompress(base64.b64decode(pack_levels(real, threshold))), np.uint8)
    assert ((steps >= SAME) == (real >= threshold)).all()
    for step in range(1, STEPS):
        assert ((steps >= step) == (real.astype(int) >= threshold + (step - SAME) * LEVELS)).all()
