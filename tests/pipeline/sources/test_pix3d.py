"""Pix3D's photographs become views of their voxels: masks as alpha, cameras that fit, splits by object."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageDraw

from pipeline.conventions import MARGIN
from pipeline.errors import Reject, UserError
from pipeline.formats.binvox import read_binvox
from pipeline.formats.pack import PackReader
from pipeline.manifest import shapes_from_tsv
from pipeline.pictures.camera import look_at_origin
from pipeline.settings.datasets import Dataset
from pipeline.shards import open_shard
from pipeline.shards.agreement import view_silhouettes
from pipeline.sources.base import Archives
from pipeline.sources.pix3d import upright
from pipeline.sources.pix3d_views import PIX3D, angles_of, fitted
from tests.pipeline.sources.releases import CHAIR, TABLE, Boxes, listed, mesh_of, through, write

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
WIDTH, HEIGHT, FOCAL_MM = 160, 120, 35.0


def facing(boxes: Boxes) -> Boxes:
    """The same in Pix3D's model frame: +Y up, front at -Z, so half a turn from glTF's."""
    return [((-b[0], a[1], -b[2]), (-a[0], b[1], -a[2])) for a, b in boxes]


def mat(boxes: Boxes) -> bytes:
    """Voxels with +X as the model, +Y out of the picture (its -Z) and +Z up (its +Y), 100 on the longest side."""
    low, high = (np.array([box[n] for box in boxes]) for n in (0, 1))
    size = (high.max(axis=0) - low.min(axis=0)).max() / 100
    grid = np.zeros((128,) * 3, np.uint8)
    for a, b in zip(low, high):
        first, last = (np.rint((c - low.min(axis=0)) / size).astype(int) + 10 for c in (a, b))
        last = np.maximum(last, first + 1)
        grid[first[0] : last[0], 127 - last[2] : 127 - first[2], first[1] : last[1]] = 1
    out = io.BytesIO()
    scipy.io.savemat(out, {"voxel": grid}, do_compression=True)
    return out.getvalue()


def photograph(boxes: Boxes, rotation: np.ndarray, place: np.ndarray) -> tuple[bytes, bytes]:
    """What a camera in the origin sees that looks along +Z with +Y up; the picture and the mask."""
    picture, mask = Image.new("RGB", (WIDTH, HEIGHT), (30, 160, 60)), Image.new("L", (WIDTH, HEIGHT))
    faces = []
    for low, high in boxes:
        seen = np.where(CORNERS, high, low) @ rotation.T + place
        flat = -seen[:, :2] / seen[:, 2:] * FOCAL_MM / 32 * WIDTH + (WIDTH / 2, HEIGHT / 2)  # +X is to the left
        for shade, quad in enumerate(QUADS):
            faces.append((-seen[list(quad), 2].mean(), [tuple(flat[corner]) for corner in quad], shade))
    for _, corners, shade in sorted(faces):
        ImageDraw.Draw(picture).polygon(corners, (200 - 20 * shade, 40, 30))
        ImageDraw.Draw(mask).polygon(corners, 255)
    out = [io.BytesIO(), io.BytesIO()]
    picture.save(out[0], "PNG")
    mask.save(out[1], "PNG")
    return out[0].getvalue(), out[1].getvalue()


def turned(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """The object's turn before the camera: about its own up axis, then towards the camera."""
    a, e = np.radians([azimuth_deg, -elevation_deg])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
    return about_x @ about_y


