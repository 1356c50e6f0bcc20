"""The gallery in a real browser: what it asks for, draws, finds and remembers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.agreement import Permutation, turned
from pipeline.camera import look_at_origin, project
from pipeline.conventions import pack_grid
from pipeline.seeds import generator
from pipeline.shards import open_shard
from pipeline.surface import surface_of
from report.gallery import build, geometry
from tests.report.browser import Browser, Page
from tests.report.gallery_world import HOSTILE, SPLITS, Made, chairs, furniture, make_gallery, make_run, painted

MIRRORED: Permutation = ((0, 1, 2), (-1, 1, 1))
needs_bundle = pytest.mark.skipif(
    not build.BUNDLE.exists(), reason="the 3D bundle is not made (make setup makes it where npm is)"
)
VISIBLE = "[...document.querySelectorAll('#grid .card')].map((card) => card.dataset.key)"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 14 shapes, one of them with a fault."""
    shapes = chairs(14)
    shapes[3].facts = {"thin_recall": 0.5}
    root = make_run(tmp_path_factory.mktemp("run"), shapes, per_shard=7)
    make_gallery(root)
    return root


@pytest.fixture
def page(root: Path, browser: Browser) -> Iterator[Page]:
    """The page, freshly loaded; nothing may have gone wrong when the test ends."""
    opened = browser.open(gallery_of(root))
    yield opened
    assert opened.problems == []
    assert opened.requests == [gallery_of(root).as_uri()], "one request: the page itself"


def gallery_of(root: Path) -> Path:
    return root / "samples" / "demo" / "gallery.html"


def open_shape(page: Page, key: str) -> None:
    page.run(f"go({{ shape: {json.dumps(key)} }}, true)")
    page.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(key)}")


def fragment(page: Page) -> str:
    return str(page.run("decodeURIComponent(location.hash)"))


# ---- the sheets ----------------------------------------------------------------------------


def test_fourteen_shapes_are_small_and_ask_for_nothing(page: Page, root: Path) -> None:
    assert gallery_of(root).stat().st_size < 1_500_000
    assert page.run("document.querySelectorAll('#grid .card').length") == 14
    assert (
        page.run("Promise.all([...document.images].map((image) => image.decode().then(() => image.naturalWidth)))")
        == [256] * 14
    )
    assert page.run("document.getElementById('count').textContent") == "14 of 14 shapes"


def test_filters_search_and_order(page: Page) -> None:
    def choose(name: str, value: str) -> list[str]:
        page.run(f"""(() => {{ const field = document.getElementById({json.dumps(name)});
            field.value = {json.dumps(value)}; field.dispatchEvent(new Event("input", {{ bubbles: true }})); }})()""")
        return list(page.run(VISIBLE))

    assert all(key.startswith("stool/") for key in choose("category", "stool")) and len(page.run(VISIBLE)) == 7
    assert choose("split", "test") == [f"stool/shape_{n:04d}" for n in (3, 7, 11)] or len(page.run(VISIBLE)) == 3
    assert set(page.run(VISIBLE)) == {f"stool/shape_{n:04d}" for n in range(14) if n % 2 and SPLITS[n % 4] == "test"}
    assert fragment(page) == "#category=stool&split=test"
    assert choose("flag", "thin") == ["stool/shape_0003"]
    page.run("document.getElementById('clear').click()")
    assert len(page.run(VISIBLE)) == 14 and fragment(page) == ""
    assert choose("q", "STOOL 05") == ["stool/shape_0005"]
    assert choose("q", "nothing like it") == [] and page.run("!document.getElementById('nothing').hidden")
    choose("q", "")
    facts = {shape["key"]: shape for shape in page.run("meta.shapes")}
    for order, value, sign in (("", "iou", 1), ("sparse", "occupancy", 1), ("dense", "occupancy", -1),
                               ("few", "faces", 1), ("many", "faces", -1)):  # fmt: skip
        found = [sign * facts[key][value] for key in choose("order", order)]
        assert found == sorted(found) and len(set(found)) > 5, order
    names = choose("order", "name")
    assert names == sorted(names) and page.run("document.getElementById('count').textContent") == "14 of 14 shapes"


