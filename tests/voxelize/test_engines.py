"""The other engines: the original program (played by a stand-in here) and Open3D."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Reject, UserError
from tests.voxelize.solids import box, iou, joined, sphere, table, torus
from voxelize.engines.builtin import voxelize
from voxelize.engines.choose import Engine, engine
from voxelize.options import UNIT_BOX_BOUNDS, Options

ROOT = Path(__file__).resolve().parents[2]

# Behaves like the program as far as we know it: name through a shell, display, output beside the input.
STAND_IN = """
import json, os, sys
sys.path.insert(0, {root!r})
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], os.getcwd()]) + "\\n")
how = {how!r}
if "-e" not in sys.argv and "DISPLAY" not in os.environ:
    print("Error: cannot open display"); sys.exit(1)
if how == "fails": print("Error: out of luck"); sys.exit(3)
if how == "hangs":
    import time; time.sleep(60)
print("Read 0 faces" if how == "reads nothing" else "Read {faces} faces")
if how == "writes nothing": sys.exit(0)
from pipeline.formats.binvox import write_binvox
from pipeline.meshes.readers.off import read_off
from voxelize.engines.builtin import voxelize
from voxelize.cli import options_of, parser
solid = voxelize(*read_off(open(sys.argv[-1], "rb").read()), options_of(parser().parse_args(sys.argv[1:])))
data = write_binvox(solid.grid, *solid.placement)
open("mesh.binvox", "wb").write(data[:60] if how == "writes half" else data)
"""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str = "works", faces: int = 12, xvfb: bool = True
) -> Path:
    folder.mkdir(exist_ok=True)
    log = folder / "calls.jsonl"
    text = STAND_IN.format(root=str(ROOT), log=str(log), how=how, faces=faces)
    programs = {"binvox": f"#!{sys.executable}\n{text}"}
    if xvfb:
        programs["xvfb-run"] = '#!/bin/sh\n[ "$1" = -a ] || exit 9\nshift\nDISPLAY=:99 exec "$@"\n'
    for name, content in programs.items():
        (folder / name).write_text(textwrap.dedent(content))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("DISPLAY", raising=False)
    return log


def test_the_program_runs_in_a_private_folder_under_a_plain_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = install(tmp_path / "bin", monkeypatch)
    program = engine("binvox")
    solid = program.voxelize(*box(), Options(centred=True, halvings=1, fit=True))
    own = voxelize(*box(), Options(centred=True, halvings=1, fit=True))
    assert np.array_equal(solid.grid, own.grid)
    assert solid.placement == own.placement
    words, folder = json.loads(log.read_text())
    assert words == ["-d", "32", "-cb", "mesh.off"]
    assert not os.path.exists(folder)


def test_robust_adds_the_thin_parts_to_the_program_s_solid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, faces=60)
    options = Options(mode="robust", box=UNIT_BOX_BOUNDS)
    assert np.array_equal(engine("binvox").voxelize(*table(), options).grid, voxelize(*table(), options).grid)


@pytest.mark.parametrize(
    ("how", "reason", "detail"),
    [
        ("fails", "engine_failed", "ended with code 3: Error: out of luck"),
        ("hangs", "timeout", "longer than 1 s"),
        ("reads nothing", "engine_failed", "read 0 of 12 faces"),
        ("writes nothing", "engine_failed", "wrote no file"),
        ("writes half", "bad_binvox", "no line `data`"),
    ],
)
def test_every_failure_of_the_program_is_a_typed_rejection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str, detail: str
) -> None:
    install(tmp_path / "bin", monkeypatch, how)
    with pytest.raises(Reject, match=detail) as caught:
        engine("binvox", seconds=1 if how == "hangs" else 60).voxelize(*box(), Options())
    assert caught.value.reason == reason


def test_a_display_is_asked_for_only_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch, xvfb=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UserError, match="needs an X display") as caught:
        engine("binvox").voxelize(*box(), Options())
    assert "install xvfb" in str(caught.value)
    assert engine("binvox").voxelize(*box(), Options(mode="exact")).grid.any()
    with pytest.raises(UserError, match="has no such mode"):
        engine("binvox").voxelize(*box(), Options(mode="flood"))


def test_a_missing_engine_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="engine `binvox` is not installed") as caught:
        engine("binvox")
    assert "patrickmin.com" in str(caught.value)
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(UserError, match="engine `open3d` does not load") as caught:
        engine("open3d")
    assert "pip install open3d" in str(caught.value)
    with pytest.raises(UserError, match="unknown engine"):
        engine("magic")


@pytest.fixture(scope="module")
def open3d() -> Engine:
    try:
        return engine("open3d")
    except UserError as error:
        pytest.skip(f"Open3D does not load here: {error.what}")


# Where a system library is missing, Open3D's half-made objects complain when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mode", ["carve", "vote", "binvox", "robust", "exact", "flood"])
def test_open3d_agrees(open3d: Engine, mode: str) -> None:
    vertices, faces = joined(torus(), sphere(0.2, 20, (0.2, 0.2, 0.1)))
    turn = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    options = Options(mode=mode, box=UNIT_BOX_BOUNDS)
    ours = voxelize(vertices @ turn.T, faces, options)
    theirs = open3d.voxelize(vertices @ turn.T, faces, options)
    assert iou(ours.grid, theirs.grid) > (0.9 if mode == "exact" else 0.99)
    assert theirs.frame == ours.frame
