"""The benchmark's own parts: it must not write nonsense into the page it maintains."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmarks.voxelizer import DOC, meshes, nasty, sphere, write_tables
from benchmarks.voxelizer_peers import PEERS
from tests.voxelize.solids import iou


def test_tables_are_replaced_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n<!-- parity -->\nkept\n<!-- /parity -->\n")
    for table in ("| 1 |", r"| \1 \g<2> |"):
        write_tables(page, {"speed": table})
        assert page.read_text() == (
            f"a\n<!-- speed -->\n{table}\n<!-- /speed -->\nb\n<!-- parity -->\nkept\n<!-- /parity -->\n"
        )


def test_the_page_has_a_place_for_every_table_and_all_are_filled() -> None:
    text = DOC.read_text(encoding="utf-8")
    for name in ("demo", "parity", "correctness", "speed", "files", "memory"):
        found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, flags=re.S)
        assert found and found[1].count("|") > 6, name


def test_meshes_are_closed_and_fill_the_unit_box() -> None:
    for vertices, faces in meshes().values():
        assert np.abs(vertices).max() <= 0.5
        assert faces.max() < len(vertices)
    mesh, truth = nasty()["closed and clean"]
    for peer in PEERS:
        if peer.ours and peer.kind != "surface":
            assert iou(peer.run(*mesh, 32), truth) > 0.995
    assert abs(len(sphere(45_000)[1]) - 45_000) < 1_000