def test_keys(page: Page) -> None:
    focused = "document.activeElement.closest('.card')?.dataset.key ?? document.activeElement.id"
    shown = page.run(VISIBLE)
    page.key("ArrowDown")
    assert page.run(focused) == shown[0]
    page.key("ArrowRight", "ArrowRight")
    assert page.run(focused) == shown[2]
    across = page.run("visible.findIndex((shape) => cardOf(shape).offsetTop > cardOf(visible[0]).offsetTop)")
    assert across > 1
    page.key("ArrowDown")
    assert page.run(focused) == shown[2 + across]
    page.key("ArrowUp", "ArrowLeft")
    assert page.run(focused) == shown[1]
    page.key("End")
    assert page.run(focused) == shown[-1]
    page.key("Home", "Enter")
    page.wait("document.getElementById('shape').open")
    assert fragment(page) == f"#shape={shown[0]}"
    page.key("ArrowRight")
    assert fragment(page) == f"#shape={shown[1]}" and page.run("document.getElementById('shape').open")
    page.key("Escape")
    page.wait("!document.getElementById('shape').open && !location.hash")
    assert page.run(focused) == shown[1], "back on the card that was open"
    page.key("/")
    assert page.run(focused) == "q"
    page.type("0005")
    page.wait(f"{VISIBLE}.length === 1")
    page.key("Escape")
    page.wait(f"{VISIBLE}.length === 14")
    page.key("Escape", "?")
    assert page.run("document.getElementById('help').open")
    page.key("Escape")
    page.key("t")
    assert page.run("document.documentElement.dataset.theme") == "dark"
    page.key("t")
    assert page.run("document.documentElement.dataset.theme") == "light"


def test_addresses_say_what_is_shown(root: Path, browser: Browser) -> None:
    deep = "#shape=stool%2Fshape_0003&category=stool&order=many&q=shape"
    page = browser.open(gallery_of(root), fragment=deep)
    page.wait("document.getElementById('shape').dataset.ready === 'stool/shape_0003'")
    assert page.run("document.getElementById('shape-name').textContent") == "shape_0003"
    assert "thin parts lost" in page.run("document.getElementById('shape-flags').textContent")
    assert page.run("['category', 'order', 'q'].map((id) => document.getElementById(id).value)") == [
        "stool", "many", "shape"]  # fmt: skip
    assert len(page.run(VISIBLE)) == 7
    page.run("document.getElementById('close').click()")
    page.wait("!document.getElementById('shape').open && !/[#&]shape=/.test(location.hash)")
    assert fragment(page) == "#q=shape&category=stool&order=many"
    open_shape(page, "stool/shape_0005")
    page.run("history.back()")
    page.wait("!document.getElementById('shape').open && !/[#&]shape=/.test(location.hash)")
    assert fragment(page) == "#q=shape&category=stool&order=many"
    page.run("location.hash = '#shape=no/such'")
    assert not page.run("document.getElementById('shape').open") and len(page.run(VISIBLE)) == 14
    page.run("location.hash = '#funnel'")
    assert len(page.run(VISIBLE)) == 14 and page.problems == []


