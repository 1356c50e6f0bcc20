"""The one rule of -o in the commands that a person starts by hand."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Mesh
from pipeline.shards.command import main as shards
from render.__main__ import main as render
from tests.voxelize.solids import box
from training.command.train import main as training
from voxelize.cli import main as voxelize

pytestmark = pytest.mark.usefixtures("quick_workers")


@pytest.fixture
def mesh(tmp_path: Path) -> str:
    path = tmp_path / "mesh.glb"
    path.write_bytes(write_glb(Mesh(*box())))
    return str(path)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_voxelize_writes_the_format_that_the_name_says(mesh: str, tmp_path: Path) -> None:
    assert voxelize([mesh, "-d", "16", "-o", str(tmp_path / "out" / "a.npy")]) == 0
    assert names(tmp_path / "out") == {"a.npy"} and np.load(tmp_path / "out" / "a.npy").shape == (16, 16, 16)
    assert voxelize([mesh, "-d", "16", "-o", f"{tmp_path}/folder.d/"]) == 0
    assert names(tmp_path / "folder.d") == {"mesh.binvox"}


def test_voxelize_to_standard_output(
    mesh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert voxelize([mesh, "-d", "16", "-o", "-"]) == 0
    assert read_binvox(capfdbinary.readouterr().out).grid.any()
    assert names(tmp_path) == {"mesh.glb"}


def test_render_draws_a_sheet_or_a_folder(mesh: str, tmp_path: Path) -> None:
    words = [mesh, "--views", "1", "--size", "32", "-o"]
    assert render([*words, str(tmp_path / "a.png")]) == 0 and (tmp_path / "a.png").is_file()
    assert render([*words, f"{tmp_path}/b.png/"]) == 0 and names(tmp_path / "b.png") == {"mesh-00.png"}


def test_sample_writes_one_file_where_one_is_asked_for(tmp_path: Path) -> None:
    assert training(["sample", "--count", "1", "-o", str(tmp_path / "s.obj")]) == 0
    assert training(["sample", "--count", "1", "-o", str(tmp_path / "s")]) == 0
    assert names(tmp_path) == {"s.obj", "s"} and "000.glb" in names(tmp_path / "s")


def _said(main: Callable[..., Any], words: list[str]) -> str:
    """What a command line says when it fails; some mains print it, others leave that to their `__main__`."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            assert main(words) == 1
        except UserError as error:
            return str(error)
    return said.getvalue()


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (voxelize, ["MESH", "-o", "out.xyz"], "cannot write such a file"),
        (voxelize, ["MESH", "-t", "raw", "-o", "out.npy"], "two formats"),
        (voxelize, ["MESH", "MESH", "-o", "out.npy"], "2 meshes do not go into one file"),
        (voxelize, ["MESH", "MESH", "-o", "-"], "2 meshes do not go into one file"),
        (render, ["MESH", "-o", "out.jpg"], "cannot write such a file"),
        (training, ["sample", "-o", "s.glb"], "16 shapes do not go into one file"),
        (training, ["sample", "--count", "1", "--format", "obj", "-o", "s.glb"], "two formats"),
        (training, ["sample", "-o", "out.png"], "cannot write such a file"),
        (training, ["interpolate", "seed:1", "seed:2", "-o", "-"], "8 shapes do not go into one file"),
        (training, ["reconstruct", "photo.png", "-o", "out.fbx"], "cannot write such a file"),
        (training, ["export", "--run", "nowhere", "-o", "-"], "this cannot go to standard output"),
        (shards, ["export", "x.h5", "-o", "out.tar"], "cannot write such a file"),
        (shards, ["export", "x.h5", "-o", "-"], "this cannot go to standard output"),
    ],
)
def test_what_is_no_output_is_said_before_any_work(
    main: Callable[..., Any], words: list[str], message: str, mesh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert message in _said(main, [mesh if word == "MESH" else word for word in words])
    assert names(tmp_path / "empty") == set()