def release(folder: Path, change: dict[str, dict[str, Any]] | None = None) -> Path:
    """Four pictures of two chairs and one of a table, unpacked; `change` alters entries by their picture."""
    objects = {"chair/one": facing(CHAIR), "chair/two": facing(CHAIR[:2] + CHAIR[6:]), "table/t": facing(TABLE)}
    entries, files = [], {}
    for name, boxes in objects.items():
        files[f"pix3d/model/{name}/model.obj"] = mesh_of(boxes).export(file_type="obj").encode()
        files[f"pix3d/model/{name}/voxel.mat"] = mat(boxes)
    views = [("chair/one", 30, 20), ("chair/one", 200, 35), ("chair/two", -60, 10), ("chair/two", 90, 25)]
    for number, (name, azimuth, elevation) in enumerate([*views, ("table/t", 10, 30)]):
        category = name.split("/")[0]
        place = np.array([0.25 - 0.1 * number, -0.4, 2.2])
        picture, mask = photograph(objects[name], turned(azimuth, elevation), place)
        img = f"img/{category}/{number:04d}.png"
        entry = {
            "img": img,
            "mask": f"mask/{category}/{number:04d}.png",
            "category": category,
            "model": f"model/{name}/model.obj",
            "voxel": f"model/{name}/voxel.mat",
            "rot_mat": turned(azimuth, elevation).tolist(),
            "trans_mat": place.tolist(),
            "focal_length": FOCAL_MM,
            "truncated": False,
            "occluded": "false",
            "slightly_occluded": False,
        }
        entries.append(entry | (change or {}).get(f"{number:04d}", {}))
        files |= {f"pix3d/{img}": picture, f"pix3d/{entry['mask']}": mask}
    files["pix3d/pix3d.json"] = json.dumps(entries).encode()
    return write(folder, files)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release through all stages."""
    folder = tmp_path_factory.mktemp("pix3d")
    dataset = Dataset(source="pix3d", mirrors=(str(release(folder / "m")),), shards=1)
    assert {row.stage for row in through(folder, dataset, size_px=96).values()} == {"render"}
    return folder


def test_voxels_are_what_their_photographs_show(made: Path) -> None:
    with open_shard(made / "r.h5") as shard:
        pack = PackReader(made / "v.zip")
        grids = {record.name: read_binvox(pack.payload(record)).grid for record in pack.records}
        for row, record in enumerate(shard.records):
            alpha = shard.array("rgba")[row][..., 3]
            seen = view_silhouettes(alpha, shard.array("K")[row], shard.array("camera_to_world")[row], 32)
            grid = grids[record.name]
            assert seen.iou(grid) > 0.75
            if record.name in ("0002", "0003"):  # the arm is on one side, the back behind
                assert seen.iou(grid) > max(seen.iou(grid[::-1]), seen.iou(grid[:, :, ::-1])) + 0.05
            assert alpha.max(axis=1).mean() / 255 > 0.5  # the picture is cut out around the object


def test_the_mask_is_the_alpha_and_nothing_of_the_room_is_left(made: Path) -> None:
    with open_shard(made / "r.h5") as shard:
        rgba = np.concatenate([shard.array("rgba")[row] for row in range(len(shard))])
    inside = rgba[rgba[..., 3] == 255]
    assert (inside[:, 0].astype(int) - inside[:, 1]).min() > -20  # red, hardly anywhere mixed with the green behind
    assert np.median(inside[:, 1]) == 40


def test_objects_are_placed_as_every_mesh_is(made: Path) -> None:
    pack = PackReader(made / "v.zip")
    grid = read_binvox(pack.payload(pack.records[0])).grid
    at = np.argwhere(grid)
    assert (at.max(axis=0) - at.min(axis=0)).max() + 1 in (31, 32)
    assert np.abs((at.max(axis=0) + at.min(axis=0)) / 2 - 15.5).max() <= 0.5
    assert np.argwhere(grid[:, 26:])[:, 2].min() > 16  # the back is behind: the front looks to -Z


def test_all_photographs_of_one_object_are_in_one_split(tmp_path: Path) -> None:
    release(tmp_path / "m")
    found = set()
    for seed in range(10):
        dataset = Dataset(source="pix3d", mirrors=(str(tmp_path / "m"),), val_percent=30, test_percent=30, shards=1)
        split = {s.name: s.split for s in shapes_from_tsv((listed(tmp_path, dataset, seed) / "000.tsv").read_text())}
        assert (split["0000"], split["0002"]) == (split["0001"], split["0003"])
        found |= set(split.values())
    assert found == {"train", "val", "test"}


def test_the_split_by_objects_is_used_and_the_one_by_pictures_refused(tmp_path: Path) -> None:
    release(tmp_path / "m")
    s2 = {"train": ["model/chair/one/model.obj"], "test": ["model/chair/two/model.obj"]}
    for part, models in s2.items():
        text = json.dumps({"annotations": [{"model": model} for model in models]})
        (tmp_path / f"m/pix3d_s2_{part}.json").write_text(text)
    dataset = Dataset(source="pix3d", mirrors=(str(tmp_path / "m"),), val_percent=0, test_percent=0, shards=1)
    split = {s.name: s.split for s in shapes_from_tsv((listed(tmp_path, dataset) / "000.tsv").read_text())}
    assert split == {"0000": "train", "0001": "train", "0002": "test", "0003": "test", "0004": "train"}
    (tmp_path / "m/pix3d_s2_test.json").write_text((tmp_path / "m/pix3d_s2_train.json").read_text())
    with pytest.raises(UserError, match="has an object on both sides"):
        listed(tmp_path, dataset)
    (tmp_path / "m/pix3d_s2_test.json").write_text("[]")
    with pytest.raises(UserError, match="cannot read a split of Pix3D"):
        listed(tmp_path, dataset)


def test_the_zip_gives_what_the_folder_gives(tmp_path: Path) -> None:
    release(tmp_path / "m")
    (tmp_path / "z").mkdir()
    with zipfile.ZipFile(tmp_path / "z/pix3d.zip", "w") as out:
        for path in sorted((tmp_path / "m/pix3d").rglob("*.*")):
            out.write(path, path.relative_to(tmp_path / "m/pix3d"))  # the official zip has no top folder
    keys = []
    for place in ("m", "z"):
        dataset = Dataset(source="pix3d", mirrors=(str(tmp_path / place),), shards=1)
        keys.append([s.key for s in shapes_from_tsv((listed(tmp_path, dataset) / "000.tsv").read_text())])
    assert keys[0] == keys[1]


def test_faults_of_the_files_are_lines_of_the_ledger(tmp_path: Path) -> None:
    at_index = {"0000": {"truncated": True}, "0001": {"mask": "mask/lost.png"}, "0002": {"voxel": 3}}
    release(tmp_path / "m", at_index | {"0003": {"rot_mat": [[1, 0], [0, 1]]}})
    dataset = Dataset(source="pix3d", mirrors=(str(tmp_path / "m"),), shards=1, max_rejected_percent=100)
    rows = through(tmp_path, dataset)
    assert {key[2:]: (row.stage, row.reason) for key, row in rows.items()} == {
        "chair/0000": ("index", "not_whole"),
        "chair/0001": ("index", "missing_file"),
        "none/entry-2": ("index", "bad_entry"),
        "chair/0003": ("render", "bad_camera"),
        "table/0004": ("render", ""),
    }
    assert "entry 2 lacks voxel" in rows["d/none/entry-2"].detail


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("mask/table/0004.png", b"no picture", "bad_picture"),
        ("mask/table/0004.png", photograph([], np.eye(3), np.ones(3))[1], "bad_mask"),
        ("img/table/0004.png", photograph([], np.eye(3), np.ones(3))[0][:-30], "cut_short"),
        ("model/table/t/voxel.mat", b"MATLAB", "malformed"),
        ("model/table/t/voxel.mat", mat(facing(CHAIR)), "voxels_disagree"),
        ("model/table/t/model.obj", b"v 0 0 0\n", "no_faces"),
    ],
)
def test_a_damaged_file_costs_its_own_photographs(tmp_path: Path, file: str, content: bytes, reason: str) -> None:
    write(release(tmp_path / "m"), {f"pix3d/{file}": content})
    dataset = Dataset(source="pix3d", mirrors=(str(tmp_path / "m"),), categories=("table",), shards=1)
    (shape,) = shapes_from_tsv((listed(tmp_path, dataset) / "000.tsv").read_text())
    with Archives.load(tmp_path / "archives/d.json") as archives, pytest.raises(Reject) as reject:
        PIX3D.views(archives, shape, 32, None)
    assert reject.value.reason == reason


@pytest.mark.parametrize(("content", "message"), [(b"[", "cannot read the list"), (b"{}", "(?s)the list of.*dict")])
def test_a_damaged_list_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    write(release(tmp_path / "m"), {"pix3d/pix3d.json": content})
    with pytest.raises(UserError, match=message):
        listed(tmp_path, Dataset(source="pix3d", mirrors=(str(tmp_path / "m"),)))


@pytest.mark.parametrize(("azimuth", "elevation", "roll"), [(0, 0, 0), (130, 25, 0), (300, -40, 12), (45, 89, -70)])
def test_angles_are_the_inverse_of_the_camera(azimuth: float, elevation: float, roll: float) -> None:
    found = angles_of(look_at_origin(azimuth, elevation, 1.7, roll))
    assert np.allclose(found, (azimuth, elevation, 1.7, roll), atol=1e-6)


def test_voxels_are_brought_to_size_without_holes() -> None:
    solid = np.zeros((128,) * 3, bool)
    solid[20:90, 30:100, 5:125] = True
    out = fitted(solid, 32)
    at = np.argwhere(out)
    assert out.sum() == np.prod(at.max(axis=0) + 1 - at.min(axis=0))  # a box stays a box
    assert at[:, 2].max() + 1 - at[:, 2].min() == round((1 - 2 * MARGIN) * 32) + 1  # 31 cells, from half to half


def test_axes_of_the_voxel_files() -> None:
    """README of Pix3D: +x leftward, +y outward, +z upward; the world has +Y up, and its front, at -Z, is outward."""
    grid = np.zeros((4, 4, 4), bool)
    grid[3, 2, 1] = True
    assert np.argwhere(upright(grid)).tolist() == [[3, 1, 1]]
