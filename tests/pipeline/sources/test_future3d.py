"""3D-FUTURE: model folders in parts, super-categories of the table, and the official lists."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.formats.pack import PackReader
from pipeline.manifest import read_rejects, shapes_from_tsv
from pipeline.meshes.glb import read_glb
from pipeline.settings.datasets import Dataset
from tests.pipeline.sources.releases import CHAIR, TABLE, listed, mesh_of, prepared, write

KINDS = {"aa-1": "Chair", "bb-2": "Cabinet/Shelf/Desk", "cc-3": "Chair", "dd-4": "Bed"}


def texture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 40)).save(out, "PNG")
    return out.getvalue()


def obj(boxes) -> bytes:
    """With one texture coordinate for all, and the material that names the texture."""
    lines = mesh_of(boxes).export(file_type="obj").splitlines()
    corners = [line if line[:2] != "f " else "f " + " ".join(f"{n}/1" for n in line[2:].split()) for line in lines]
    return "\n".join(["mtllib model.mtl", "vt 0.5 0.5", "usemtl m", *corners]).encode()


def release(folder: Path) -> Path:
    """aa and bb in part 1, cc without a mesh in part 2, and ee that the table does not name."""
    files = {
        "3D-FUTURE-model-part1/model_info.json": json.dumps(
            [{"model_id": key, "super-category": kind, "category": "x"} for key, kind in KINDS.items()]
            + [{"model_id": 3}, 7]
        ).encode()
    }
    for part, name, boxes in ((1, "aa-1", CHAIR), (1, "bb-2", TABLE), (2, "ee-5", TABLE)):
        place = f"3D-FUTURE-model-part{part}/{name}"
        files |= {
            f"{place}/normalized_model.obj": obj(boxes),
            f"{place}/raw_model.obj": b"",
            f"{place}/image.jpg": b"x",
        }
        files |= {f"{place}/model.mtl": b"newmtl m\nmap_Kd ./texture.png\n", f"{place}/texture.png": texture()}
    files["3D-FUTURE-model-part2/cc-3/model.mtl"] = b"newmtl m\n"
    shown = {"train": ["aa-1"], "test": ["aa-1", "bb-2"]}
    for part, models in shown.items():
        annotations = [{"model_id": model} for model in models] + [{"model_id": None}]
        files[f"{part}_set.json"] = json.dumps({"annotations": annotations}).encode()
    return write(folder, files)


def test_models_come_from_all_parts_with_their_textures_and_splits(tmp_path: Path) -> None:
    dataset = Dataset(
        source="future3d", mirrors=(str(release(tmp_path / "m")),), shards=1, val_percent=0, max_rejected_percent=50
    )
    rows = prepared(tmp_path, dataset)
    assert {key[2:]: (row.split, row.reason) for key, row in rows.items()} == {
        "chair/aa-1": ("train", ""),  # shown in both parts: trained on
        "cabinet_shelf_desk/bb-2": ("test", ""),
        "chair/cc-3": ("", "missing_mesh"),
        "none/ee-5": ("", "no_category"),
    }
    pack = PackReader(tmp_path / "p.zip")
    meshes = {record.name: read_glb(pack.payload(record)) for record in pack.records}
    assert all((mesh.materials[0].texture[..., :3] == (200, 30, 40)).all() for mesh in meshes.values())
    chair = meshes["aa-1"].vertices
    assert chair[chair[:, 1] > 0.4][:, 2].min() > 0.1  # the back at -Z of the file is behind: the front looks to -Z


def test_a_zip_is_as_good_as_its_folder(tmp_path: Path) -> None:
    release(tmp_path / "m")
    (tmp_path / "z").mkdir()
    with zipfile.ZipFile(tmp_path / "z/3D-FUTURE-model.zip", "w") as out:
        for path in (tmp_path / "m/3D-FUTURE-model-part1").rglob("*.*"):
            out.write(path, Path("3D-FUTURE-model") / path.relative_to(tmp_path / "m/3D-FUTURE-model-part1"))
    dataset = Dataset(source="future3d", mirrors=(str(tmp_path / "z"),), categories=("Cabinet shelf desk",), shards=1)
    (shape,) = shapes_from_tsv((listed(tmp_path, dataset) / "000.tsv").read_text())
    assert (shape.key, shape.size) == ("cabinet_shelf_desk/bb-2", len(obj(TABLE)))
    assert read_rejects(tmp_path / "index") == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"3D-FUTURE-model/a/normalized_model.obj": b"v 0 0 0"}, "there is no table of 3D-FUTURE's models"),
        ({"3D-FUTURE-model/model_info.json": b"{}"}, "(?s)cannot read a table of 3D-FUTURE.*dict"),
        ({"3D-FUTURE-model/model_info.json": b"["}, "cannot read a table of 3D-FUTURE"),
        ({"3D-FUTURE-model/model_info.json": b"[]", "test_set.json": b"[]"}, "(?s)test_set.json.*JSON of type list"),
        ({"else.txt": b""}, "3D-FUTURE-model.zip is in none of the mirrors"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(UserError, match=message):
        listed(tmp_path, Dataset(source="future3d", mirrors=(str(write(tmp_path / "m", files)),)))


def test_a_turn_of_half_a_circle_is_no_mirror() -> None:
    from pipeline.sources.future3d import FUTURE3D

    assert np.linalg.det(FUTURE3D.to_world) == 1
