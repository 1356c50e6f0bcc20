"""The page that runs a network in a browser: its answers are those of the commands, its files are what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from pipeline.errors import UserError
from pipeline.formats.binvox import read_binvox
from pipeline.meshes.frames import to_world
from pipeline.seeds import generator
from tests.report.pages.browser import Browser, Page
from tests.training.tiny_world import settings
from training.browser import page as try_page
from training.command.train import main
from training.data.pictures import normalised
from training.inference.familiar import Familiar
from training.inference.held_out import known_pictures
from training.inference.model import Model, load_model
from training.inference.photograph import read_photo
from training.inference.reconstruct import samples
from training.networks.build import Networks
from training.networks.checkpoint import Header

DEMO = Path(__file__).resolve().parents[3] / "models" / "demo"
CROP = (30, 12, 170, 110)


@pytest.fixture
def model() -> Model:
    return load_model(DEMO, torch.device("cpu"))


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("try") / "try.html"
    assert main(["page", "--run", str(DEMO), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def answered(file: Path, program: Browser) -> Iterator[Page]:
    """The page when it has answered its first picture, for tests that only look; nothing may have gone wrong."""
    opened = program.open(file)
    opened.wait("document.body.dataset.ready && document.body.dataset.answers")
    yield opened
    require_quiet(opened, file)
    program.close_pages()


@pytest.fixture
def page(file: Path, browser: Browser) -> Iterator[Page]:
    """The same, loaded for a test that changes it."""
    opened = browser.open(file)
    opened.wait("document.body.dataset.ready && document.body.dataset.answers")
    yield opened
    require_quiet(opened, file)


def require_quiet(opened: Page, file: Path) -> None:
    assert opened.problems == []
    assert opened.requests == [file.as_uri()], "one request: the page itself"


def probabilities(model: Model, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What `training reconstruct` makes of a picture, before it is rounded to levels."""
    with torch.no_grad():
        images = normalised(torch.from_numpy(picture.copy()))
        return model.networks.answer(images[None, None]).numpy().reshape(-1)


def after(page: Page, code: str) -> None:
    """Do something, and wait for the answer that follows from it."""
    page.run("document.body.dataset.answers = ''")
    page.run(code)
    page.wait("document.body.dataset.answers")


def occupancy(page: Page) -> npt.NDArray[np.float32]:
    return np.array(page.run("[...editor.occupancy]"), np.float32)


def photograph(folder: Path) -> Path:
    """A smooth picture of 200 x 120 pixels, much larger than what the encoder takes."""
    rng = generator(20, "photograph")
    coarse = rng.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((200, 120), Image.Resampling.BICUBIC).save(folder / "photo.png")
    return folder / "photo.png"


def test_the_page_is_one_small_file(file: Path) -> None:
    assert file.stat().st_size < 25e6
    assert "wasm-unsafe-eval" in file.read_text(encoding="utf-8").partition("<title>")[0]


def test_a_held_out_picture_is_answered_when_the_page_opens(answered: Page, model: Model) -> None:
    """In numbers, in words and in 3D."""
    shape = answered.run("editor.known.id")
    with np.load(DEMO / "held-out.npz") as kept:
        picture = kept["image"][kept["id"].tolist().index(shape)]
    assert np.abs(occupancy(answered) - probabilities(model, picture)).max() < 1e-3
    assert "which the network has never seen" in answered.run("byId('said').textContent")
    assert "IoU with the truth 0." in answered.run("byId('threshold-line').textContent")
    left, top, width, height = answered.run(
        "(({ x, y, width, height }) => [x, y, width, height])(byId('scene').getBoundingClientRect())"
    )
    seen = answered.picture()[int(top) : int(top + height), int(left) : int(left + width)]
    third = seen.shape[1] // 3
    for panel in range(3):
        part = seen[:, panel * third : (panel + 1) * third].reshape(-1, 3)
        assert (np.abs(part.astype(int) - part[-1]).sum(1) > 60).mean() > 0.03, "the canvas is empty"


