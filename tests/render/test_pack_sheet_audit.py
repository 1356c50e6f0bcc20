"""From renders and voxels to training shards, contact sheets and the check of the axes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from pipeline.conventions import Grid, voxel_centres
from pipeline.errors import UserError
from pipeline.formats.binvox import write_binvox
from pipeline.formats.clusters import write_clusters
from pipeline.formats.pack import PackReader, write_pack
from pipeline.manifest import Record, Rejection
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.orient import IDENTITY, ORIENTATIONS, Orientation, oriented
from pipeline.pictures.bank import NOTHING, PLAIN, background, composite, open_bank, write_bank
from pipeline.progress import Log
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings
from pipeline.shards import create, open_shard
from pipeline.shards.agreement import advice, name
from pipeline.shards.index import write_index
from render.__main__ import main
from render.audit import audit_index
from render.backgrounds import build_bank, draw_alteration
from render.cameras import Camera
from render.pack import pack_shard
from render.shard import render_shard
from render.sheet import LABEL_PX, _fitting, sheets_of_index, voxel_mesh
from tests.render.helpers import ball, calibration, camera, cube, draw, prepared_pack, read_png, unlit
from tests.render.test_backgrounds import PICTURES, folder

PACK = ["pack", "--seed", "1"]
MESHES = {"box/cube": cube(), "odd/calibration": calibration(), "odd/second": calibration(), "round/ball": ball(12)}


def filled(mesh: Mesh, resolution: int = 32) -> Grid:
    """Voxels of the test shapes, which are unions of boxes or a ball, by their definition."""
    centres = np.stack(np.meshgrid(*[voxel_centres(resolution)] * 3, indexing="ij"), axis=-1)
    if len(mesh.vertices) % 8 or len(mesh.vertices) > 64:
        return np.asarray(np.linalg.norm(centres, axis=-1) < 0.45)
    grid = np.zeros((resolution,) * 3, bool)
    for box in mesh.vertices.reshape(-1, 8, 3):
        grid |= ((centres >= box.min(axis=0)) & (centres <= box.max(axis=0))).all(axis=-1)
    return grid


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Renders, voxels and a bank of four shapes."""
    folder = tmp_path_factory.mktemp("world")
    pack = prepared_pack(folder / "prepared.zip", MESHES)
    render_shard(pack, folder / "renders.h5", seed=1, settings=Render(size_px=64, views=4), log=Log(None))
    voxel_pack(folder / "voxels.zip", IDENTITY)
    crops = np.random.default_rng(0).integers(0, 256, (5, 80, 80, 3), dtype=np.uint8)
    write_bank(folder / "bank.npz", crops, {"names": list("abcde")})
    return folder


def voxel_pack(path: Path, way: Orientation, leave_out: str = "") -> Path:
    with write_pack(path, ".binvox") as pack:
        for key, mesh in MESHES.items():
            category, shape_name = key.split("/")
            record = Record(f"demo/{key}", category, shape_name, "train", {"voxelize": {"mode": "test"}})
            if key == leave_out:
                pack.reject(Rejection(record.shape_id, "voxelize", "empty", "left out"))
            else:
                pack.add(record, write_binvox(oriented(filled(mesh), way)))
    return path


def packed(world: Path, out: Path, voxels: Path | None = None, clusters: Path | None = None, **settings: str) -> Path:
    pack_shard(
        world / "renders.h5",
        voxels or world / "voxels.zip",
        world / "bank.npz",
        out,
        seed=1,
        settings=PackSettings(**settings),
        log=Log(None),
        clusters=clusters,
    )  # type: ignore[arg-type]
    return out


def test_near_duplicates_take_the_split_of_their_cluster(world: Path, tmp_path: Path) -> None:
    ids = [f"demo/{key}" for key in MESHES]
    write_clusters(tmp_path / "clusters.json", 0.95, [ids[:1]], {ids[0]: "test"})
    shard = packed(world, tmp_path / "a.h5", clusters=tmp_path / "clusters.json")
    with open_shard(shard) as found:
        assert {record.shape_id: record.split for record in found.records} == {
            shape_id: "test" if shape_id == ids[0] else "train" for shape_id in ids
        }


