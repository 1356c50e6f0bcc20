"""One shape of the gallery in a real browser: its views with the voxels over them, its mesh and voxels in 3D."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.conventions import pack_grid
from pipeline.meshes.orient import Orientation, oriented
from pipeline.meshes.surface import surface_of
from pipeline.pictures.camera import look_at_origin, project
from pipeline.seeds import generator
from pipeline.shards import open_shard
from report.gallery import build, geometry
from report.packed import pack_voxels
from tests.report.gallery_world import furniture, make_gallery, painted
from tests.report.pages.browser import Browser, Page
from tests.report.pages.gallery_page import fragment, gallery_of, needs_bundle, open_shape

MIRRORED: Orientation = ((0, 1, 2), (-1, 1, 1))


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
    mirrored = oriented(furniture(int(record.name[-2:])), MIRRORED).astype(int).reshape(-1).tolist()
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
    sent = json.dumps(pack_voxels(pack_grid(grid)))
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
    kept = page.run(f"""(() => {{ const p = opened.scene.contents[1].children[0].geometry.getAttribute("position");
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
    bundle = build.BUNDLE.stat().st_size if build.BUNDLE.exists() else 0
    monkeypatch.setattr(build, "BUNDLE", tmp_path / "none.js")
    copy = tmp_path / "run"
    shutil.copytree(root, copy)
    page = browser.open(make_gallery(copy))
    open_shape(page, "chair/shape_0000")
    assert "make bundle" in page.run("document.getElementById('no-scene').textContent")
    assert page.run("document.querySelector('.scene-box').hidden")
    bare, full = (np.array(page.run(OVERLAY % opacity)) for opacity in (0, 1))
    assert np.abs(full - bare).max() > 30, "the overlay needs no 3D"
    assert page.problems == [] and gallery_of(root).stat().st_size - gallery_of(copy).stat().st_size >= bundle