def test_a_cropped_and_masked_photograph_is_answered_as_by_the_command(
    page: Page, model: Model, tmp_path: Path
) -> None:
    """The same picture to the byte, the same answer within 1e-3, the same words about it."""
    path = photograph(tmp_path)
    page.run("document.body.dataset.answers = ''")
    page.choose("#file", path)
    page.wait("document.body.dataset.answers && editor.photo.width === 200")
    after(page, f"setCrop({list(CROP)})")
    # Rub something out with the mouse.
    page.run("document.querySelector('input[value=rub]').click()")
    x, y, width = page.run("(({ x, y, width }) => [x, y, width])(byId('photo').getBoundingClientRect())")
    page.run("document.body.dataset.answers = ''")
    page.drag((x + 0.3 * width, y + 20), (x + 0.5 * width, y + 60))
    page.wait("document.body.dataset.answers")
    cover = np.array(page.run("[...maskOf()]"), np.uint8).reshape(120, 200)
    left, top, right, bottom = CROP
    assert 0.01 < (cover[top:bottom, left:right] == 0).mean() < 0.5
    Image.fromarray(cover).save(tmp_path / "mask.png")

    picture = read_photo(path, 64, crop=CROP, mask=tmp_path / "mask.png")
    assert np.array_equal(np.array(page.run("[...editor.picture]"), np.uint8).reshape(picture.shape), picture)
    assert np.abs(occupancy(page) - probabilities(model, picture)).max() < 1e-3
    # As a network with `crop: alpha` sees it.
    around = read_photo(path, 64, crop=CROP, mask=tmp_path / "mask.png", at_object=True)
    found = page.run("[...encoderPicture(editor.photo, coverOf(), editor.crop, 64, true)]")
    assert np.array_equal(np.array(found, np.uint8).reshape(around.shape), around)
    # With the mirror image, too, whatever this network's setting is, and without.
    for mirrors in (True, False):
        model.networks.coding = replace(model.networks.coding, mirrors=mirrors)
        page.run(f"facts.mirrors = {str(mirrors).lower()}")
        found = page.run("answerTo(editor.picture).then((answer) => [...answer.occupancy])")
        assert np.abs(np.array(found) - probabilities(model, picture)).max() < 1e-3
    known = known_pictures(DEMO)
    assert known is not None
    percentile = Familiar.of(model, known).percentile(model, picture)
    found = page.run("answerTo(editor.picture).then(({ traits }) => percentileOf(traits))")
    assert found == pytest.approx(percentile, abs=1.0)
    assert "unlike those that the network knows" in page.run("byId('said').textContent")