@pytest.mark.parametrize("compositing", ["srgb", "linear"])
def test_both_storages_give_the_same_pictures(world: Path, tmp_path: Path, compositing: str) -> None:
    one = packed(world, tmp_path / "c.h5", storage="composite", compositing=compositing)
    two = packed(world, tmp_path / "l.h5", storage="layers", compositing=compositing)
    bank = open_bank(world / "bank.npz")
    with open_shard(one) as finished, open_shard(two) as layers, open_shard(world / "renders.h5") as views:
        assert [r.shape_id for r in finished.records] == [r.shape_id for r in layers.records]
        assert set(finished.records[0].facts) == {"render", "voxelize"}
        for row in range(len(finished)):
            assert np.array_equal(finished.images(row), layers.images(row, bank))
            rgba, ids = views.array("rgba")[row], finished.array("background_id")[row]
            behind = background(bank, int(ids[2]), finished.array("background_crop")[row][2], 64)
            assert np.array_equal(finished.images(row)[2], composite(rgba[2], behind, compositing))
            assert np.array_equal(finished.array("alpha")[row], rgba[..., 3])
            assert np.array_equal(finished.array("camera_to_world")[row], views.array("camera_to_world")[row])


def test_backgrounds_differ_between_views_and_follow_the_seed(world: Path, tmp_path: Path) -> None:
    path = packed(world, tmp_path / "c.h5")
    assert path.read_bytes() == packed(world, tmp_path / "again.h5").read_bytes()
    with open_shard(path) as shard:
        crops = shard.array("background_crop")[:].reshape(-1, 5)
        assert len(np.unique(crops, axis=0)) == len(crops)
        row, column, side = crops[:, 0], crops[:, 1], crops[:, 2]
        assert (side >= 64).all()
        assert (row + side <= 80).all()
        assert (column + side <= 80).all()


@pytest.mark.parametrize("kind,colour", [("random", None), ("white", (255, 255, 255)), ("#10ff07", (16, 255, 7))])
@pytest.mark.parametrize("storage", ["composite", "layers"])
def test_plain_backgrounds_need_no_bank(
    world: Path, tmp_path: Path, storage: str, kind: str, colour: tuple[int, int, int] | None
) -> None:
    out = tmp_path / "c.h5"
    assert (
        main(
            [
                *PACK,
                "--settings",
                json.dumps({"background": kind, "storage": storage}),
                "--renders",
                str(world / "renders.h5"),
                "--voxels",
                str(world / "voxels.zip"),
                "-o",
                str(out),
            ]
        )
        == 0
    )
    with open_shard(out) as shard, open_shard(world / "renders.h5") as views:
        assert (shard.array("background_id")[0] == PLAIN).all()
        seen = set()
        for row in range(len(shard)):
            for view, picture in enumerate(shard.images(row)):
                behind = picture[views.array("rgba")[row][view][..., 3] == 0]
                assert (behind == shard.array("background_crop")[row][view][:3]).all()
                seen.add(tuple(behind[0].tolist()))
        assert seen == {colour} if colour else len(seen) == 16, "random is another colour for every view"


def test_transparent_views_keep_their_foreground_and_nothing_else(world: Path, tmp_path: Path) -> None:
    with open_shard(packed(world, tmp_path / "l.h5", storage="layers", background="transparent")) as shard:
        with open_shard(world / "renders.h5") as views:
            assert np.array_equal(shard.array("rgba")[0], views.array("rgba")[0])
        assert (shard.array("background_id")[:] == NOTHING).all()
        alpha = shard.array("rgba")[0][0][..., 3]
        assert (shard.images(0)[0][alpha == 0] == 255).all(), "who needs a picture all the same gets white"
    with pytest.raises(UserError, match="finished pictures cannot be transparent"):
        main([*PACK, "--settings", '{"background": "transparent"}', "--renders", "r", "--voxels", "v", "-o", "o"])


