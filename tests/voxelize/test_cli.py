"""The command line: binvox's flags verbatim, many meshes, resuming, and messages for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox, write_binvox
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from tests.voxelize.solids import Mesh as Triangles
from tests.voxelize.solids import box, sphere, table
from voxelize.cli import main, options_of, parser
from voxelize.engines.binvox_program import plain_off
from voxelize.engines.builtin import voxelize
from voxelize.options import PRESETS, Options


def write(path: Path, mesh: Triangles) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    vertices, faces = mesh
    if path.suffix == ".off":
        path.write_bytes(plain_off(vertices, faces))
    elif path.suffix == ".glb":
        path.write_bytes(write_glb(Mesh(vertices, faces)))
    elif path.suffix == ".obj":
        lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices] + [
            f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces
        ]
        path.write_text("\n".join(lines))
    else:
        import trimesh

        trimesh.Trimesh(vertices, faces, process=False).export(path)
    return path


def options(words: str) -> Options:
    return options_of(parser().parse_args([*words.split(), "mesh.off"]))


def test_flags_are_those_of_the_original() -> None:
    assert options("") == Options(resolution=256)
    assert options("-d 32 -c") == Options(resolution=32, mode="carve")
    assert options("-v") == Options(resolution=256, mode="vote")
    assert options("-e -d 64 -bb -.5 -.5 -.5 .5 .5 .5") == PRESETS["imnet"]
    assert options("-d 256 -aw -dc -down -pb") == PRESETS["shapenet"]
    assert options("-cb -fit -ri -dmin 2 -down -down -rotx -rotx -rotz -d 128") == Options(
        128, centred=True, fit=True, remove_internal=True, halving_minimum=2, halvings=2, turns_x=2, turns_z=1
    )
    assert options("--preset voxnet -d 30") == Options(30, centred=True)
    assert options("--preset imnet --mode robust").mode == "robust"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "imnett"], "unknown preset 'imnett'; did you mean 'imnet'"),
        (["-t", "hips"], "file type is not offered"),
        (["-t", "jpg"], "unknown file type"),
        (["-d", "0"], "out of range"),
        (["-d", "4096"], "out of range"),
        (["--engine", "binvox"], "the engine `binvox` is not installed"),
    ],
)
def test_wrong_flags_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    mesh = write(tmp_path / "box.off", box())
    with pytest.raises(UserError, match=message):
        main([str(mesh), *words])


@pytest.mark.usefixtures("quick_workers")
@pytest.mark.parametrize("suffix", [".off", ".obj", ".ply", ".stl", ".glb"])
def test_every_mesh_format_gives_the_same_voxels(tmp_path: Path, suffix: str) -> None:
    mesh = write(tmp_path / f"a mesh; echo $HOME{suffix}", sphere())
    assert main([str(mesh), "-d", "32", "-o", str(tmp_path / "out.binvox")]) == 0
    # Formats store single precision; the sphere has no ties.
    wanted = voxelize(*sphere(), Options()).grid
    assert (read_binvox((tmp_path / "out.binvox").read_bytes()).grid != wanted).sum() <= 4


@pytest.mark.usefixtures("quick_workers")
def test_many_meshes_resume_and_are_made_anew_with_other_flags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/one", "a/two", "b/one"):
        write(tmp_path / f"in/{name}.off", box() if "one" in name else table())
    (tmp_path / "in/b/broken.off").write_bytes(b"OFF\n4 2 0\n0 0 0\n")
    command = [
        str(tmp_path / "in"),
        "-d",
        "16",
        "-o",
        str(tmp_path / "out"),
        "--jobs",
        "2",
        "--mode",
        "robust",
        "--report",
        str(tmp_path / "report.json"),
    ]
    for run in range(3):
        if run == 2:
            command[2] = "32"
        with pytest.raises(UserError, match=r"1 of 4 meshes could not be voxelized; the others are written"):
            main(command)
        said = capfd.readouterr().err
        assert ("3 of 4 are done already" in said) == (run == 1)
        assert "broken.off: truncated" in said
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.binvox"))
    assert made == ["a/one.binvox", "a/two.binvox", "b/one.binvox"]
    records = json.loads((tmp_path / "report.json").read_text())
    assert [("error" in record) for record in records] == [False, False, True, False]
    assert (records[1]["thin_recall"], records[1]["parts"], records[1]["resolution"]) == (1.0, 1, 32)
    assert (records[0]["watertight"], records[0]["engine"]) == (True, "builtin")


@pytest.mark.usefixtures("quick_workers")
def test_file_types_agree(tmp_path: Path) -> None:
    mesh = write(tmp_path / "box.off", box())
    for kind in ("binvox", "raw", "npy", "vtk"):
        assert main([str(mesh), "-d", "16", "-t", kind]) == 0
    grid = read_binvox((tmp_path / "box.binvox").read_bytes()).grid
    assert np.array_equal(np.load(tmp_path / "box.npy"), grid)
    raw = np.frombuffer((tmp_path / "box.raw").read_bytes(), np.uint8)
    assert np.array_equal(raw.reshape(16, 16, 16).transpose(0, 2, 1), grid)
    vtk = (tmp_path / "box.vtk").read_bytes()
    assert b"DIMENSIONS 16 16 16\n" in vtk
    body = vtk.partition(b"LOOKUP_TABLE default\n")[2][:-1]
    assert np.array_equal(np.frombuffer(body, np.uint8).reshape(16, 16, 16).transpose(2, 1, 0), grid)


@pytest.mark.usefixtures("quick_workers")
def test_centred_meshes_and_the_wrong_header_of_the_original(tmp_path: Path) -> None:
    mesh = write(tmp_path / "box.off", box())
    placed = {}
    for flag in ([], ["--compat-header"]):
        assert main([str(mesh), "-d", "16", "-cb", *flag]) == 0
        content = read_binvox((tmp_path / "box.binvox").read_bytes())
        placed[bool(flag)] = content.translate
        assert np.array_equal(content.grid, content.grid[:, ::-1])
    assert placed == {False: (-0.4, -0.4, -0.4), True: (-0.4, -0.3, -0.2)}


def test_fit_keeps_the_place_of_every_voxel(tmp_path: Path) -> None:
    solid = voxelize(*box(), Options(resolution=20, centred=True, fit=True))
    assert solid.grid.shape == (20, 14, 10)
    whole = voxelize(*box(), Options(resolution=20, centred=True))
    assert np.array_equal(solid.whole, whole.grid)
    translate, scale = solid.placement
    assert np.allclose(translate, [-0.4, -0.28, -0.2]) and scale == pytest.approx(0.8)


def test_quarter_turns_move_the_axes() -> None:
    long = box((0, 0, 0), (1, 0.5, 0.25))
    extent = lambda **turns: tuple(np.ptp(np.argwhere(voxelize(*long, Options(16, **turns)).grid), axis=0) + 1)  # noqa: E731
    assert extent() == (16, 8, 4)
    assert extent(turns_x=1) == (16, 4, 8)
    assert extent(turns_z=1) == (8, 16, 4)
    assert extent(turns_z=4) == (16, 8, 4)


def test_info_says_what_is_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = np.zeros((8, 8, 8), dtype=bool)
    grid[1:3, 4, 5] = grid[7, 7, 7] = True
    path = tmp_path / "x.binvox"
    path.write_bytes(write_binvox(grid, (0, 0, 0), 4))
    assert main(["info", "--json", str(path)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["size"], facts["pitch"], facts["occupied"], facts["parts"]) == ([8, 8, 8], 0.5, 3, 2)
    assert facts["filled"] == [[1, 7], [4, 7], [5, 7]]
    assert main(["info", str(path)]) == 0
    assert "occupied   3" in capsys.readouterr().out
    path.write_bytes(b"#binvox 1\ndim 2 2 2\ndata\n\x07\x08")
    with pytest.raises(UserError, match="not a valid .binvox file"):
        main(["info", str(path)])


@pytest.mark.usefixtures("quick_workers")
def test_one_mesh_that_fails_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    thin = write(tmp_path / "thin.off", box((0, 0, 0), (1, 1, 1e-4)))
    with pytest.raises(UserError, match="the mesh cannot be voxelized") as caught:
        main([str(thin), "-d", "32"])
    assert "empty_grid" in str(caught.value) and "--mode robust" in str(caught.value)
    assert not (tmp_path / "thin.binvox").exists()
    assert main([str(thin), "-d", "32", "--mode", "robust"]) == 0


def test_two_meshes_never_share_an_output(tmp_path: Path) -> None:
    meshes = [write(tmp_path / folder / "m.off", box()) for folder in ("a", "b")]
    with pytest.raises(UserError, match="two meshes would be written to one file"):
        main([*map(str, meshes), "-o", str(tmp_path / "out")])
    with pytest.raises(UserError, match="no such file"):
        main([str(tmp_path / "absent.off")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no mesh in this folder"):
        main([str(tmp_path / "empty")])


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "-rotx" in capsys.readouterr().out
