"""Amazon Berkeley Objects: products with models, by their types, from the bucket's tree or its two tar files."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.manifest import read_rejects, shapes_from_tsv
from pipeline.settings.config import load
from pipeline.settings.datasets import Dataset
from tests.pipeline.sources.releases import CHAIR, TABLE, glb, listed, packed, prepared, served, table, write

ROOT = Path(__file__).resolve().parents[3]
MODELS = "3dmodels/metadata/3dmodels.csv.gz"


def product(item: str, model: str, kind: str) -> str:
    return json.dumps({"item_id": item, "3dmodel_id": model, "product_type": [{"value": kind}], "brand": []})


def release(folder: Path) -> Path:
    """A chair sold twice, a table, a lamp whose file was lost, and a model that nobody sells."""
    lines = {
        "0": [product("B0", "B0CHAIR", "SEATING"), product("B0CHAIR", "B0CHAIR", "CHAIR"), '{"item_id": "B9"}'],
        "f": [product("B1TABLE", "B1TABLE", "TABLE"), product("B2LAMP", "B2LAMP", "LAMP")],
    }
    paths = [[name, f"{name[1]}/{name}.glb", 1] for name in ("B0CHAIR", "B1TABLE", "B2LAMP", "B3SECRET")]
    files = {f"listings/metadata/listings_{d}.json.gz": packed("\n".join(lines.get(d, []))) for d in "0123456789abcdef"}
    files[MODELS] = packed(table(["3dmodel_id", "path", "meshes"], paths))
    files["3dmodels/original/0/B0CHAIR.glb"] = glb(CHAIR, (120, 80, 50))
    files["3dmodels/original/1/B1TABLE.glb"] = glb(TABLE, (60, 90, 140))
    return write(folder, files)


def test_only_the_chosen_types_are_fetched(tmp_path: Path) -> None:
    with served(release(tmp_path / "bucket")) as (address, asked):
        dataset = Dataset(source="abo", mirrors=(address,), categories=("Chair", "lamp"), shards=1)
        shapes = shapes_from_tsv((listed(tmp_path, dataset) / "000.tsv").read_text())
    assert [shape.key for shape in shapes] == ["chair/B0CHAIR"]
    assert sorted(path for path in asked if "original" in path) == [
        f"3dmodels/original/{name}.glb" for name in ("0/B0CHAIR", "2/B2LAMP")
    ]
    assert [(r.shape_id, r.reason) for r in read_rejects(tmp_path / "index")] == [("d/lamp/B2LAMP", "not_found")]


def test_the_two_tar_files_give_the_same_shapes(tmp_path: Path) -> None:
    release(tmp_path / "bucket")
    (tmp_path / "tars").mkdir()
    for name, top in (("abo-3dmodels.tar", "3dmodels"), ("abo-listings.tar", "listings")):
        with tarfile.open(tmp_path / "tars" / name, "w") as archive:
            archive.add(tmp_path / "bucket" / top, top)
            archive.add(tmp_path / "bucket" / MODELS, "README.md")  # both have one at the top
    lists = []
    for place in ("bucket", "tars"):
        dataset = Dataset(source="abo", mirrors=(str(tmp_path / place),), shards=1)
        lists.append((listed(tmp_path / f"of-{place}", dataset) / "000.tsv").read_text())
        reasons = {r.shape_id: r.reason for r in read_rejects(tmp_path / f"of-{place}" / "index")}
        assert reasons == {"d/lamp/B2LAMP": "not_in_mirror", "d/none/B3SECRET": "no_category"}
    assert lists[0] == lists[1]


def test_models_are_prepared_under_their_licence(tmp_path: Path) -> None:
    dataset = Dataset(source="abo", mirrors=(str(release(tmp_path / "m")),), categories=("chair", "table"), shards=1)
    rows = prepared(tmp_path, dataset)
    assert {(row.stage, row.status, row.licence) for row in rows.values()} == {("prepare", "accepted", "by")}
    assert all("Amazon.com" in row.credit for row in rows.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({MODELS: packed(table(["id", "path"], []))}, "3dmodel_id and path among them"),
        ({MODELS: b""}, "(?s)3dmodel_id and path"),
        ({"listings/metadata/listings_3.json.gz": packed('{"3dmodel_id": ')}, "(?s)listings_3.json.gz: line 1"),
        ({"listings/metadata/listings_3.json.gz": packed('["3dmodel_id"]')}, "unknown category 'stool'; .*known"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, change: dict[str, bytes], message: str) -> None:
    write(release(tmp_path / "m"), change)
    with pytest.raises(UserError, match=message):
        listed(tmp_path, Dataset(source="abo", mirrors=(str(tmp_path / "m"),), categories=("stool",)))


def test_a_folder_without_the_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"(?s)no file of Amazon Berkeley Objects.*abo-3dmodels.tar and abo-listings.tar"
    ):
        listed(tmp_path, Dataset(source="abo", mirrors=(str(tmp_path),)))


def test_the_preset_names_what_the_source_has() -> None:
    config = load(ROOT / "presets/abo.yaml")
    assert {dataset.source for dataset in config.datasets.values()} == {"abo"}
    assert config.datasets["abo"].categories == ("chair", "sofa", "table", "bed", "cabinet")
