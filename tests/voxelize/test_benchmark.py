"""The benchmark's own parts: it must not write nonsense into the page it maintains."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.voxelizer.__main__ import DOC, measure, nasty, speed_table, write_tables
from benchmarks.voxelizer.meshes import VARIANTS, meshes, sphere
from benchmarks.voxelizer.peers import PEERS
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
    for name in ("demo", "real", "parity", "correctness", "speed", "files", "memory"):
        found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, flags=re.S)
        assert found and found[1].count("|") > 6, name


def test_meshes_are_closed_and_fill_the_unit_box() -> None:
    for variants in meshes().values():
        assert len(variants) == VARIANTS
        for vertices, faces in variants:
            assert np.abs(vertices).max() <= 0.5
            assert faces.max() < len(vertices)
    mesh, truth = nasty()["closed and clean"]
    for peer in PEERS:
        if peer.ours and peer.kind != "surface":
            assert iou(peer.run(*mesh, 32), truth) > 0.995
    assert abs(len(sphere(45_000)[1]) - 45_000) < 1_000


def test_the_speed_table_names_the_ratios() -> None:
    ours = [peer for peer in PEERS if peer.ours]
    rival = replace(ours[0], name="rival", ours=False)
    cases = {"sphere, 5": [sphere(60), sphere(80)]}
    table = speed_table([*ours, rival], measure([*ours, rival], cases, rounds=2, limit=4.0))
    assert re.search(r"`robust` takes at most \d+\.\d times as long as the default", table)
    assert re.search(r"is \d+\.\d times as fast as the fastest peer that makes solids", table)
    assert len(re.findall(r"^\| rival \| .*x\) \|$", table, flags=re.M)) == 3
