"""Shapes from a trained network: photographs in, files out, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox
from pipeline.meshes.surface import level_surface
from tests.training.tiny_world import row, settings
from training.command.train import main
from training.inference import reconstruct, shapes
from training.inference.export import Reconstructor, Sampler
from training.inference.model import Model, load_model
from training.inference.photograph import GREY, read_photo
from training.loop import training_loop
from training.metrics.voxels import Levels


@pytest.fixture(scope="module")
def run(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("use")
    training_loop(settings(samples=160, adversarial_every=1, ema=0.0), folder, [boxes])
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(row(3)["images"][0]).save(path)
    return path


def ball(resolution: int = 16, radius: float = 0.3) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Distance to the surface of a ball, positive inside, in unit-box sides."""
    centres = (np.arange(resolution) + 0.5) / resolution - 0.5
    x, y, z = np.meshgrid(centres, centres, centres, indexing="ij")
    return radius - np.sqrt(x**2 + y**2 + z**2)


def test_the_surface_of_a_ball_lies_on_the_ball() -> None:
    mesh = level_surface(ball() + 1.0, 1.0)
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert np.abs(radii - 0.3).max() < 0.01
    normals = np.cross(mesh.triangles[:, 1] - mesh.triangles[:, 0], mesh.triangles[:, 2] - mesh.triangles[:, 0])
    assert (np.einsum("ij,ij->i", normals, mesh.triangles.mean(1)) >= 0).all()


@pytest.mark.parametrize("suffix", shapes.SUFFIXES)
def test_every_format_holds_the_shape(suffix: str, tmp_path: Path) -> None:
    levels = np.clip(128 + 1500 * ball(), 0, 255).astype(np.uint8).reshape(-1)
    path, cut = tmp_path / f"ball{suffix}", shapes.Cut(128)
    shapes.write_shape(path, levels, 16, cut)
    if suffix == ".binvox":
        assert np.array_equal(read_binvox(path.read_bytes()).grid, cut.bits(levels, 16))
    elif suffix == ".npy":
        assert np.array_equal(np.load(path).reshape(-1), levels)
    else:
        trimesh = pytest.importorskip("trimesh")
        mesh = trimesh.load(path, force="mesh")
        mesh.merge_vertices()
        assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.05)


def test_the_largest_part_stays_and_the_rest_goes(tmp_path: Path) -> None:
    levels = np.zeros((16, 16, 16), np.uint8)
    levels[2:9, 2:9, 2:9] = levels[12:14, 12:14, 12:14] = 200
    assert shapes.Cut(128).bits(levels.reshape(-1), 16).sum() == 343 + 8
    cut = shapes.Cut(128, largest=True)
    assert cut.bits(levels.reshape(-1), 16).sum() == 343
    mesh = shapes.mesh_of(levels.reshape(-1), cut.bits(levels.reshape(-1), 16), 16, 128)
    assert mesh.vertices.max() < 0.1


def test_an_empty_shape_and_an_unknown_format_are_named(tmp_path: Path) -> None:
    levels = np.full(16**3, 40, np.uint8)
    with pytest.raises(UserError, match=r"(?s)empty at this threshold.*below 0.16.*lower --threshold"):
        shapes.write_shape(tmp_path / "x.glb", levels, 16, shapes.Cut(128))
    with pytest.raises(UserError, match=r"cannot write such a file"):
        shapes.write_shape(tmp_path / "x.png", levels, 16, shapes.Cut(20))
    assert list(tmp_path.iterdir()) == []


