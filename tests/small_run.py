"""A run of every kind of file, a few kB each, written without Snakemake: for damage of all kinds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.archives.contents import ContentSums
from pipeline.atomic import write_json, write_text
from pipeline.formats.ledger import Row, to_tsv
from pipeline.formats.npz import write_stored_npz
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record, Rejection, Shape, shapes_to_tsv
from pipeline.pictures.bank import write_bank
from pipeline.seeds import generator
from pipeline.settings.training import Experiment
from pipeline.shards.index import write_index
from pipeline.state.digests import sha256_of
from pipeline.state.files import write_state
from pipeline.state.record import complete
from pipeline.workflow.heads import Head, HeadStore, digest_of
from tests.pipeline.shards.helpers import write_shard
from training.networks import checkpoint
from training.run.files import Metrics, write_config

RUN = "runs/tiny"
PRODUCTS = {  # record -> what it has the sums of
    "prepare/demo/000": ["prepared/demo/000.zip"],
    "voxelize/demo/000": ["voxels/demo/000.zip"],
    "render/demo/000": ["renders/demo/000.h5"],
    "backgrounds": ["backgrounds/bank.npz"],
    "pack/demo/000": ["shards/demo/000.h5"],
    "ledger/demo": ["ledger/demo.tsv", "ledger/demo.refused.tsv"],
    "shard_index/demo": ["shards/demo/index.json"],
    "sheet/demo": ["samples/demo/sheet.png"],
    "gallery/demo": ["samples/demo/gallery.html"],
    "audit/demo": ["audits/demo.json"],
    "train/tiny": [RUN],
    "evaluate/tiny": [f"{RUN}/results.json", f"{RUN}/samples.npz", f"{RUN}/results.md"],
    "report": ["report.html"],
}


def write_run(root: Path) -> Path:
    """The files of a finished run below `root`."""
    rng = generator(1, "small run")
    _write_data(root, rng)
    _write_training(root, rng)
    write_text(root / "report.html", "<!doctype html><p>" + "word " * 50)
    store = HeadStore(root / "made" / "heads")
    store.keep(Head("pack", "", {"shards.storage": "composite"}, {"pipeline.seeds": "0" * 12}))
    write_state(root / "made" / "plan.json", {"heads": {"pack/": "0" * 12}, "shards": {"demo": 1}, "folders": {}})
    for name, products in PRODUCTS.items():
        record = {"digest": "0" * 12, "head": "1" * 12, "sources": {"shapes": "2" * 12}, "checks": {}}
        write_json(root / "made" / f"{name}.json", complete(record | {"outputs": products}, root))
    return root


def _write_data(root: Path, rng: np.random.Generator) -> None:
    archive = root / "archives" / "demo" / "loose.txt"
    write_text(archive, "a loose file\n" * 5)
    entry = {"name": archive.name, "path": str(archive), "bytes": archive.stat().st_size, "mirror": "here"}
    files = [entry | {"sha256": sha256_of(archive)}]
    write_state(root / "archives" / "demo.json", {"dataset": "demo", "files": files})
    sums = ContentSums(root / "archives" / "demo.contents")
    sums.of(archive)
    sums.save()

    shapes = [Shape("demo", "chair", f"chair_{n}", "train", f"a.zip!{n}.off", 10, "00ff00ff") for n in range(2)]
    reject = Rejection("demo/chair/broken", "index", "truncated", "7 of 9 faces")
    lists = root / "index" / "demo"
    write_text(lists / "000.tsv", shapes_to_tsv(shapes))
    write_text(lists / "rejects.jsonl", json.dumps(dataclasses.asdict(reject), sort_keys=True) + "\n")
    write_state(lists / "categories.json", {"shapes": 2, "categories": {"chair": {"train": 2}}})
    digests = [digest_of((lists / name).read_text(encoding="utf-8")) for name in ("000.tsv", "rejects.jsonl")]
    kept = {"head": "0" * 12, "key": "1" * 12, "lists": [[digests[0], "2" * 12]], "rejects": digests[1]}
    write_state(root / "made" / "index" / "demo.json", kept)

    for stage, suffix in (("prepared", ".glb"), ("voxels", ".binvox")):
        with write_pack(root / stage / "demo" / "000.zip", suffix) as pack:
            pack.add(Record("demo/chair/chair_0", "chair", "chair_0", ""), rng.bytes(200))
            pack.reject(reject)
    write_shard(root / "renders/demo/000.h5", "renders", range(2), views=1, size_px=8)
    shard = write_shard(root / "shards/demo/000.h5", "composite", range(2), views=1, size_px=8)
    write_bank(root / "backgrounds/bank.npz", rng.integers(0, 256, (2, 8, 8, 3), np.uint8), {"names": ["a", "b"]})
    index = write_index([shard], shard.with_name("index.json"))
    rows = [Row("demo/chair/chair_0", "chair", "train", "render", "accepted")]
    rows.append(Row("demo/chair/broken", "chair", "", "index", "rejected", "truncated", "7 of 9 faces"))
    write_text(root / "ledger/demo.tsv", to_tsv(rows))
    write_text(root / "ledger/demo.refused.tsv", to_tsv(rows[1:]))
    write_state(root / "audits/demo.json", {"index_digest": index["digest"], "mean_iou": 0.9, "flagged": {}})
    (root / "samples/demo").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).save(root / "samples/demo/sheet.png")
    write_text(root / "samples/demo/gallery.html", "<!doctype html>" + "<p>chair</p>" * 20)


def _write_training(root: Path, rng: np.random.Generator) -> None:
    run = root / RUN
    run.mkdir(parents=True)
    settings = Experiment(datasets=("demo",))
    write_config(run, settings, "0" * 12, [root / "shards/demo/index.json"])
    metrics = Metrics(run, 0)
    for samples in (16, 32):
        metrics.write("loss", samples, reconstruction=float(rng.uniform()))
        metrics.timing(samples, samples_per_s=12.5)
    for samples in (16, 32):
        tensors = {
            "networks.E.weight": torch.from_numpy(rng.normal(size=(4, 5)).astype("f4")),
            "step": torch.tensor(3.0),
        }
        header = checkpoint.Header("0" * 12, settings.model_dump(mode="json"), 8, 16, ["chair"], samples, {"step": 1})
        checkpoint.write(run / "checkpoints" / f"{samples:09d}.safetensors", header, tensors)
    write_state(run / "train.json", {"name": "tiny", "identity": "0" * 12, "samples": 32})
    write_state(
        run / "results.json", {"iou": {"mean": 0.5, "low": 0.4, "high": 0.6}, "verdict": {"sentence": "IoU 0.5"}}
    )
    write_stored_npz(run / "samples.npz", occupancy=rng.integers(0, 256, (2, 4, 4, 4), np.uint8))
    write_text(run / "results.md", "| figure | value |\n|---|---|\n| IoU | 0.5 |\n")
