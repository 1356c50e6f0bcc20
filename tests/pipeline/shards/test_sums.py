"""What the job of a shard has recorded of it is not computed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.manifest import sha256_of
from pipeline.shards import index as shard_index
from tests.pipeline.shards.helpers import write_shard


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (lambda made: made, []),
        (lambda made: {"outputs": {"shards/demo/001.h5": made["outputs"]["shards/demo/000.h5"]}}, ["000.h5"]),
        (lambda made: {"outputs": {"shards/demo/000.h5": {"bytes": 1, "sha256": "0"}}}, ["000.h5"]),
        (lambda made: {"digest": "of an older time"}, ["000.h5"]),
        (lambda made: ["torn"], ["000.h5"]),
    ],
)
def test_only_what_no_record_knows_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, read: list[str]
) -> None:
    shards = [write_shard(tmp_path / "shards" / "demo" / f"{number:03d}.h5") for number in range(2)]
    wanted = shard_index.make_index(shards, shards[0].parent)
    records = tmp_path / "made" / "pack" / "demo"
    records.mkdir(parents=True)
    for shard in shards:
        outputs = {f"shards/demo/{shard.name}": {"bytes": shard.stat().st_size, "sha256": sha256_of(shard)}}
        made = {"digest": "d", "outputs": outputs}
        text = json.dumps(change(made) if shard == shards[0] else made)
        (records / f"{shard.stem}.json").write_text(text, encoding="utf-8")
    hashed: list[str] = []

    def hash_of(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(shard_index, "sha256_of", hash_of)
    assert shard_index.make_index(shards, shards[0].parent, records) == wanted
    assert hashed == read
