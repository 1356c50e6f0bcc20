"""Real photographs, real R2N2 renderings and real ModelNet meshes through the whole DAG, to results.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.world import World

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def test_real_samples_are_evaluated(shared_data: Path, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    values = {
        "datasets": {
            "mn": {"source": "modelnet10", "mirrors": [str(shared_data / "modelnet")]},
            "views": {"source": "r2n2", "mirrors": [str(shared_data / "r2n2")]},
        },
        "render": {"size_px": 64, "views": 3},
        "backgrounds": {"count": 8},
        "photographs": {"ikea": {"source": "ikea", "path": str(shared_data / "ikea" / "IKEA")}},
        "evaluation": {"samples": 8, "points": 128, "classify_on": ["mn"]},
        "experiments": {"r2n2": {"datasets": ["views"], "samples": 32, "width": 0.0625, "encoder_width": 0.125}},
    }
    for dataset in values["datasets"].values():
        dataset |= {"shards": 1, "max_rejected_percent": 50}
    (world.folder / "config.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    world.run("evaluate_all")
    run = world.results / "runs" / "r2n2"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    ikea = results["photographs"]["ikea"]
    assert (ikea["photographs"], ikea["objects"], ikea["voxels"]) == (94, 34, 20)
    assert set(ikea["scores"]["network"]["ap"]["classes"]) == {"bed", "bookcase", "chair", "desk", "sofa", "table"}
    for scores in ikea["scores"].values():
        assert scores["ap_aligned"]["photograph_mean"]["mean"] >= scores["ap"]["photograph_mean"]["mean"]
    # Chance is the occupancy: 0.11 on these photographs, .122 on all 937.
    assert ikea["scores"]["chance"]["ap"]["class_mean"]["mean"] == pytest.approx(0.112, abs=0.003)
    assert sum(results["shapes"].values()) >= 4 and 0 <= results["r2n2"]["category_mean"]["mean"] <= 1
    assert results["classification"]["shapes"]["test"] == 3
    assert "## Photographs: ikea" in (run / "results.md").read_text(encoding="utf-8")
    # What is measured may change without training again.
    world.edit(evaluation={"samples": 9})
    assert world.planned("evaluate_all") == {"evaluate": 1}
