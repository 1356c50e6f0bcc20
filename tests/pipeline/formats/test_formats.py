"""The examples of docs/formats.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.shards import create
from pipeline.shards.index import write_index
from pipeline.shards.schema import KINDS, TEXT_FIELDS
from tests.conftest import ROOT
from tests.pipeline.shards.helpers import aligned_arrays, l_shape, record, write_shard

TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.*?)```", TEXT, re.DOTALL))


@pytest.mark.parametrize("name", ["read", "project", "dataset", "loader"])
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards" / "demo"
    if name == "project":
        with create(
            folder / "000.h5", "composite", count=1, views=3, size_px=48, resolution=16, attributes={}
        ) as shard:
            shard.append(record(0), **aligned_arrays(0, l_shape()))
    else:
        write_index([write_shard(folder / "000.h5")], folder / "index.json")
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(compile(EXAMPLES[name], f"docs/formats.md: {name}", "exec"), found)
    shown = capsys.readouterr().out
    if name == "read":
        assert len(shown.splitlines()) == 8 and "demo/chair/chair_0000 train (3, 16, 16, 3)" in shown
        assert len(EXAMPLES[name].strip().splitlines()) <= 10
    if name == "project":
        assert shown == "100% of the voxels fall on the object\n"
    if name == "dataset":
        assert found["images"].shape == (4, 3, 16, 16) and found["voxels"].shape == (4, 1, 16, 16, 16)  # type: ignore[attr-defined]
    if name == "loader":
        assert found["inputs"]["images"].shape == (4, 2, 3, 16, 16)  # type: ignore[index]


@pytest.mark.parametrize("name", ["read", "dataset"])
def test_examples_read_names_in_every_script(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shards" / "demo"
    write_index([write_shard(folder / "000.h5", categories=("Stühle", "椅子"))], folder / "index.json")
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[name], f"docs/formats.md: {name}", "exec"), {})
    if name == "read":
        shown = capsys.readouterr().out
        assert "demo/Stühle/Stühle_0000 train" in shown and "demo/椅子/椅子_0001 train" in shown


def test_every_dataset_is_explained() -> None:
    table = TEXT[TEXT.index("### Datasets") : TEXT.index("Root attributes")]
    for name in {*TEXT_FIELDS, "placement", "reject", *(name for fields in KINDS.values() for name in fields)}:
        assert f"`{name}`" in table