def test_photographs_are_cropped_masked_and_squared(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = (250, 10, 10)
    path, mask = tmp_path / "wide.png", tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    Image.fromarray((pixels[..., 0] > 0).astype(np.uint8) * 255).save(mask)
    assert read_photo(path, 32).shape == (32, 32, 3)
    assert (read_photo(path, 32, crop=(20, 0, 40, 20)) == (250, 10, 10)).all()
    assert (read_photo(path, 32, mask=mask)[:, 0] == GREY).all()
    with pytest.raises(UserError, match="the crop does not lie in the photograph"):
        read_photo(path, 32, crop=(0, 0, 61, 20))
    with pytest.raises(UserError, match="cannot read this picture"):
        read_photo(tmp_path / "none.png", 32)
    Image.fromarray(pixels[:10]).save(mask)
    with pytest.raises(UserError, match="the mask has another size"):
        read_photo(path, 32, mask=mask)


def test_samples_do_not_depend_on_how_many_are_made(run: Path) -> None:
    model = load_model(run / "checkpoints" / "000000160.safetensors", torch.device("cpu"))
    assert np.array_equal(reconstruct.samples(model, 2, 7), reconstruct.samples(model, 3, 7)[:2])
    assert not np.array_equal(reconstruct.samples(model, 1, 7), reconstruct.samples(model, 1, 8))


@pytest.fixture
def other_photo(tmp_path: Path) -> Path:
    path = tmp_path / "other.png"
    Image.fromarray(row(7)["images"][0]).save(path)
    return path


def near(one: Levels, other: Levels) -> bool:
    """Equal but for the rounding to levels of another batch size."""
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= 1


def test_interpolation_ends_at_the_reconstructions(model: Model, photo: Path, other_photo: Path) -> None:
    between = reconstruct.interpolate(model, str(photo), str(other_photo), 5)
    for found, path in ((between[0], photo), (between[-1], other_photo)):
        assert near(found, reconstruct.reconstruct(model, [read_photo(path, 32)]))


def test_interpolation_between_samples_ends_at_those_samples(model: Model) -> None:
    between, made = reconstruct.interpolate(model, "seed:7", "seed:7/2", 3), reconstruct.samples(model, 3, 7)
    assert near(between[0], made[0]) and near(between[-1], made[2])


def test_codes_add_and_subtract(model: Model, photo: Path, other_photo: Path) -> None:
    one, other = str(photo), str(other_photo)
    assert near(
        reconstruct.arithmetic(model, [one, other], [other]),
        reconstruct.reconstruct(model, [read_photo(photo, 32)]),
    )
    assert near(
        reconstruct.arithmetic(model, ["seed:7", "seed:7/1"], ["seed:7/1"]), reconstruct.samples(model, 1, 7)[0]
    )
    for wrong in ("seed:", "seed:x", "seed:1/x"):
        with pytest.raises(UserError, match="this names no code"):
            reconstruct.code_named(model, wrong)


def test_several_photographs_need_a_multi_view_network(model: Model) -> None:
    with pytest.raises(UserError, match="trained on single views"):
        reconstruct.reconstruct(model, [row(3)["images"][0]] * 2)


def test_several_photographs_of_one_object_are_pooled(
    boxes: Path, photo: Path, other_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    training_loop(settings(samples=16, views_per_shape=2, pooling="mean"), folder, [boxes])
    both, out = [str(photo), str(other_photo)], tmp_path / "pooled.npy"
    assert main(["reconstruct", *both, "--run", str(folder), "-o", str(out)]) == 0
    model, photos = load_model(folder, torch.device("cpu")), [read_photo(Path(path), 32) for path in both]
    assert np.array_equal(np.load(out).reshape(-1), reconstruct.reconstruct(model, photos))
    model.networks.double()
    codes = [reconstruct.code_of(model, [one]) for one in photos]
    torch.testing.assert_close(reconstruct.code_of(model, photos), (codes[0] + codes[1]) / 2)
    assert main(["reconstruct", *both, "--mask", str(photo), "--run", str(folder), "-o", str(out)]) == 1
    assert "every photograph needs its mask" in capsys.readouterr().err


def test_the_commands_write_their_files(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    common = ["--run", str(run), "--threshold", "0.2"]
    assert main(["reconstruct", str(photo), *common, "-o", str(out / "box.glb")]) == 0
    assert main(["sample", *common, "--count", "2", "--format", "binvox", "-o", str(out)]) == 0
    assert main(["interpolate", str(photo), str(photo), *common, "--format", "npy", "-o", str(out)]) == 0
    codes = [str(photo), "seed:1", "--minus", "seed:2/1"]
    assert main(["arithmetic", *codes, *common, "-o", str(out / "sum.npy")]) == 0 and (out / "sum.npy").exists()
    with Image.open(out / "grid.png") as grid:  # of the last command: eight interpolations in two rows
        assert grid.size == (4 * (3 * 16 + 4), 2 * (3 * 16 + 4))
    assert (out / "box.glb").exists() and (out / "000.binvox").exists() and (out / "002.npy").exists()
    assert main(["reconstruct", str(photo), "--run", str(tmp_path), "-o", str(out / "x.glb")]) == 1
    assert "this run has no checkpoint" in capsys.readouterr().err
    assert main(["sample", "--run", str(photo), "-o", str(out)]) == 1
    assert "not a whole checkpoint" in capsys.readouterr().err


def test_onnx_graphs_give_what_torch_gives(run: Path, model: Model, tmp_path: Path) -> None:
    source = torch.Generator().manual_seed(1)
    assert_graphs_agree(
        run,
        tmp_path,
        reconstructor=(Reconstructor(model), torch.rand(3, 3, 32, 32, generator=source) * 2 - 1),
        sampler=(Sampler(model), torch.randn(3, 8, generator=source)),
    )
    card = (tmp_path / "README.md").read_text()
    assert "reconstructor.onnx" in card and "(batch, 3, 32, 32)" in card and "box, crate" in card
    assert json.loads((tmp_path / "config.json").read_text())["resolution"] == 16


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_the_onnx_graph_of_several_views_gives_what_a_reconstruction_gives(
    pooling: str, boxes: Path, tmp_path: Path
) -> None:
    """Its noise is part of the graph: the same numbers as in `reconstruct`, each time."""
    training_loop(settings(samples=32, views_per_shape=3, pooling=pooling), tmp_path / "run", [boxes])
    model = load_model(tmp_path / "run", torch.device("cpu"))
    photos = np.stack([row(3)["images"][view % 2] for view in range(3)])
    images = torch.from_numpy(photos).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    found = assert_graphs_agree(tmp_path / "run", tmp_path / "out", reconstructor=(Reconstructor(model), images))
    levels = reconstruct.reconstruct(model, list(photos)).reshape(16, 16, 16)
    np.testing.assert_allclose(found["reconstructor"][0] * 255, levels, atol=0.51)
    assert "3 views of one object" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_of_a_network_that_sees_projections_says_so(boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(samples=16, encoder_input="projections"), tmp_path / "run", [boxes])
    model = load_model(tmp_path / "run", torch.device("cpu"))
    assert_graphs_agree(tmp_path / "run", tmp_path, reconstructor=(Reconstructor(model), torch.zeros(3, 3, 16, 16)))
    assert "(batch, 3, 16, 16) float32 in [-1, 1], the three axis projections" in (tmp_path / "README.md").read_text()


def assert_graphs_agree(
    run: Path, folder: Path, **graphs: tuple[torch.nn.Module, torch.Tensor]
) -> dict[str, npt.NDArray[np.float32]]:
    """Exports `run` and compares each graph with its module; gives what the graphs gave."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is a development package")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["export", "--run", str(run), "-o", str(folder)]) == 0
    found = {}
    for name, (module, example) in graphs.items():
        session = runtime.InferenceSession(str(folder / f"{name}.onnx"))
        (found[name],) = session.run(None, {session.get_inputs()[0].name: example.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found[name], module(example).numpy(), atol=1e-4)  # a level is 4e-3
    return found


def test_an_exported_folder_is_used_like_the_run_it_came_from(run: Path, photo: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["export", "--run", str(run), "-o", str(shared)]) == 0
    for name, source in (("run", run), ("shared", shared)):
        arguments = ["--threshold", "0.2", "-o", str(tmp_path / f"{name}.npy")]
        assert main(["reconstruct", str(photo), "--run", str(source), *arguments]) == 0
    assert (tmp_path / "run.npy").read_bytes() == (tmp_path / "shared.npy").read_bytes()
    one, other = load_model(run, torch.device("cpu")), load_model(shared, torch.device("cpu"))
    assert shapes.threshold_of(one, None) == shapes.threshold_of(other, None)


def test_a_torn_exported_folder_is_named(
    run: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    assert main(["reconstruct", str(photo), "--run", str(torn), "-o", str(tmp_path / "x.glb")]) == 1
    assert "this exported model is not whole" in capsys.readouterr().err