def test_how_the_bank_altered_each_background_is_in_the_shard(world: Path, tmp_path: Path) -> None:
    settings = Backgrounds(source="folder", path="x", blur_px=3, noise=5, colour_jitter=0.3)
    build_bank(
        folder(tmp_path / "in", PICTURES), tmp_path / "b.npz", seed=1, settings=settings, render_px=64, log=Log(None)
    )
    bank = open_bank(tmp_path / "b.npz")
    assert np.array_equal(bank.looks, np.stack([draw_alteration(settings, 1, name) for name in bank.names]))
    for storage in ("composite", "layers"):
        out = tmp_path / f"{storage}.h5"
        pack_shard(
            world / "renders.h5",
            world / "voxels.zip",
            tmp_path / "b.npz",
            out,
            seed=1,
            settings=PackSettings(storage=storage),
            log=Log(None),
        )  # type: ignore[arg-type]
        with open_shard(out) as shard:
            ids, looks = shard.array("background_id")[:], shard.array("background_look")[:]
            assert np.array_equal(looks, bank.looks[ids])
            assert (looks[..., 0] > 0).all() and (np.ptp(looks[..., 2:], axis=-1) > 0).all()


def test_a_shape_without_voxels_is_left_out_and_named(world: Path, tmp_path: Path) -> None:
    voxels = voxel_pack(tmp_path / "v.zip", IDENTITY, leave_out="box/cube")
    with open_shard(packed(world, tmp_path / "c.h5", voxels)) as shard:
        assert [r.key for r in shard.records] == ["odd/calibration", "odd/second", "round/ball"]
        assert [(r.shape_id, r.stage) for r in shard.rejects] == [("demo/box/cube", "voxelize")]


def test_sheets_are_drawn_for_the_set_and_every_category(world: Path, tmp_path: Path) -> None:
    packed(world, tmp_path / "shards" / "000.h5")
    write_index([tmp_path / "shards" / "000.h5"], tmp_path / "shards" / "index.json")
    out = tmp_path / "samples"
    sheets_of_index(tmp_path / "shards" / "index.json", out, shapes=3, bank_path=None, log=Log(None))
    assert {p.name for p in out.iterdir()} == {"sheet.png", "box.png", "odd.png", "round.png"}
    picture = read_png(out / "odd.png")
    assert picture.shape[0] > 2 * 112
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
    first = (out / "sheet.png").read_bytes()
    sheets_of_index(tmp_path / "shards" / "index.json", out, shapes=3, bank_path=None, log=Log(None))
    assert first == (out / "sheet.png").read_bytes()


def test_voxels_drawn_as_squares_cover_what_they_fill() -> None:
    grid = filled(calibration(), 16)
    mesh = voxel_mesh(grid)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    filled_places = np.argwhere(grid)
    assert np.allclose(low, filled_places.min(axis=0) / 16 - 0.5)
    assert np.allclose(high, (filled_places.max(axis=0) + 1) / 16 - 0.5)
    areas = np.linalg.norm(
        np.cross(mesh.vertices[1::3] - mesh.vertices[::3], mesh.vertices[2::3] - mesh.vertices[::3]), axis=1
    )
    assert np.allclose(areas, 1 / 16**2)


def audited(world: Path, folder: Path, way: Orientation) -> dict[str, object]:
    voxels = voxel_pack(folder / "v.zip", way)
    packed(world, folder / "shards" / "000.h5", voxels)
    write_index([folder / "shards" / "000.h5"], folder / "shards" / "index.json")
    audit_index(folder / "shards" / "index.json", folder / "audit.json", log=Log(None))
    return dict(json.loads((folder / "audit.json").read_text()))


def test_the_audit_passes_what_fits_and_counts_views(world: Path, tmp_path: Path) -> None:
    report = audited(world, tmp_path, IDENTITY)
    assert report["identity_fits_best"] is True
    assert len(report["axes"]) == 48  # type: ignore[arg-type]
    assert float(report["mean_iou"]) > 0.85  # type: ignore[arg-type]
    assert (report["shapes"], report["views"]) == (4, 16)
    assert report["empty_views"] == report["black_views"] == report["cut_off_views"] == 0
    assert report["flagged"] == {}


@pytest.mark.parametrize(
    "way,hint",
    [
        (((0, 2, 1), (1, -1, 1)), "up_axis: z"),
        (((2, 1, 0), (1, 1, -1)), "yaw_deg"),
        (((0, 2, 1), (1, 1, 1)), "mirrored"),
        (((0, 1, 2), (-1, 1, 1)), "mirrored"),
    ],
)
def test_the_audit_refuses_turned_and_mirrored_voxels_and_says_why(
    world: Path, tmp_path: Path, way: Orientation, hint: str
) -> None:
    with pytest.raises(UserError, match="the voxels do not have the axes of the views") as caught:
        audited(world, tmp_path, way)
    assert hint in str(caught.value)
    report = json.loads((tmp_path / "audit.json").read_text())
    assert report["identity_fits_best"] is False


