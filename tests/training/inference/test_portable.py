"""reconstruct.py of an exported folder: without torch and without this project, and the same shape."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

from pipeline.conventions import Array
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.surface import level_surface
from pipeline.seeds import generator
from tests.conftest import optional
from tests.training.tiny_world import row, settings
from training.command.train import main
from training.inference import reconstruct
from training.inference.export import export
from training.inference.model import Model, load_model
from training.inference.photograph import read_photo
from training.loop import training_loop
from training.parallel import choose_device

portable = optional("training.inference.portable")  # onnxruntime is a development package

# What a machine without torch and without this project says when they are imported.
BLOCKED = """
import importlib.abc, runpy, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""
ABSENT = ("torch", "pipeline", "training", "voxelize", "render", "report", "scipy", "skimage", "safetensors", "trimesh")


def reconstructed(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What the folder's own script says in a process that can import neither torch nor the project."""
    command = [sys.executable, "-c", BLOCKED.format(names=ABSENT), folder / "reconstruct.py", *arguments]
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(model, folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Wide, with soft transparency, and to be turned as its EXIF says."""
    pixels = np.pad(row(3)["images"][0], ((0, 0), (0, 17), (0, 0)), mode="linear_ramp")
    alpha = np.tile(np.linspace(0, 255, pixels.shape[1]).astype(np.uint8), (len(pixels), 1))
    picture, exif = Image.fromarray(np.dstack([pixels, alpha])), Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "photo.png", exif=exif)
    mask = np.zeros(pixels.shape[1::-1], np.uint8)
    mask[4:40, 3:25] = 1
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "photo.png"


def test_the_script_gives_what_the_project_gives(exported: Path, run: Path, photo: Path, tmp_path: Path) -> None:
    extra = ["--crop", "2", "5", "30", "37", "--mask", str(tmp_path / "mask.png")]
    done = reconstructed(exported, photo, *extra, "-o", tmp_path / "theirs.npy")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert main(["reconstruct", str(photo), *extra, "--run", str(run), "-o", str(tmp_path / "ours.npy")]) == 0
    theirs, ours = np.load(tmp_path / "theirs.npy"), np.load(tmp_path / "ours.npy")
    assert np.abs(theirs.astype(int) - ours).max() <= 1 and (theirs != ours).mean() < 0.01  # another order of additions


def test_the_pictures_are_the_same_to_the_last_bit(exported: Path, photo: Path) -> None:
    mask = {"mask": photo.with_name("mask.png")}
    choices: list[dict[str, Any]] = [{}, {"crop": (2, 5, 30, 37)}, mask]
    for options in [*choices, *({**one, "at_object": True} for one in [*choices, {**choices[1], **mask}])]:
        np.testing.assert_array_equal(portable.read_photo(photo, 32, **options), read_photo(photo, 32, **options))


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_several_photographs_are_joined_as_the_project_joins_them(pooling: str, boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(samples=8, views_per_shape=3, pooling=pooling), tmp_path / "run", [boxes])
    model = load_model(tmp_path / "run", choose_device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(model, tmp_path / "out")
    photos = [row(3)["images"][0], row(5)["images"][1]]
    theirs = portable.occupancy(tmp_path / "out", photos).reshape(-1)
    assert np.abs(theirs.astype(int) - reconstruct.reconstruct(model, photos)).max() <= 1


def test_the_surface_in_the_file_is_closed(exported: Path, photo: Path, tmp_path: Path) -> None:
    done = reconstructed(exported, photo, "--threshold", "0.1", "-o", tmp_path / "shape.obj")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (tmp_path / "shape.obj").read_text(encoding="ascii").splitlines()]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    faces = np.array([line[1:] for line in lines if line[0] == "f"], int) - 1
    assert_closed(faces)
    assert 0.2 < np.abs(vertices).max() < 0.5 + 0.5 / 16  # a surface ends before the centres of voxels outside


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.png"], "No such file or directory: 'none.png'"),
        (["photo.png", "--crop", "0", "0", "0", "9"], "a crop within 32 x 49 pixels is wanted"),
        (["photo.png", "--threshold", "1"], "the shape is empty above 1.00"),
        (["photo.png", "photo.png"], "takes 1 photographs of one object, not 2"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(
    arguments: Sequence[str], said: str, exported: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(photo) if word == "photo.png" else word for word in arguments]
    assert portable.main([*named, "--model", str(exported), "-o", str(photo.with_name("x.obj"))]) == 1
    assert said in capsys.readouterr().err and not photo.with_name("x.obj").exists()


@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 255))
def test_the_surface_of_any_field_is_closed_and_encloses_what_is_inside(seed: int, side: int, level: int) -> None:
    levels = generator(seed, "field").integers(0, 256, (side,) * 3).astype(np.uint8)
    vertices, faces = portable.surface(levels, level - 0.5)
    if (levels >= level).any():
        assert_closed(faces)
        assert 0 < volume(vertices, faces) <= (1 + 1 / side) ** 3
    else:
        assert len(faces) == 0


def test_the_surface_is_the_projects_own_where_that_is_unambiguous() -> None:
    centres = (np.arange(24) + 0.5) / 24 - 0.5
    x, y, z = np.meshgrid(centres, centres, centres, indexing="ij")
    levels = np.clip(128 + 700 * (0.35 - np.sqrt(x**2 + y**2 + (2 * z) ** 2)), 0, 255).astype(np.uint8)
    ours = level_surface(levels.astype(np.float64), 99.5)
    vertices, faces = portable.surface(levels, 99.5)
    assert volume(vertices, faces) == pytest.approx(volume(ours.vertices, ours.faces), rel=0.01)
    assert cKDTree(vertices).query(ours.vertices)[0].max() < 0.01 / 24  # ours are a hair off


def assert_closed(faces: Array) -> None:
    """Every edge belongs to two faces, which run along it in opposite directions."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {tuple(edge) for edge in edges.tolist()}
    assert len(there) == len(edges) > 0 and {(b, a) for a, b in there} == there


def volume(vertices: Array, faces: Array) -> float:
    """Positive where faces are seen from outside."""
    mesh = Mesh(vertices, faces)
    return (
        float(np.einsum("ij,ij->i", mesh.triangles[:, 0], np.cross(mesh.triangles[:, 1], mesh.triangles[:, 2])).sum())
        / 6
    )