def test_without_javascript_the_sheets_are_there(root: Path, browser: Browser) -> None:
    page = browser.open(gallery_of(root), scripts=False)
    assert page.problems == [] and page.requests == [gallery_of(root).as_uri()]
    pixels = page.picture(whole=True)
    with_scripts = browser.open(gallery_of(root)).picture()
    assert page.run("getComputedStyle(document.getElementById('tools')).display") == "none"
    assert page.run("document.querySelector('noscript').textContent.includes('Without JavaScript')")
    x, y, width, height = page.run("""(() => { const box = document.querySelector("#grid img").getBoundingClientRect();
        return [box.x, box.y, box.width, box.height].map(Math.round); })()""")
    sheet = pixels[y : y + height, x : x + width].reshape(-1, 3)
    assert len(np.unique(sheet // 8, axis=0)) > 200, "a picture, not an empty box"
    assert with_scripts.shape[1] == pixels.shape[1]


def test_light_dark_and_narrow(root: Path, browser: Browser) -> None:
    light, dark = (browser.open(gallery_of(root), dark=dark) for dark in (False, True))
    assert light.picture().mean() > 150 > 90 > dark.picture()[:, :200].mean()
    for page in (light, dark):
        for ink in ("ink", "soft", "bad", "accent", "good"):
            for paper in ("card", "page"):
                assert page.run(CONTRAST % (ink, paper)) >= 4.5, (ink, paper)
    for width in (320, 390, 800):
        light.resize(width, 800)
        assert light.run("document.documentElement.scrollWidth") <= width
        open_shape(light, "chair/shape_0002")
        assert light.run("document.getElementById('shape').scrollWidth <= document.getElementById('shape').clientWidth")
        light.run("document.getElementById('close').click()")
    assert light.problems == dark.problems == []


# Contrast of two of the page's colours.  https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
CONTRAST = """(() => {
    const light = (name) => {
        const pen = new OffscreenCanvas(1, 1).getContext("2d");
        pen.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [a, b] = [light("%s"), light("%s")];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})()"""


def test_everything_has_a_name_for_those_who_cannot_see_it(page: Page) -> None:
    open_shape(page, "chair/shape_0000")
    assert page.run("[...document.images].filter((image) => !image.alt).length") == 0
    assert (
        page.run("""[...document.querySelectorAll("button, input, select, canvas[tabindex]")].filter((one) =>
        !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.[0]?.textContent.trim())).length""")
        == 0
    )
    page.run("document.getElementById('close').click()")
    assert page.run("document.querySelectorAll('#grid a[tabindex=\"0\"]').length") == 1, "one stop of the Tab key"


def test_the_focus_is_seen(page: Page) -> None:
    stops = 0
    while not page.run("document.activeElement.closest('.card') !== null"):
        page.key("Tab")
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        stops += 1
        assert stops < 20, "the heading's links, the tools, then the shapes"


@pytest.mark.parametrize("inline", [300, 0])
def test_hostile_names_stay_text(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch, inline: int
) -> None:
    monkeypatch.setattr(build, "INLINE", inline)
    name = HOSTILE.replace("/", "|")
    root = make_run(tmp_path, [Made(name, facts={"mode": HOSTILE}), Made("plain", grid=furniture(1))])
    page = browser.open(make_gallery(root))
    open_shape(page, f"chair/{name}")
    assert page.run("document.getElementById('shape-name').textContent") == name
    assert HOSTILE in page.run("document.getElementById('facts').textContent")
    assert name in page.run("document.getElementById('grid').textContent")
    assert page.run("document.querySelectorAll('[onerror]').length") == 0
    assert page.problems == []
    again = browser.open(gallery_of(root), fragment=page.run("location.hash"))
    again.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(f'chair/{name}')}")
    assert again.problems == []


# ---- voxels over views ---------------------------------------------------------------------


def cameras(count: int) -> list[dict[str, Any]]:
    """Cameras with different focal lengths, centres and poses."""
    rng = generator(6, "cameras")
    found = []
    for _ in range(count):
        fx, fy, cx, cy = rng.uniform((50, 50, 20, 20), (90, 90, 40, 40))
        pose = look_at_origin(*(float(value) for value in rng.uniform((0, -60, 1, -30), (360, 60, 3, 30))))
        found.append({"K": np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), "pose": pose})
    return found


def for_page(camera: dict[str, Any]) -> dict[str, Any]:
    K = camera["K"]
    return {"K": [K[0, 0], K[1, 1], K[0, 2], K[1, 2]], "pose": camera["pose"][:3].reshape(-1).tolist()}


def test_points_are_projected_as_the_pipeline_does(page: Page) -> None:
    points = generator(6, "points").uniform(-0.5, 0.5, (200, 3))
    for camera in cameras(12):
        pixels, depth = project(points, camera["K"], camera["pose"])
        found = page.run(f"[...project({json.dumps(points.reshape(-1).tolist())}, {json.dumps(for_page(camera))})]")
        assert np.allclose(np.reshape(found, (-1, 3)), np.column_stack([pixels, depth]), rtol=0, atol=1e-9)


