"""ShapeNet v1 as the Hub has it: one zip of the zips of all categories."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.manifest import shapes_from_tsv
from pipeline.settings.datasets import Dataset
from pipeline.stages.fetch import located
from tests.pipeline.sources.releases import listed, served, write

WHOLE = "ShapeNetCore.v1.zip"


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def release(folder: Path) -> Path:
    """Chairs and tables, each in its zip, in one zip."""
    one = {synset: zipped({f"{synset}/a{synset}/model.obj": b"v 0 0 0\n"}) for synset in ("03001627", "04379243")}
    return write(folder, {WHOLE: zipped({f"ShapeNetCore.v1/{synset}.zip": data for synset, data in one.items()})})


def keys(folder: Path, mirror: str) -> list[str]:
    dataset = Dataset(source="shapenet_v1", mirrors=(mirror,), categories=("chair",), shards=1)
    lists = [shape.key for shape in shapes_from_tsv((listed(folder, dataset) / "000.tsv").read_text())]
    found = located("d", dataset, folder / "archives/d.json", sums=ContentSums())
    assert found is not None and found[1]  # nothing has to be fetched again
    return lists


def test_a_category_is_taken_out_of_the_zip_of_all(tmp_path: Path) -> None:
    assert keys(tmp_path / "a", str(release(tmp_path / "m"))) == ["chair/a03001627"]
    with served(tmp_path / "m") as (address, asked):
        assert keys(tmp_path / "b", address) == ["chair/a03001627"]
    assert WHOLE in asked
    assert [path.name for path in (tmp_path / "a/archives/d").iterdir()] == ["03001627.zip"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({"ShapeNetCore.v1/04379243.zip": b""}), "holds no 03001627.zip"),
        (zipped({"a/03001627.zip": b"", "b/03001627.zip": b""}), "holds 2 03001627.zip"),
        (b"PK no zip", "cannot take a file out of an archive"),
        (zipped({"a/03001627.zip": b"no zip"}), "a file in a mirror is damaged"),
    ],
)
def test_what_is_wrong_with_it_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        keys(tmp_path, str(write(tmp_path / "m", {WHOLE: content})))
