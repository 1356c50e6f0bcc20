"""``python -m render MESH...``: what a person tries first."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.conventions import UP_AXIS_TO_WORLD
from pipeline.errors import UserError
from pipeline.meshes.export import mesh_bytes
from render.__main__ import main
from render.preview import short_names
from tests.render.helpers import calibration, read_png
from tests.render.test_backgrounds import PICTURES, folder


def obj(path: Path) -> Path:
    mesh = calibration()
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices * 40 + 7]
    lines += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    path.write_text("\n".join(lines) + "\n")
    return path


def off(path: Path) -> Path:
    mesh = calibration()
    vertices = mesh.vertices @ UP_AXIS_TO_WORLD["z"]  # back from Y up to Z up
    lines = ["OFF", f"{len(vertices)} {len(mesh.faces)} 0", *(f"{x} {y} {z}" for x, y, z in vertices)]
    path.write_text("\n".join([*lines, *(f"3 {a} {b} {c}" for a, b, c in mesh.faces)]) + "\n")
    return path


def test_one_sheet_of_several_meshes_on_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.off").write_text("OFF\n8 6 0\n0 0")
    photographs = folder(tmp_path / "photos", PICTURES)
    meshes = [str(p) for p in (obj(tmp_path / "a.obj"), off(tmp_path / "b.off"), tmp_path / "bad.off")]
    out = tmp_path / "sheet.png"
    assert main([*meshes, "--views", "3", "--size", "64", "--backgrounds", str(photographs), "-o", str(out)]) == 0
    assert read_png(out).shape[1] > 3 * 64
    said = capsys.readouterr().err
    assert "bad.off: " in said
    assert "2 meshes x 3 views" in said


def test_views_in_a_folder_and_every_format_stands_and_faces_alike(tmp_path: Path) -> None:
    out = tmp_path / "views"
    arguments = ["--views", "2", "--size", "64", "--compositing", "none", "-o", str(out)]
    files = [obj(tmp_path / "a.obj"), off(tmp_path / "b.off"), tmp_path / "c.glb", tmp_path / "d.stl"]
    for path in files[2:]:
        path.write_bytes(mesh_bytes(calibration(), path.suffix))
    for path in files:
        assert main([str(path), *arguments]) == 0
    for view in range(2):
        first, *others = (read_png(out / f"{path.stem}-{view:02d}.png") for path in files)
        assert first.shape == (64, 64, 4)
        for other in others:
            assert (first[..., 3] != other[..., 3]).mean() < 0.002


def test_plain_colours_and_highlights(tmp_path: Path) -> None:
    pictures = {}
    for name, more in {"matt": ["--specular", "0"], "gloss": ["--specular", "1", "--shininess", "8"]}.items():
        assert (
            main(
                [
                    str(obj(tmp_path / "a.obj")),
                    "--views",
                    "2",
                    "--size",
                    "64",
                    "--colour",
                    "#20a0ff",
                    *more,
                    "-o",
                    str(tmp_path / name),
                ]
            )
            == 0
        )
        pictures[name] = read_png(tmp_path / name / "a-00.png").astype(int)
        assert (pictures[name][0, 0] == (32, 160, 255)).all()
    assert (pictures["gloss"] >= pictures["matt"]).all()
    assert (pictures["gloss"] > pictures["matt"]).any()


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "03" / one / "models" / "model.obj" for one in ("ab", "cd")]
    for path in paths:
        path.parent.mkdir(parents=True)
        obj(path)
    other = off(tmp_path / "b.off")
    assert list(short_names([*paths, other]).values()) == ["ab-model", "cd-model", "b"]
    assert main([*map(str, paths), "--views", "1", "--size", "32", "-o", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ab-model-00.png", "cd-model-00.png"]
    assert list(short_names([paths[0]] * 2).values()) == ["model"]


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--size", "33"], "cannot be drawn like this"),
        (["--views", "0"], "cannot be drawn like this"),
        (["--shininess", "30"], "--shininess 4 to 128, a power of two"),
        (["--colour", "blue"], "--colour white, random or #rrggbb"),
        (["--compositing", "none"], "a sheet has no transparency"),
        (["--backgrounds", "nowhere"], "no such folder or archive"),
    ],
)
def test_wrong_wishes_are_explained(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main([str(obj(tmp_path / "a.obj")), "-o", str(tmp_path / "s.png"), *arguments])


def test_no_mesh_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        main([str(tmp_path / "none.obj"), "-o", str(tmp_path / "s.png")])
    (tmp_path / "bad.obj").write_text("f 1 2 3")
    with pytest.raises(UserError, match="none of the meshes can be drawn"):
        main([str(tmp_path / "bad.obj"), "-o", str(tmp_path / "s.png")])


def test_a_folder_is_searched_and_a_slip_of_a_command_is_told(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    obj(tmp_path / "in" / "a" / "chair.obj")
    main([str(tmp_path / "in"), "--views", "1", "--size", "32", "-o", str(tmp_path / "out")])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["chair-00.png"]
    with pytest.raises(UserError, match="no mesh in this folder"):
        main([str(tmp_path / "out"), "-o", str(tmp_path / "s.png")])
    with pytest.raises(UserError, match="no such file(.|\n)*python -m render sheet"):
        main(["shet", "-o", str(tmp_path / "s.png")])
    (tmp_path / "link.obj").symlink_to(tmp_path / "in" / "a" / "chair.obj")
    main([str(tmp_path / "link.obj"), "--views", "1", "--size", "32", "-o", str(tmp_path / "link.png")])
    (tmp_path / "gone.obj").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="neither a file nor a folder(.|\n)*a link"):
        main([str(tmp_path / "gone.obj"), "-o", str(tmp_path / "s.png")])


def test_a_real_chair_keeps_its_textures(tmp_path: Path, shared_data: Path) -> None:
    import zipfile

    with zipfile.ZipFile(shared_data / "shapenet" / "ShapeNetCore.v1" / "03001627.zip") as archive:
        archive.extractall(tmp_path)
    model = next(tmp_path.rglob("model.obj"))
    out = tmp_path / "views"
    assert main([str(model), "--views", "2", "--size", "96", "--compositing", "none", "-o", str(out)]) == 0
    rgba = read_png(out / "model-00.png").astype(int)
    wood = (rgba[..., 3] == 255) & (rgba[..., 0] - rgba[..., 2] > 25)
    assert wood.sum() > 50, "the wood of the arms is brown"
