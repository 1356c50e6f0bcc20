"""The benchmark of the distances: its page, and that its peers compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import metrics as benchmark
from training.metrics.distances import chamfer_matrix
from training.metrics.surfaces import points_of


def test_only_what_lies_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n", encoding="utf-8")
    benchmark.write(page, "new")
    benchmark.write(page, "newer")
    assert page.read_text() == f"before\n{benchmark.BEGIN}\nnewer\n{benchmark.END}\nafter\n"
    docs = benchmark.OUT.read_text(encoding="utf-8")
    assert docs.index(benchmark.BEGIN) < docs.index(benchmark.END)


def test_the_brute_force_peer_agrees() -> None:
    clouds = points_of(benchmark.shapes(2, 1), 300, 1, "test")
    one, other = (np.ascontiguousarray(cloud.T) for cloud in clouds)
    expected = benchmark.brute_force(one, other) + benchmark.brute_force(other, one)
    assert chamfer_matrix(clouds[:1], clouds[1:], squared=True)[0, 0] == pytest.approx(expected, rel=1e-5)
