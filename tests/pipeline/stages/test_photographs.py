"""Photographs meet the voxels of what they show, upright, and what is lost is said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.formats.photographs import load_photographs
from pipeline.progress import Log
from pipeline.settings.photographs import PhotographSettings
from pipeline.stages.photographs import build

NO_LOG = Log(None)


def picture(width: int = 60, height: int = 30) -> bytes:
    """Green, with a red box in its right half."""
    rgb = np.full((height, width, 3), (0, 200, 0), dtype=np.uint8)
    rgb[:, width // 2 :] = (200, 0, 0)
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "PNG")
    return out.getvalue()


def mat(key: str, grid: np.ndarray) -> bytes:
    out = io.BytesIO()
    scipy.io.savemat(out, {key: grid})
    return out.getvalue()


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def ikea(folder: Path) -> Path:
    grid = np.zeros((20, 20, 20), dtype=np.uint8)
    grid[:, 8:12, 5:9] = 1  # a pillar along the first axis, which is up
    grid[16:, 3:8, 5:9] = 1  # its arm at the top, towards low y
    return tree(
        folder,
        {
            "Lists/Images.txt": b"b.jpg\na.jpg\nlost.jpg\n",
            "Lists/Model.txt": b"IKEA_chair_X/1\nIKEA_bed_Y/2\nIKEA_chair_X/1\n",
            "Lists/ModelID.txt": b"1\n2\n1\n",
            "Images/a.jpg": picture(),
            "Images/b.jpg": picture(30, 60),
            "Voxels/1.mat": mat("grid", grid),
            "Voxels/2.mat": mat("grid", grid),
        },
    )


def made(tmp_path: Path, source: str, folder: Path, size_px: int = 32):
    build(PhotographSettings(source=source, path=str(folder), size_px=size_px), tmp_path / "out.npz", log=NO_LOG)
    return load_photographs(tmp_path / "out.npz")


def test_ikea_pictures_are_paired_upright_and_sorted(tmp_path: Path) -> None:
    photographs = made(tmp_path, "ikea", ikea(tmp_path / "ikea"))
    assert photographs.picture == ["a.jpg", "b.jpg"]
    assert photographs.category == ["bed", "chair"]
    assert photographs.images.shape == (2, 32, 32, 3)
    grid = photographs.voxels[0]
    assert grid.sum() == 20 * 16 + 4 * 5 * 4
    assert grid.any(axis=(0, 2)).all()  # the pillar fills the height
    assert (grid[:, 16:].sum() - grid[:, :4].sum()) == 4 * 5 * 4  # the arm is at the top
    assert [(r.reason, r.shape_id) for r in photographs.rejects] == [("missing_file", "ikea/chair/lost.jpg")]


def test_crops_are_square_and_keep_their_shape(tmp_path: Path) -> None:
    image = made(tmp_path, "ikea", ikea(tmp_path / "ikea")).images[0].astype(int)
    red = image[..., 0] > image[..., 1]
    assert not red[:, :15].any()
    assert red[:, 17:].all()  # wide picture: halves stay halves, the border fills top and bottom


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    folder = ikea(tmp_path / "ikea")
    made(tmp_path, "ikea", folder)
    first = (tmp_path / "out.npz").read_bytes()
    made(tmp_path, "ikea", folder)
    assert (tmp_path / "out.npz").read_bytes() == first


def test_pix3d_takes_whole_objects_in_their_boxes(tmp_path: Path) -> None:
    grid = np.zeros((128, 128, 128), dtype=np.uint8)
    grid[40:44, 40:80, 40:44] = 1
    whole = {
        "img": "img/1.png",
        "category": "chair",
        "model": "model/a.obj",
        "voxel": "model/a.mat",
        "bbox": [30, 0, 60, 30],
        "truncated": False,
        "occluded": False,
        "slightly_occluded": False,
    }
    entries = [
        whole,
        whole | {"img": "img/2.png", "truncated": True},
        whole | {"img": "img/3.png", "occluded": True},
        whole | {"img": "../secret.png"},
        whole | {"img": "img/4.png", "bbox": [70, 0, 90, 10]},
    ]
    folder = tree(
        tmp_path / "pix3d",
        {
            "pix3d.json": json.dumps(entries).encode(),
            "img/1.png": picture(),
            "img/4.png": picture(),
            "../secret.png": picture(),
            "model/a.mat": mat("voxel", grid),
        },
    )
    photographs = made(tmp_path, "pix3d", folder)
    assert photographs.picture == ["img/1.png"]
    assert (photographs.images[0][..., 0] > 150).all()  # the box holds the red half only
    assert photographs.voxels.shape == (1, 32, 32, 32)
    assert photographs.voxels[0].sum() == 1 * 10 * 1
    assert sorted(r.reason for r in photographs.rejects) == ["bad_box", "missing_file"]


@pytest.mark.parametrize("drawn_upright", [False, True])
def test_a_box_is_cut_out_of_the_picture_in_which_it_was_drawn(tmp_path: Path, drawn_upright: bool) -> None:
    grid = np.zeros((128, 128, 128), dtype=np.uint8)
    grid[40:44, 40:80, 40:44] = 1
    upright = np.zeros((30, 60, 3), np.uint8)
    upright[:, 30:] = (200, 0, 0)
    stored = np.ascontiguousarray(np.rot90(upright))  # 30 wide, 60 high, the red half above
    tags, out = Image.Exif(), io.BytesIO()
    tags[0x0112] = 6
    Image.fromarray(stored).save(out, "PNG", exif=tags)
    entry = {"img": "a.png", "category": "chair", "model": "a.obj", "voxel": "a.mat"}
    entry |= {"bbox": [32, 2, 58, 28], "img_size": [60, 30]} if drawn_upright else {"bbox": [2, 2, 28, 28]}
    entry.setdefault("img_size", [30, 60])
    files = {"pix3d.json": json.dumps([entry]).encode(), "a.png": out.getvalue(), "a.mat": mat("voxel", grid)}
    photographs = made(tmp_path, "pix3d", tree(tmp_path / "set", files))
    assert (photographs.images[0] == (200, 0, 0)).all()


@pytest.mark.parametrize(
    ("source", "files", "message"),
    [
        ("ikea", {}, "cannot read a list of the IKEA set"),
        ("ikea", {"Lists/Images.txt": b"a\nb", "Lists/Model.txt": b"m", "Lists/ModelID.txt": b"1"}, "do not agree"),
        ("ikea", {"Lists/Images.txt": b"a", "Lists/Model.txt": b"m", "Lists/ModelID.txt": b"1"}, "no photograph"),
        ("pix3d", {}, "cannot read the list of Pix3D"),
        ("pix3d", {"pix3d.json": b"["}, "cannot read the list of Pix3D"),
        ("pix3d", {"pix3d.json": b"{}"}, "cannot read the list of Pix3D"),
        ("pix3d", {"pix3d.json": b"[3]"}, "entry of the list of Pix3D is not as the data set has it"),
        ("pix3d", {"pix3d.json": b'[{"img": "a"}]'}, r"(?s)pix3d.json: entry 0.*got: 'category'"),
        (
            "pix3d",
            {"pix3d.json": b'[{"img": "a", "category": "b", "model": "c", "voxel": "d", "bbox": [1, 2, NaN, 4]}]'},
            "NaN is no number",
        ),
    ],
)
def test_a_wrong_folder_is_named(tmp_path: Path, source: str, files: dict[str, bytes], message: str) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match=message):
        made(tmp_path, source, tree(tmp_path / "set", files))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UserError, match="cannot read a file of photographs"):
        load_photographs(tmp_path / "x.npz")


def test_the_real_ikea_sample(shared_data: Path, tmp_path: Path) -> None:
    settings = json.dumps({"source": "ikea", "path": str(shared_data / "ikea/IKEA")})
    assert main(["photographs", "--settings", settings, "-o", str(tmp_path / "ikea.npz")]) == 0
    photographs = load_photographs(tmp_path / "ikea.npz")
    assert len(photographs.picture) == 94
    assert set(photographs.category) == {"bed", "bookcase", "chair", "desk", "sofa", "table"}
    assert photographs.rejects == []
    tables = photographs.voxels[[c == "table" for c in photographs.category]]
    level = tables.mean(axis=(0, 1, 3))  # share of each height that is filled: the top is the fullest
    assert level.argmax() > 10
