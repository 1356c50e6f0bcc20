"""MVCNN's pictures of ModelNet40 meet the meshes they show."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.errors import UserError
from pipeline.formats.pack import PackReader
from pipeline.manifest import read_rejects
from pipeline.meshes.glb import read_glb
from pipeline.pictures.camera import project
from pipeline.progress import Log
from pipeline.settings.datasets import Dataset, ImportViewsSettings, PrepareSettings
from pipeline.shards import open_shard
from pipeline.sources.mvcnn import without_paper
from pipeline.stages.fetch import fetch_dataset
from pipeline.stages.import_views import import_views
from pipeline.stages.index import index_dataset
from pipeline.stages.ledger import collect_files, enforce_limit
from pipeline.stages.prepare import prepare_shard

NO_LOG = Log(None)
ROOT = Path(__file__).resolve().parents[3]
# A plane in ModelNet's axes (+Z up, front at -Y): a long body, a fin up at the back, one wing to +X.
BOXES = [((-1, -6, -1), (1, 6, 1)), ((-0.5, 4.5, 1), (0.5, 6, 4)), ((1, -1, -0.3), (5, 1, 0.3))]
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def off(boxes: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> bytes:
    vertices = np.concatenate([np.where(CORNERS, high, low) for low, high in boxes])
    faces = [[8 * n + corner for corner in quad] for n in range(len(boxes)) for quad in QUADS]
    lines = [f"OFF\n{len(vertices)} {len(faces)} 0"]
    lines += [" ".join(f"{value:g}" for value in row) for row in vertices]
    return "\n".join(lines + [f"4 {' '.join(map(str, face))}" for face in faces]).encode() + b"\n"


def drawing(view: int, boxes: list[tuple[tuple[float, ...], tuple[float, ...]]] = BOXES, size_px: int = 224) -> bytes:
    """What utils/render_views.m makes, written without any code of the product: a cut-out, centred on white.

    MATLAB's view(az, 30): the camera stands at (sin az, -cos az) about +Z, 60 units away here.
    """
    corners = np.concatenate([np.where(CORNERS, high, low) for low, high in boxes]).astype(float)
    azimuth, elevation = np.radians(30 * view), np.radians(30)
    back = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0])
    up = np.cross(back, right)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    seen = corners - middle - 60 * back
    flat = np.stack([seen @ right, -(seen @ up)], axis=1) / -(seen @ back)[:, None]
    low, high = flat.min(axis=0), flat.max(axis=0)
    place = (flat - (low + high) / 2) * 0.63 * size_px / (high - low).max() + size_px / 2
    picture = Image.new("RGB", (size_px, size_px), "white")
    for box in range(len(boxes)):
        for quad in QUADS:
            ImageDraw.Draw(picture).polygon([tuple(place[8 * box + corner]) for corner in quad], (150, 150, 150))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def release(folder: Path, names: tuple[str, ...] = ("airplane_0001", "airplane_0003", "airplane_0004")) -> Path:
    """0001 is whole, 0002 has no pictures, 0003 lacks one, 0004 has pictures and no mesh; test/0627 shows another."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "ModelNet40.zip", "w") as archive:
        for name in ("train/airplane_0001", "train/airplane_0002", "train/airplane_0003", "test/airplane_0627"):
            archive.writestr(f"ModelNet40/airplane/{name}.off", off(BOXES))
    with tarfile.open(folder / "modelnet40v1png.tar", "w") as archive:
        for view in range(12):
            for name in names:
                if (name, view) != ("airplane_0003", 6):
                    add(archive, f"train/{name}_{view + 1:03d}", drawing(view))
            add(archive, f"test/airplane_0627_{view + 1:03d}", drawing(view, BOXES[:1] + [((-1, -1, 1), (1, 1, 12))]))
    return folder


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(f"modelnet40v1png/airplane/{name}.png")
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release through fetch, index, prepare and import."""
    folder = tmp_path_factory.mktemp("mvcnn")
    dataset = Dataset(source="mvcnn", mirrors=(str(release(folder / "m")),), shards=1, val_percent=0)
    record = folder / "archives/d.json"
    fetch_dataset("d", dataset, record, log=NO_LOG)
    index_dataset("d", dataset, record, folder / "index", seed=1, log=NO_LOG)
    prepare_shard(PrepareSettings(source="mvcnn"), record, folder / "index/000.tsv", folder / "p.zip", log=NO_LOG)
    settings = ImportViewsSettings(source="mvcnn", size_px=128)
    import_views(settings, record, folder / "index/000.tsv", folder / "p.zip", folder / "r.h5", log=NO_LOG)
    return folder


def test_every_view_and_every_mesh_is_accounted_for(made: Path) -> None:
    rejects = {reject.shape_id: (reject.reason, reject.detail) for reject in read_rejects(made / "index")}
    assert rejects == {
        "d/airplane/airplane_0002": ("no_views", "the picture archive has no view of airplane_0002"),
        "d/airplane/airplane_0003": (
            "missing_views",
            "airplane_0003: 11 pictures, 12 are wanted; view 007 is not there",
        ),
        "d/airplane/airplane_0004": ("missing_mesh", "12 pictures and no airplane/train/airplane_0004.off"),
    }
    rows = collect_files(made / "index", [made / "p.zip", made / "r.h5"])
    assert [(row.shape_id[-4:], row.stage, row.reason) for row in rows] == [
        ("0001", "render", ""),
        ("0002", "index", "no_views"),
        ("0003", "index", "missing_views"),
        ("0004", "index", "missing_mesh"),
        ("0627", "render", "views_disagree"),
    ]


def test_meshes_outside_the_choice_are_no_loss_and_the_others_are(made: Path) -> None:
    rows = collect_files(made / "index", [made / "p.zip", made / "r.h5"])
    enforce_limit(rows, 75.0, "d")  # three of the four that have pictures
    with pytest.raises(UserError, match=r"3 of 4 \(75\.0 %\)"):
        enforce_limit(rows, 74.0, "d")


def test_the_mesh_lies_in_its_pictures(made: Path) -> None:
    pack = PackReader(made / "p.zip")
    record = next(record for record in pack.records if record.name == "airplane_0001")
    triangles = read_glb(pack.payload(record)).triangles
    weights = np.random.default_rng(1).dirichlet((1, 1, 1), 5000)
    spots = np.einsum("nk,fkd->nfd", weights, triangles).reshape(-1, 3)
    with open_shard(made / "r.h5") as shard:
        assert [r.name for r in shard.records] == ["airplane_0001"]
        alpha, K, poses = (shard.array(name)[0] for name in ("rgba", "K", "camera_to_world"))
        elevations, azimuths = shard.array("elevation_deg")[0], shard.array("azimuth_deg")[0]
    alpha = alpha[..., 3] >= 128
    assert azimuths.tolist() == [30 * n for n in range(12)] and set(elevations) == {30}

    def overlap(view: int, of: int) -> float:
        pixel, _ = project(spots, K[view], poses[view])
        drawn = np.zeros(alpha.shape[1:], dtype=bool)
        inside = ((pixel >= 0) & (pixel < 128)).all(axis=1)
        drawn[pixel[inside, 1].astype(int), pixel[inside, 0].astype(int)] = True
        return float((drawn & alpha[of]).sum() / (drawn | alpha[of]).sum())

    assert min(overlap(view, view) for view in range(12)) > 0.85
    assert overlap(2, 10) < 0.7, "turning the other way round is another picture"


def test_white_paper_becomes_alpha_and_leaves_no_rim() -> None:
    # One row: paper, a rim of one half, grey 100 inside.
    grey = np.full((9, 9), 100.0)
    grey[:, :2], grey[:, 2] = 255, (255 + 100) / 2
    grey[:, 7:] = 255
    rgba = without_paper(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8))
    assert rgba[4, :, 3].tolist()[:2] == [0, 0] and abs(int(rgba[4, 2, 3]) - 128) <= 2
    assert (rgba[4, 3:7] == (100, 100, 100, 255)).all()
    assert abs(int(rgba[4, 2, 0]) - 100) <= 2, "the rim has the colour of the object, not of the paper"


def test_a_turn_is_refused_because_pictures_cannot_be_turned() -> None:
    with pytest.raises(ValueError, match="brings pictures, which cannot be turned"):
        Dataset(source="mvcnn", yaw_deg=90)


def test_the_workflow_imports_pictures_and_makes_voxels(tmp_path: Path) -> None:
    release(tmp_path / "m")
    (tmp_path / "config.yaml").write_text(
        f"output: {tmp_path}/results\n"
        f"datasets:\n  views: {{source: mvcnn, mirrors: ['{tmp_path}/m'], shards: 2}}\n  made: {{source: procedural, "
        "shards: 3}\n"
    )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "samples",
        "--cores",
        "1",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        str(tmp_path / "config.yaml"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    planned = {words[0]: words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) == 2}
    wanted = {"import_views": "2", "prepare": "5", "voxelize": "5", "render": "3", "pack": "5", "sheet": "2"}
    assert {rule: planned.get(rule) for rule in wanted} == wanted
