"""The render stage: packs in, shards of renders out; broken shapes cost themselves only."""

from __future__ import annotations

import faulthandler
import hashlib
import multiprocessing
import os
import signal
import struct
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.formats.binvox import write_binvox
from pipeline.formats.pack import PackReader, write_pack
from pipeline.furniture import make_shape
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.meshes.mesh import Material, Mesh
from pipeline.pictures.bank import write_bank
from pipeline.pictures.camera import project
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.datasets import PrepareSettings
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings
from pipeline.shards import open_shard
from pipeline.stages.ledger import collect_files
from pipeline.stages.prepare import prepare_shape
from render.__main__ import main
from render.backends.raster import RasterBackend
from render.pack import pack_shard
from render.scene import Scene, prepare_scene
from render.shard import render_shard
from tests.render.helpers import ball, calibration, checkers, cube, prepared_pack

SETTINGS = Render(size_px=32, views=3, seconds_per_shape=20)
MESHES = {
    "box/cube": cube(),
    "odd/calibration": calibration(),
    "round/ball": ball(10, material=Material(texture=checkers())),
}


def run(pack: Path, out: Path, settings: Render = SETTINGS, seed: int = 1) -> Path:
    render_shard(pack, out, seed=seed, settings=settings, log=Log(None))
    return out


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_view_comes_with_its_camera_lights_and_facts(tmp_path: Path) -> None:
    with open_shard(run(prepared_pack(tmp_path / "in.zip", MESHES), tmp_path / "out.h5")) as shard:
        assert [r.key for r in shard.records] == sorted(MESHES)
        assert shard.array("rgba").shape == (3, 3, 32, 32, 4)
        facts = shard.records[2].facts["render"]
        assert facts["backend"] == "raster"
        assert facts["textured_faces"] == facts["faces"] > 0
        coverage, lights = shard.array("coverage")[0], shard.array("lights")[0]
        assert (coverage > 0.05).all()
        assert (lights[:, 0, 7] > 0).all()
        for view in range(3):
            pixels, _ = project(
                MESHES["box/cube"].vertices, shard.array("K")[0][view], shard.array("camera_to_world")[0][view]
            )
            rows, columns = np.nonzero(shard.array("rgba")[0][view][..., 3])
            assert np.abs(pixels.min(axis=0) - (columns.min(), rows.min())).max() < 1.5
            assert np.abs(pixels.max(axis=0) - (columns.max() + 1, rows.max() + 1)).max() < 1.5


def test_the_same_bytes_alone_in_company_and_in_parallel(tmp_path: Path) -> None:
    pack = prepared_pack(tmp_path / "in.zip", MESHES)
    outs = [tmp_path / f"{number}.h5" for number in range(3)]
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:  # a stage is a process
        digests = [digest(out) for out in pool.map(run, [pack] * 3, outs)]
    assert len(set(digests)) == 1
    alone = run(prepared_pack(tmp_path / "one.zip", {"round/ball": MESHES["round/ball"]}), tmp_path / "one.h5")
    with open_shard(alone) as one, open_shard(tmp_path / "0.h5") as all_of_them:
        assert np.array_equal(one.array("rgba")[0], all_of_them.array("rgba")[2])
    assert digest(run(pack, tmp_path / "other.h5", seed=2)) != digests[0]


def build(folder: Path, packs: Mapping[str, Mapping[str, Mesh]]) -> dict[str, tuple[Path, Path]]:
    """Prepared meshes and voxels of each pack's shapes."""
    made = {}
    for name, meshes in packs.items():
        pack = prepared_pack(folder / f"{name}.zip", meshes)
        with write_pack(folder / f"{name}-voxels.zip", ".binvox") as voxels:
            for record in PackReader(pack).records:
                grid = generator(1, record.shape_id).random((16, 16, 16)) > 0.9
                voxels.add(record, write_binvox(grid))
        made[name] = pack, folder / f"{name}-voxels.zip"
    return made


def render_and_pack(inputs: tuple[Path, Path], bank: Path, out: Path) -> tuple[str, str]:
    """Both stages of one shard as the DAG runs them; the digests of their files."""
    out.mkdir()
    run(inputs[0], out / "renders.h5", SETTINGS.model_copy(update={"cameras": "photo"}))
    pack_shard(out / "renders.h5", inputs[1], bank, out / "shard.h5", seed=1, settings=PackSettings(), log=Log(None))
    return digest(out / "renders.h5"), digest(out / "shard.h5")


