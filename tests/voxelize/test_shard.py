"""The stage of the DAG: one pack in, one pack out, whatever the shapes do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.formats.binvox import read_binvox
from pipeline.formats.pack import PackReader, write_pack
from pipeline.manifest import Record
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from tests.voxelize.solids import box, sphere, table
from voxelize.cli import main

pytestmark = pytest.mark.usefixtures("quick_workers")


def shard(path: Path, shapes: dict[str, bytes], facts: dict[str, Any] | None = None) -> Path:
    with write_pack(path, ".glb") as pack:
        for name, glb in shapes.items():
            pack.add(Record(f"demo/chair/{name}", "chair", name, "train", {"prepare": dict(facts or {})}), glb)
    return path


def run(prepared: Path, output: Path, **settings: Any) -> PackReader:
    assert (
        main(
            [
                "shard",
                "--settings",
                json.dumps(settings),
                "--prepared",
                str(prepared),
                "-o",
                str(output),
                "--log",
                str(output.with_suffix(".jsonl")),
            ]
        )
        == 0
    )
    return PackReader(output)


def test_a_shard_becomes_grids_records_and_rejections(tmp_path: Path) -> None:
    flat = np.array([[0.6, 0.6, 0.6], [0.7, 0.6, 0.6], [0.6, 0.7, 0.6]]), np.array([[0, 1, 2]])
    prepared = shard(
        tmp_path / "p.zip",
        {
            "good": write_glb(Mesh(*box())),
            "legs": write_glb(Mesh(*table())),
            "junk": b"not a glb",
            "outside": write_glb(Mesh(*flat)),
        },
    )
    result = run(prepared, tmp_path / "v.zip", resolution=32)
    assert [record.name for record in result.records] == ["good", "legs"]
    assert [(rejection.shape_id, rejection.stage, rejection.reason) for rejection in result.rejects] == [
        ("demo/chair/junk", "voxelize", "bad_glb"),
        ("demo/chair/outside", "voxelize", "empty_grid"),
    ]

    content = read_binvox(result.payload(result.records[0]))
    assert (content.translate, content.scale) == ((-0.5, -0.5, -0.5), 1.0)
    # The fixed frame: |x| <= 0.4 of a unit box is voxels 3 ... 28 of 32, never refitted.
    assert np.argwhere(content.grid).min(axis=0).tolist() == [3, 6, 10]
    assert np.argwhere(content.grid).max(axis=0).tolist() == [28, 25, 21]

    facts = result.records[1].facts
    assert "prepare" in facts
    legs = facts["voxelize"]
    assert (legs["engine"], legs["mode"], legs["resolution"], legs["faces"]) == ("builtin", "robust", 32, 60)
    assert (legs["thin_recall"], legs["parts"], legs["surface_parts"], legs["watertight"]) == (1.0, 1, 1, True)
    assert legs["occupied"] == read_binvox(result.payload(result.records[1])).grid.sum()

    events = [json.loads(line)["event"] for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert events.count("shape") == 2 and events.count("rejected") == 2 and events[-1] == "done"

    again = run(prepared, tmp_path / "again.zip", resolution=32)
    assert again.path.read_bytes() == result.path.read_bytes()


def test_an_empty_shard_is_fine(tmp_path: Path) -> None:
    assert run(shard(tmp_path / "p.zip", {}), tmp_path / "v.zip").records == []


def test_a_shape_over_the_time_limit_is_a_rejection(tmp_path: Path) -> None:
    prepared = shard(tmp_path / "p.zip", {"slow": write_glb(Mesh(*sphere(rings=200)))})
    result = run(prepared, tmp_path / "v.zip", resolution=128, seconds_per_shape=1e-6)
    assert [rejection.reason for rejection in result.rejects] == ["timeout"]