def test_the_audit_counts_odd_views_and_names_the_odd_shape(world: Path, tmp_path: Path) -> None:
    with (
        open_shard(world / "renders.h5") as good,
        create(tmp_path / "renders.h5", "renders", count=4, views=4, size_px=64, attributes=good.attributes) as bad,
    ):
        for row, record in enumerate(good.records):
            arrays = {name: good.array(name)[row] for name in good.fields if name != "placement"}
            rgba = arrays["rgba"].copy()
            if record.key == "odd/second":
                rgba[0] = 0  # nothing there
                rgba[1, ..., :3] = 0  # no light
                rgba[2] = np.roll(rgba[2], 40, axis=1)  # half outside
                rgba[3] = np.roll(rgba[3], 25, axis=0)
            bad.append(record, **{**arrays, "rgba": rgba})
    voxel_pack(tmp_path / "v.zip", IDENTITY)
    pack_shard(
        tmp_path / "renders.h5",
        tmp_path / "v.zip",
        None,
        tmp_path / "shards" / "000.h5",
        seed=1,
        settings=PackSettings(storage="layers", background="white"),
        log=Log(None),
    )
    write_index([tmp_path / "shards" / "000.h5"], tmp_path / "shards" / "index.json")
    audit_index(tmp_path / "shards" / "index.json", tmp_path / "audit.json", log=Log(None))
    report = json.loads((tmp_path / "audit.json").read_text())
    assert (report["empty_views"], report["black_views"], report["cut_off_views"]) == (1, 1, 2)
    assert list(report["flagged"]) == ["demo/odd/second"] and report["flagged"]["demo/odd/second"] < 0.55


def test_there_are_48_ways_and_advice_for_each() -> None:
    assert len({name(way) for way in ORIENTATIONS}) == 48
    grid = filled(calibration(), 16)
    assert len({oriented(grid, way).tobytes() for way in ORIENTATIONS}) == 48, (
        "the calibration shape tells all of them apart"
    )
    assert sum("mirrored" in advice(way) for way in ORIENTATIONS) == 24


def test_the_voxelizers_grid_lies_behind_the_renders_alpha(tmp_path: Path) -> None:
    """The whole way through files: one prepared pack, voxels by the other stage's own command."""
    prepared = prepared_pack(tmp_path / "p.zip", {"odd/calibration": calibration()})
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "voxelize",
            "shard",
            "--settings",
            "{}",
            "--prepared",
            str(prepared),
            "-o",
            str(tmp_path / "v.zip"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    render_shard(
        prepared, tmp_path / "r.h5", seed=4, settings=Render(size_px=64, views=6, cameras="photo"), log=Log(None)
    )
    from pipeline.formats.binvox import read_binvox

    pack = PackReader(tmp_path / "v.zip")
    scene = voxel_mesh(read_binvox(pack.payload(pack.records[0])).grid)
    mirror = Mesh(scene.vertices * np.array([-1.0, 1, 1]), scene.faces)
    with open_shard(tmp_path / "r.h5") as views:
        for view in range(6):
            alpha = views.array("rgba")[0][view][..., 3] >= 128
            cam = stored_camera(views.array("K")[0][view], views.array("camera_to_world")[0][view])
            seen = [draw(mesh, cam, unlit()).rgba[..., 3] >= 128 for mesh in (scene, mirror)]
            right, mirrored = ((alpha & voxels).sum() / (alpha | voxels).sum() for voxels in seen)
            assert right > 0.8
            assert mirrored < right - 0.1


def stored_camera(K: np.ndarray, camera_to_world: np.ndarray) -> Camera:
    return Camera(K, camera_to_world, 0.0, 0.0, 0.0, 0.0, camera().size_px)


def test_a_long_name_keeps_the_end_by_which_it_is_told_from_others() -> None:
    font = ImageFont.load_default(15)
    names = [f"1006be65e7bc937e9141f9b58470d6{number:02d}" for number in range(3)]
    shown = [_fitting(name, font) for name in names]
    assert len(set(shown)) == 3
    assert all(text.endswith(name[-8:]) and font.getlength(text) <= LABEL_PX for text, name in zip(shown, names))
    assert _fitting("chair_0001", font) == "chair_0001"