@pytest.mark.parametrize("most", [6, pytest.param(16, marks=(pytest.mark.slow, pytest.mark.campaign))])
def test_the_same_bytes_on_one_worker_and_on_many(tmp_path: Path, most: int) -> None:
    kinds = ["chair", "table", *MESHES]
    shapes = {
        f"{kind.split('/')[0]}/{number:02d}": MESHES[kind] if kind in MESHES else make_shape(3, kind, number)
        for number, kind in enumerate((kinds * 4)[:most])
    }
    packs = build(tmp_path, {f"{row:02d}": {key: shapes[key]} for row, key in enumerate(shapes)})
    crops = generator(1, "crops").integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
    write_bank(tmp_path / "bank.npz", crops, {"names": list("abcd")})
    digests = []
    for workers in (1, most):
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
            jobs = [
                pool.submit(render_and_pack, packs[name], tmp_path / "bank.npz", tmp_path / f"{workers}-{name}")
                for name in packs
            ]
            digests.append([job.result() for job in jobs])
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == most
    # Cut into one shard instead of many, every shape has the same views.
    together = build(tmp_path, {"all": shapes})["all"]
    render_and_pack(together, tmp_path / "bank.npz", tmp_path / "all")
    with open_shard(tmp_path / "all" / "shard.h5") as whole:
        for row, record in enumerate(whole.records):
            name = next(name for number, name in enumerate(packs) if list(shapes)[number] == record.key)
            with open_shard(tmp_path / f"{most}-{name}" / "shard.h5") as single:
                assert np.array_equal(whole.images(row), single.images(0))


def test_broken_shapes_are_recorded_and_the_others_drawn(tmp_path: Path) -> None:
    flat = cube()
    flat.vertices[:] = 0.1
    pack = prepared_pack(
        tmp_path / "in.zip", {**MESHES, "bad/flat": flat, "bad/noise": b"glTF" + bytes(40), "bad/big": ball(40)}
    )
    with open_shard(run(pack, tmp_path / "out.h5", SETTINGS.model_copy(update={"max_faces": 3000}))) as shard:
        assert [r.key for r in shard.records] == sorted(MESHES)
        assert [(r.shape_id, r.stage, r.reason) for r in shard.rejects] == [
            ("demo/bad/big", "render", "too_large"),
            ("demo/bad/flat", "render", "zero_area"),
            ("demo/bad/noise", "render", "bad_glb"),
        ]


def _trouble(mesh: Mesh) -> Scene:
    """`prepare_scene`, but three of the meshes crash the process, hang it, or fill its memory."""
    faces = len(mesh.faces)
    if faces == 12:
        faulthandler.disable()  # pytest's; it would print the stack of this wanted crash
        os.kill(os.getpid(), signal.SIGSEGV)
    if faces == 48:
        time.sleep(100)
    if faces == 2 * 7 * 14:
        np.ones(10**10)
    return prepare_scene(mesh)


def test_a_shape_that_crashes_hangs_or_eats_memory_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("render.shard.prepare_scene", _trouble)
    monkeypatch.setattr("render.shard.MEMORY_BYTES", 1 << 30)
    pack = prepared_pack(
        tmp_path / "in.zip",
        {"a/crash": cube(), "b/good": ball(6), "c/hang": calibration(), "d/hungry": ball(7), "e/good": ball(8)},
    )
    settings = SETTINGS.model_copy(update={"seconds_per_shape": 2.0})
    with open_shard(run(pack, tmp_path / "out.h5", settings)) as shard:
        assert [record.key for record in shard.records] == ["b/good", "e/good"]
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "rejects.jsonl").touch()
    rows = collect_files(tmp_path / "index", [pack, tmp_path / "out.h5"])
    assert [(row.shape_id, row.stage, row.reason) for row in rows if row.status == "rejected"] == [
        ("demo/a/crash", "render", "crash"),
        ("demo/c/hang", "render", "timeout"),
        ("demo/d/hungry", "render", "memory"),
    ]
    assert "SIGSEGV" in rows[0].detail


