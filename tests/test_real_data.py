"""The DAG on real files: ModelNet10 meshes on SUN photographs, through ``file://`` mirrors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.formats.pack import PackReader
from pipeline.shards import open_shard
from tests.world import World

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.campaign]


def test_modelnet_on_sun_photographs(shared_data: Path, tmp_path: Path) -> None:
    config = {
        "datasets": {
            "modelnet10": {
                "source": "modelnet10",
                "mirrors": [(shared_data / "modelnet").as_uri()],
                "shards": 1,
                "val_percent": 20,
            }
        },
        "backgrounds": {"source": "folder", "path": str(shared_data / "backgrounds" / "sun"), "count": 16},
        "render": {"size_px": 64, "views": 4},
        "experiments": {
            "chairs": {"datasets": ["modelnet10"], "samples": 160, "width": 0.0625, "encoder_width": 0.125}
        },
    }
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    world = World(tmp_path / "world", path)

    world.run("shards_all", "samples", "train_all", "results/audits/modelnet10.json")

    results = world.results
    records = [r for f in sorted((results / "voxels" / "modelnet10").glob("*.zip")) for r in PackReader(f).records]
    assert len(records) == 9, "every mesh of the sample is usable"
    assert all(0.01 < r.facts["voxelize"]["occupancy"] < 0.7 for r in records)
    splits = {}
    for file in sorted((results / "shards" / "modelnet10").glob("*.h5")):
        with open_shard(file) as shard:
            splits |= {record.name: record.split for record in shard.records}
            images, alpha = shard.array("images")[:], shard.array("alpha")[:]
            assert images.shape[1:] == (4, 64, 64, 3)
            inside = alpha.max(axis=(2, 3)) == 255
            assert inside.all(), "the object is in every view"
            assert np.ptp(images.reshape(len(shard), 4, -1), axis=2).min() > 80, "no flat picture"
    assert {splits[name] for name in ("chair_0890", "chair_0891", "chair_0893")} == {"test"}
    assert (results / "samples" / "modelnet10" / "sheet.png").stat().st_size > 20_000
    audit = json.loads((results / "audits" / "modelnet10.json").read_text(encoding="utf-8"))
    assert audit["identity_fits_best"] and audit["mean_iou"] > 0.6
    train = json.loads((results / "runs" / "chairs" / "train.json").read_text(encoding="utf-8"))
    assert train["samples"] == 160 and train["step"] == 10
