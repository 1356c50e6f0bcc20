"""No shared file system: each job runs in an empty folder, and Snakemake carries what it needs through a storage.

Once the storage is a folder that only Snakemake's plugin reaches, once an S3 server (moto's) on loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.formats.clusters import read_splits
from pipeline.manifest import shapes_from_tsv
from tests.cluster import alone
from tests.conftest import optional
from tests.world import TINY, World, lasting_digests

pytestmark = pytest.mark.cluster

MANY = 100_000  # so that what is resumed from was saved because of a signal


def configuration() -> dict[str, Any]:
    """A generated set and a folder of near-duplicates in one shard each, and a training on both."""
    tiny = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    generated = {**tiny["datasets"]["sn"], "procedural": {"layout": "shapenet", "shapes_per_category": 2}}
    mine = {"source": "folder", "path": "meshes", "shards": 1, "up_axis": "z", "val_percent": 40}
    mine["split"] = "clusters"
    tiny["datasets"] = {"sn": generated, "mine": mine}
    tiny["experiments"]["tiny"] |= {"datasets": ["sn", "mine"], "checkpoint_every": MANY}
    return dict(tiny)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run in one folder makes."""
    folder = alone.checkout(tmp_path_factory.mktemp("local") / "project", configuration())
    local = World(folder, folder / "config.yaml")
    local.run("all")
    return lasting_digests(local.results)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """What the plugin for S3 asks the environment for; a server for as long as the tests of this file run."""
    server = optional("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"ACCESS_KEY": "test", "SECRET_KEY": "test", "ENDPOINT_URL": f"http://{host}:{port}"}
    yield {f"SNAKEMAKE_STORAGE_S3_{name}": value for name, value in keys.items()}
    server.stop()


def test_a_folder_that_only_the_plugin_reaches(wanted: dict[str, str], tmp_path: Path) -> None:
    """A training that is interrupted goes on in another empty folder."""
    if shutil.which("rsync") is None:
        pytest.skip("no rsync here: apt-get install rsync")
    world = alone.Apart(tmp_path, configuration(), "fs", str(tmp_path / "store"), {})
    run = world.start("all")
    try:
        job = world.until(lambda: world.job_with("train", "metrics.jsonl", 4), run)
        os.killpg(int((job / "pid").read_text()), signal.SIGTERM)
        assert run.wait() == 0, world.said()
    finally:
        world.end(run)
    assert "tiny: going on after" in world.said()
    results = tmp_path / "store" / "results"
    assert lasting_digests(results) == wanted
    listed = shapes_from_tsv((results / "index/mine/000.tsv").read_text(encoding="utf-8"))
    alike = read_splits(results / "clusters/mine.json")
    moved = {shape.shape_id: shape.split != alike[shape.shape_id] for shape in listed if shape.shape_id in alike}
    assert sorted(moved.values()) == [False, True], "a shape takes the split of its near-duplicate"
    assert "Nothing to be done" in world.run("-n", "all")


def test_an_s3_server(wanted: dict[str, str], s3: dict[str, str], tmp_path: Path) -> None:
    world = alone.Apart(tmp_path, configuration(), "s3", "s3://bucket/runs/one", s3)
    world.run("train_all")
    bucket = (
        optional("boto3")
        .resource(
            "s3",
            endpoint_url=s3["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        .Bucket("bucket")
    )
    prefix = "runs/one/results/"
    for thing in bucket.objects.filter(Prefix=prefix):
        path = tmp_path / "found" / thing.key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(thing.key, str(path))
    found = lasting_digests(tmp_path / "found")
    assert set(wanted) - set(found) == {"runs/tiny/results.json"}, "train_all does not evaluate"
    assert found == {name: wanted[name] for name in found}
    assert "Nothing to be done" in world.run("-n", "train_all")