def test_auto_writes_into_the_shard_which_backend_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("render.backends.opengl.probe", lambda platform: ("llvmpipe (LLVM 15)", ""))
    pack = prepared_pack(tmp_path / "in.zip", {"box/cube": cube()})
    with open_shard(run(pack, tmp_path / "out.h5", SETTINGS.model_copy(update={"backend": "auto"}))) as shard:
        assert (shard.attributes["backend"], shard.attributes["render"]["backend"]) == ("raster", "auto")
        assert (shard.records[0].facts["render"]["backend"], shard.records[0].facts["render"]["backend_version"]) == (
            "raster",
            RasterBackend.version,
        )


def test_hostile_missing_and_truncated_textures_leave_a_grey_shape_and_a_note(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(4, 4, bytes(4 * 13)))
    files = {
        "model/m.mtl": b"".join(
            b"newmtl %d\nKd 0 0 0\nmap_Kd %s\n" % (i, name)
            for i, name in enumerate((b"bomb.png", b"../secret.png", b"gone.jpg", b"cut.png", b"/etc/passwd"))
        ),
        "model/bomb.png": png(30_000, 30_000, bytes(1000)),
        "model/cut.png": png(64, 64, bytes(64 * 193))[:60],
        "model/m.obj": b"mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 1\nvt 1e30 -7\nvt nan 0.5\nvt 2 2\n"
        + b"".join(b"usemtl %d\nf 1/1 %d/2 %d/3\n" % (i, 2 + i % 2, 3 + i % 2) for i in range(5)),
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    shape = Shape("demo/odd/m", "odd", "m", "train", "m.obj")
    record, payload = prepare_shape(
        shape, "m.obj", Files.of_folder(tmp_path / "model"), PrepareSettings(source="folder"), np.eye(3)
    )
    facts = record.facts["prepare"]
    assert facts["missing_textures"] == ["bomb.png", "cut.png", "gone.jpg"]
    assert facts["refused_paths"] == ["../secret.png", "/etc/passwd"]
    assert facts["textures"] == 0
    with open_shard(run(prepared_pack(tmp_path / "in.zip", {"odd/m": payload}), tmp_path / "out.h5")) as shard:
        rgba = shard.array("rgba")[0]
        light = rgba[rgba[..., 3] == 255][:, :3]
        assert light.mean() > 60, "grey, not black"
        assert np.ptp(light.astype(int), axis=1).max() < 40


def png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG with a header that says so, whatever its data hold."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_a_black_chair_is_a_black_chair_and_darkness_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = prepared_pack(
        tmp_path / "in.zip", {"b/black": cube(material=Material(colour=(0, 0, 0, 255))), "b/grey": cube()}
    )
    with open_shard(run(pack, tmp_path / "lit.h5")) as shard:
        assert len(shard) == 2
    monkeypatch.setattr("render.shard.make_lights", lambda *_: np.zeros((4, 8), np.float32))
    with open_shard(run(pack, tmp_path / "dark.h5")) as shard:
        assert [r.name for r in shard.records] == ["black"]
        assert [r.reason for r in shard.rejects] == ["black_views"]


def test_an_empty_pack_gives_an_empty_shard(tmp_path: Path) -> None:
    with open_shard(run(prepared_pack(tmp_path / "in.zip", {}), tmp_path / "out.h5")) as shard:
        assert len(shard) == 0


def test_the_command_line_names_what_is_wrong(tmp_path: Path) -> None:
    pack = prepared_pack(tmp_path / "in.zip", MESHES)
    arguments = ["shard", "--seed", "1", "--prepared", str(pack), "-o", str(tmp_path / "o.h5"), "--settings"]
    with pytest.raises(UserError, match="did you mean 'size_px'"):
        main([*arguments, '{"sizepx": 64}'])
    with pytest.raises(UserError, match="cannot read a pack"):
        main(["shard", "--seed", "1", "--prepared", str(tmp_path / "none.zip"), "-o", str(tmp_path / "o.h5")])
    log = tmp_path / "log.jsonl"
    assert main([*arguments, '{"size_px": 32, "views": 1, "cameras": "ring"}', "--log", str(log)]) == 0
    assert '"title": "render"' in log.read_text()