def test_the_overlay_lies_on_the_shape(page: Page, root: Path) -> None:
    """What is painted over a stored view is what the view's alpha covers, and not where the mirrored shape would be."""
    with open_shard(root / "shards" / "demo" / "001.h5") as shard:
        record, alphas = shard.records[2], shard.array("alpha")[2] > 0
    open_shape(page, record.key)
    mirrored = turned(furniture(int(record.name[-2:])), MIRRORED).astype(int).reshape(-1).tolist()
    found = []
    for view in range(8):
        found.append([iou(np.reshape(mask, (64, 64)), alphas[view]) for mask in page.run(MASKS % (mirrored, view))])
    right, wrong = np.transpose(found)
    assert right.min() > 0.95
    assert wrong.mean() < 0.85, "from some sides a mirrored chair looks much the same, but not from most"


# The pixels of view %d that the voxels of the open shape cover, and those that another grid would.
MASKS = """(() => [opened.grid, %s].map((grid) => {
    const pen = new OffscreenCanvas(64, 64).getContext("2d");
    paintVoxels(pen, grid, 32, opened.detail.cameras[%d], 1, [255, 0, 0]);
    return [...pen.getImageData(0, 0, 64, 64).data].filter((_, at) => at %% 4 === 3).map((a) => a > 127);
}))()"""


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_slider_lays_the_voxels_over_the_picture(page: Page) -> None:
    open_shape(page, "chair/shape_0004")
    bare, half, full = (np.array(page.run(OVERLAY % opacity)) for opacity in (0, 0.5, 1))
    changed = np.abs(full - bare).max(axis=1) > 30
    assert 0.03 < changed.mean() < 0.6
    assert np.abs(half - (bare + full) / 2).max() < 6, "half as strong is half way"
    page.run("document.querySelectorAll('#tiles button')[3].click()")
    assert "view 3: azimuth" in page.run("document.getElementById('camera-line').textContent")
    assert page.run("document.querySelectorAll('#tiles [aria-pressed=true]').length") == 1
    assert np.abs(np.array(page.run(OVERLAY % 0)) - bare).mean() > 5, "another view"


OVERLAY = """(() => {
    const slider = document.getElementById("opacity"), canvas = document.getElementById("overlay");
    slider.value = %s;
    slider.dispatchEvent(new Event("input"));
    const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    pen.drawImage(canvas, 0, 0);
    const data = pen.getImageData(0, 0, canvas.width, canvas.height).data, rows = [];
    for (let at = 0; at < data.length; at += 4 * 61) rows.push([data[at], data[at + 1], data[at + 2]]);
    return rows;
})()"""


def test_meshes_and_voxels_arrive_as_they_were_sent(page: Page) -> None:
    drawn = geometry.drawable(painted(surface_of(furniture(5)), (12, 34, 56)), 900)
    found = page.run(f"""unpackMesh({json.dumps(geometry.pack_mesh(drawn))}).then((mesh) =>
        [[...mesh.positions], [...mesh.faces], [...mesh.palette], [...mesh.places]])""")
    assert np.allclose(np.reshape(found[0], (-1, 3)), drawn.vertices, atol=1e-6)
    assert np.array_equal(np.reshape(found[1], (-1, 3)), drawn.faces)
    assert found[2] == [12, 34, 56] and found[3] == [0] * len(drawn.faces)
    grid = furniture(5)
    sent = json.dumps(geometry.pack_voxels(pack_grid(grid)))
    voxels = page.run(f"unpackVoxels({sent}, 32).then((grid) => [...grid])")
    assert np.array_equal(np.reshape(voxels, (32, 32, 32)), grid)


# ---- 3D ------------------------------------------------------------------------------------

# How many pixels are drawn, left and right: of a colour (shape), or at all.
DRAWN = """(() => {
    const scene = opened.scene, canvas = scene.canvas, gl = scene.renderer.getContext();
    scene.draw();
    const pixels = new Uint8Array(4 * canvas.width * canvas.height);
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    const rows = [];
    for (let y = 0; y < canvas.height; y++) {
        const row = [];
        for (let x = 0; x < canvas.width; x++) row.push(pixels[4 * (y * canvas.width + x) + 3] > 0 ? 1 : 0);
        rows.push(row.join(""));
    }
    return rows;
})()"""