@pytest.mark.parametrize(("width", "height"), [(64, 64), (64, 40), (31, 50), (333, 80), (1, 7)])
def test_pictures_are_scaled_as_pillow_does(answered: Page, tmp_path: Path, width: int, height: int) -> None:
    pixels = generator(21, width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    found = answered.run(
        f"[...resized(Uint8Array.from({json.dumps(pixels.reshape(-1).tolist())}), {width}, {height}, 64)]"
    )
    assert np.array_equal(np.array(found, np.uint8), read_photo(tmp_path / "x.png", 64).reshape(-1))


def test_every_file_holds_the_shape_in_its_own_axes(answered: Page, tmp_path: Path) -> None:
    levels = np.array(answered.run("[...answer.shape.levels]"), np.uint8).reshape(32, 32, 32)
    filled = levels >= int(answered.run("threshold()"))
    reach = np.argwhere(filled)
    low, high = (reach.min(0) + 0.5) / 32 - 0.5, (reach.max(0) + 0.5) / 32 - 0.5
    for suffix in ("glb", "obj", "stl", "binvox"):
        data = bytes(answered.run(f"[...fileOf('{suffix}', {{ ...answer.shape, threshold: threshold() }})]"))
        path = tmp_path / f"shape.{suffix}"
        path.write_bytes(data)
        if suffix == "binvox":
            assert np.array_equal(read_binvox(data).grid, filled)
            continue
        points = vertices(path) @ to_world(f".{suffix}").T
        assert np.abs(points.min(0) - low).max() < 1 / 32 and np.abs(points.max(0) - high).max() < 1 / 32


def vertices(path: Path) -> Any:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.load(path, force="mesh")
    mesh.merge_vertices()
    assert mesh.is_winding_consistent and mesh.volume > 0, "inside out, or mirrored"
    return mesh.vertices


def test_codes_of_the_prior_are_drawn_mixed_and_moved(page: Page, model: Model) -> None:
    """The first twelve are those of `sample --seed 1`; the tab is opened with the keyboard."""
    page.run("byId('tab-picture').focus()")
    page.key("ArrowRight")
    page.wait("byId('samples').dataset.ready")
    wanted = samples(model, 12, 1)
    for number in (0, 11):
        found = page.run(f"generate(prior.samples[{number}].code, facts.source).then((out) => [...levelsOf(out)])")
        assert np.abs(np.array(found) - wanted[number]).max() <= 1
    assert np.abs(np.array(page.run("[...answer.shape.levels]")) - wanted[0]).max() <= 1
    # To the second shape, then along an axis.
    for slider in ("byId('mix')", "document.querySelector('#axes input')"):
        before = page.run("[...mixedCode().code]")
        drawn = page.run("Number(byId('scene').dataset.drawn)")
        page.run(f"{slider}.focus()")
        page.key("End")
        page.wait(f"Number(byId('scene').dataset.drawn) > {drawn}")
        assert not np.allclose(page.run("[...mixedCode().code]"), before)
    moved = np.array(page.run("[...mixedCode().code]")) - page.run("[...prior.samples[1].code]")
    assert np.allclose(moved, 4 * np.array(page.run("[...prior.axes[0]]")), atol=1e-5)
    page.run("byId('others').click()")
    assert page.wait("prior.samples[0].code !== prior.first[0] && prior.samples.length") == 12


def test_the_rectangle_and_the_threshold_obey_the_keyboard(page: Page) -> None:
    after(page, "setCrop([10, 10, 40, 40])")
    page.run("byId('photo').focus()")
    page.key("ArrowRight", "ArrowDown")
    assert page.run("editor.crop") == [11, 11, 41, 41]
    page.run("byId('threshold').focus()")
    before = page.run("byId('threshold-line').textContent")
    page.key("ArrowRight", "ArrowRight")
    assert page.run("threshold()") == page.run("facts.threshold") + 2
    assert page.run("byId('threshold-line').textContent") != before


def test_what_is_no_picture_is_refused_in_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    page.choose("#file", tmp_path / "notes.txt")
    page.wait("byId('said').textContent.includes('is no picture that this browser reads')")
    page.run("(setCrop([0, 0, 64, 64]), editor.own = new Uint8Array(64 * 64), reconstruct())")
    page.wait("byId('said').textContent.includes('Nothing of the photograph is left')")


# ---- pages of other networks, without a browser ------------------------------------------------


def untrained(**changed: Any) -> Model:
    made = settings(**changed)
    header = Header("0" * 12, made.model_dump(mode="json"), 32, 32, ["box"], 0, {})
    networks = Networks(made, size_px=32, resolution=32)
    return Model(Path("x"), header, made, networks.requires_grad_(False).eval())


@pytest.mark.parametrize("changed", [{"encoder": "none", "reconstruction_weight": 0}, {"views_per_shape": 3}])
def test_a_network_that_no_single_picture_is_enough_for_only_draws(changed: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "try.html"
    try_page.write_page(untrained(**changed), tmp_path, path)
    text = path.read_text(encoding="utf-8")
    assert 'id="generator"' in text and 'id="encoder"' not in text and 'id="tab-picture"' in text


def test_principal_axes_are_those_of_the_codes(model: Model) -> None:
    known = known_pictures(DEMO)
    assert known is not None
    axes = try_page.principal_axes(model, known)
    lengths = np.linalg.norm(axes, axis=1)
    assert axes.shape == (try_page.AXES, 200) and (np.diff(lengths) <= 0).all()
    assert np.allclose(axes @ axes.T, np.diag(lengths**2), atol=1e-9)


def test_a_missing_bundle_is_named(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(try_page, "REPORT", tmp_path)
    with pytest.raises(UserError, match=r"(?s)a part of the page is missing.*`make bundle`"):
        try_page.write_page(model, DEMO, tmp_path / "try.html")