def drawn(page: Page) -> npt.NDArray[np.bool_]:
    """(H, W) what the 3D canvas shows, bottom row first."""
    return np.array([[sign == "1" for sign in row] for row in page.run(DRAWN)])


def halves(page: Page) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    seen = drawn(page)
    half = seen.shape[1] // 2
    return seen[:, :half], seen[:, half : 2 * half]


@needs_bundle
def test_mesh_and_voxels_are_drawn_side_by_side_and_turn_together(page: Page) -> None:
    open_shape(page, "chair/shape_0000")
    mesh, voxels = halves(page)
    assert mesh.mean() > 0.02 and voxels.mean() > 0.02
    assert iou(mesh, voxels) > 0.6, "the same shape from the same camera, with the same axes"
    box = page.run(
        "(() => { const b = byId('scene').getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    start = (box[0] + box[2] * 0.25, box[1] + box[3] / 2)
    page.drag(start, (start[0] + 120, start[1] + 30))
    azimuth, elevation = page.run("[opened.scene.orbit.azimuth, opened.scene.orbit.elevation]")
    assert azimuth == pytest.approx(335) and elevation == pytest.approx(40)
    other_mesh, other_voxels = halves(page)
    assert iou(mesh, other_mesh) < 0.6 and iou(other_mesh, other_voxels) > 0.6
    page.run("byId('scene').focus()")
    page.key("ArrowLeft", "+")
    assert page.run("opened.scene.orbit.azimuth") == pytest.approx(342.5)
    assert page.run("opened.scene.orbit.distance") < 3.2
    assert fragment(page) == "#shape=chair/shape_0000", "the arrows turned the shape, not the page"


@needs_bundle
def test_the_3d_camera_stands_where_the_view_was_taken(page: Page, root: Path) -> None:
    with open_shard(root / "shards" / "demo" / "000.h5") as shard:
        poses = shard.array("camera_to_world")[0]
        key = shard.records[0].key
    open_shape(page, key)
    for view in (0, 3, 6):
        page.run(f"showView({view}); byId('from-view').click()")
        place = np.array(page.run("opened.scene.camera.position.toArray()"))
        assert np.allclose(
            place / np.linalg.norm(place), poses[view, :3, 3] / np.linalg.norm(poses[view, :3, 3]), atol=2e-4
        )
    page.run("byId('from-front').click()")
    place = np.array(page.run("opened.scene.camera.position.toArray()"))
    assert np.allclose(place / np.linalg.norm(place), [0, 0, -1], atol=1e-6), "the front is at -z"


@needs_bundle
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_cut_takes_the_same_half_of_both(page: Page, axis: int) -> None:
    open_shape(page, "stool/shape_0001")
    page.run(f"opened.scene.look(40, 20); byId('cut-axis').value = {axis}; byId('cut').value = 32; showCut()")
    whole = halves(page)
    page.run("byId('cut').value = 15; byId('cut').dispatchEvent(new Event('input'))")
    cut = halves(page)
    for before, after in zip(whole, cut):
        assert 0.1 < after.sum() / before.sum() < 0.97
    assert iou(*cut) > 0.55
    kept = page.run(f"""(() => {{ const p = opened.scene.right.children[0].geometry.getAttribute("position");
        return Math.max(...Array.from({{ length: p.count }}, (_, n) => p.getComponent(n, {axis}))); }})()""")
    assert kept == pytest.approx(15 / 32 - 0.5)
    plane = page.run("[...opened.scene.plane.normal.toArray(), opened.scene.plane.constant]")
    assert plane == pytest.approx([*(-np.eye(3)[axis]), 15 / 32 - 0.5])


@needs_bundle
def test_narrow_screens_show_voxels_below_the_mesh(root: Path, browser: Browser) -> None:
    page = browser.open(gallery_of(root), width=390, height=900)
    open_shape(page, "chair/shape_0000")
    seen = drawn(page)
    half = seen.shape[0] // 2
    assert seen.shape[0] > seen.shape[1] and iou(seen[:half], seen[half : 2 * half]) > 0.6
    assert page.problems == []


@needs_bundle
def test_without_webgl_everything_else_is_there(root: Path, browser: Browser) -> None:
    page = browser.open(gallery_of(root))
    page.run("""(() => { const kind = HTMLCanvasElement.prototype, old = kind.getContext;
        kind.getContext = function (name, ...more) {
            return name.startsWith("webgl") ? null : old.call(this, name, ...more); }; })()""")
    open_shape(page, "chair/shape_0000")
    assert "This browser cannot draw in 3D" in page.run("document.getElementById('no-scene').textContent")
    assert page.run("document.querySelectorAll('#facts tr').length") > 4
    open_shape(page, "chair/shape_0002")
    assert all("WebGL" in problem for problem in page.problems)


def test_without_the_bundle_a_line_says_how_to_get_3d(
    root: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BUNDLE", tmp_path / "none.js")
    copy = tmp_path / "run"
    shutil.copytree(root, copy)
    page = browser.open(make_gallery(copy))
    open_shape(page, "chair/shape_0000")
    assert "make setup" in page.run("document.getElementById('no-scene').textContent")
    assert page.run("document.querySelector('.scene-box').hidden")
    bare, full = (np.array(page.run(OVERLAY % opacity)) for opacity in (0, 1))
    assert np.abs(full - bare).max() > 30, "the overlay needs no 3D"
    assert page.problems == [] and gallery_of(copy).stat().st_size < gallery_of(root).stat().st_size


# ---- many shapes ---------------------------------------------------------------------------


def test_chunks_load_when_they_are_looked_at(tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "INLINE", 6)
    monkeypatch.setattr(build, "CHUNK", 3)
    root = make_run(tmp_path, chairs(14))
    page = browser.open(make_gallery(root), width=500, height=300)
    chunks = [path.as_uri() for path in sorted((root / "samples" / "demo" / "gallery-data").iterdir())]
    assert len(chunks) == 3
    assert page.run("document.querySelectorAll('#grid .card').length") == 14
    assert chunks[2] not in page.requests, "nobody has looked at the last ones"
    page.key("ArrowDown", "End")
    page.wait("document.querySelector('#grid .card:last-child img').naturalWidth === 256")
    assert chunks[2] in page.requests
    key = page.run(VISIBLE)[-1]
    page.key("Enter")
    page.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(key)}")
    assert set(page.requests) <= {gallery_of(root).as_uri(), *chunks} and len(set(page.requests)) == len(page.requests)
    assert page.problems == []


def test_a_page_without_its_chunks_says_what_is_missing(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "INLINE", 2)
    root = make_run(tmp_path, chairs(3))
    page_path = make_gallery(root)
    shutil.rmtree(page_path.parent / "gallery-data")
    page = browser.open(page_path)
    last = page.run("meta.shapes[2].key")
    page.run(f"go({{ shape: {json.dumps(last)} }})")
    page.wait(
        "document.getElementById('shape-line').textContent.includes('gallery-data/000.js is not beside this page')"
    )
    page.run("document.getElementById('close').click()")
    open_shape(page, page.run("meta.shapes[0].key"))
    assert all("000.js" in problem or "ERR_FILE_NOT_FOUND" in problem for problem in page.problems)


def test_five_hundred_shapes(tmp_path: Path, browser: Browser, record_property: Any) -> None:
    root = make_run(tmp_path, chairs(500))
    path = make_gallery(root)
    size = path.stat().st_size + sum(file.stat().st_size for file in (path.parent / "gallery-data").iterdir())
    assert size < 15_000_000
    times = []
    for _ in range(3):
        page = browser.open(path)
        times.append(page.run("performance.getEntriesByName('usable')[0].startTime"))
        assert page.run(f"{VISIBLE}.length") == 500
        page.key("/")
        page.type("stool")
        page.wait(f"{VISIBLE}.length === 250")
        assert page.problems == []
    record_property("usable_ms", min(times))
    print(f"500 shapes: {size / 1e6:.1f} MB, usable after {min(times):.0f} ms")
    assert min(times) < 3000, "the best of three"
