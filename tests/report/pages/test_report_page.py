"""report.html in a browser: hostile text stays text, shapes turn, sliders and maps obey mouse and keys."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report import gather
from report.gallery import build
from report.glance import typical_rows
from tests.report.gallery_world import HOSTILE
from tests.report.pages.browser import Browser
from tests.report.report_world import make_data, make_experiment, make_page, two_experiments


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two experiments, one of them without an encoder."""
    return two_experiments(tmp_path_factory.mktemp("run"))


def test_hostile_names_stay_text(tmp_path: Path, browser: Browser) -> None:
    root = make_data(tmp_path, hostile=True)
    make_experiment(root, "full", hostile=True)
    text = make_page(root).read_text(encoding="utf-8")
    assert "<img src=x" not in text and "alert(1)>" not in text and "{{" not in text.replace("{{ 7*7 }}", "")
    seen = browser.open(root / "report.html")
    assert seen.problems == [] and seen.requests == [(root / "report.html").as_uri()]
    assert seen.run("document.querySelectorAll('[onerror]').length") == 0
    assert HOSTILE.split("</script>")[1].split("\u2028")[0] in seen.run("document.body.textContent")


OPENED = "document.getElementById('shape').dataset.ready"


def blue_pixels(page: Any) -> int:
    """Pixels in the colour of an answer, of the whole window."""
    red, _, blue = np.moveaxis(page.picture()[..., :3].astype(int), -1, 0)
    return int((blue > red + 40).sum())


def test_an_answer_opens_in_3d_and_its_threshold_moves(root: Path, browser: Browser) -> None:
    page = browser.open(root / "report.html")
    page.run("document.querySelector('[data-levels]').focus()")
    page.key("Enter")
    page.wait(f"{OPENED} === '0'")
    line = "document.getElementById('threshold-line').textContent"
    caption = page.run("document.querySelector('[data-levels] figcaption').textContent")
    assert page.run("document.getElementById('shape-name').textContent") == caption
    table = gather.arrays(root / "runs" / "full" / "predictions.npz")
    row = typical_rows(table["category"].tolist())[0][0]
    answer, truth = table["levels"][row] >= table["threshold"], np.unpackbits(table["truth"][row]).astype(bool)
    iou = (answer & truth).sum() / (answer | truth).sum()
    assert page.run(line).endswith(f"(the chosen one) · IoU of the two {iou:.2f}"), "computed from the packed voxels"
    assert blue_pixels(page) > 500, "the WebGL canvas is not empty"
    counts = page.run("shown.scene.contents.map((panel) => panel.children[0].geometry.getIndex().count)")
    assert len(counts) == 3 and min(counts) > 0, "truth, answer, surface"
    # Every edge of the surface has a neighbour on the other side: it is closed.
    corners = np.array(page.run("[...shown.scene.contents[2].children[0].geometry.getIndex().array]")).reshape(-1, 3)
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    ways, number = np.unique(edges, axis=0, return_counts=True)
    back, other = np.unique(edges[:, ::-1], axis=0, return_counts=True)
    assert np.array_equal(ways, back) and np.array_equal(number, other)
    ious = []
    for step in ("min", "max"):
        page.run(f"document.getElementById('threshold').value = document.getElementById('threshold').{step}")
        page.run("document.getElementById('threshold').dispatchEvent(new Event('input'))")
        ious.append(page.run(line).rpartition(" ")[2])
        assert 0 < float(page.run(line).split(" ")[0]) <= 1
    assert ious[0] != ious[1]
    page.run("document.getElementById('close').focus()")
    page.key("ArrowRight")
    page.wait(f"{OPENED} === '1'")
    page.key("Escape")
    page.wait("!document.getElementById('shape').open")
    page.wait("[...document.querySelectorAll('[data-levels]')].indexOf(document.activeElement) === 1")
    assert page.problems == [] and page.requests == [(root / "report.html").as_uri()]


def test_a_sample_stands_beside_its_nearest_training_shape(root: Path, browser: Browser) -> None:
    page = browser.open(root / "report.html", dark=True, width=420)
    place = page.run(
        "[...document.querySelectorAll('[data-levels]')].findIndex((figure) => figure.classList.contains('pair'))"
    )
    page.run(f"document.querySelectorAll('[data-levels]')[{place}].click()")
    page.wait(f"{OPENED} === '{place}'")
    assert page.run("document.getElementById('first-name').textContent") == "nearest training shape"
    assert page.run("document.getElementById('shape-picture').hidden"), "a sample has no picture"
    assert page.run("document.documentElement.scrollWidth") <= 420 and page.problems == []


def test_a_large_number_stands_on_one_line_of_a_phone(root: Path, browser: Browser) -> None:
    page = browser.open(root / "report.html", width=420)
    lines = page.run("""[...document.querySelectorAll('.large b')].map((number) => {
        const text = document.createRange();
        text.selectNodeContents(number);
        return text.getClientRects().length;
    })""")
    assert set(lines) == {1}


def test_without_the_bundle_the_dialog_says_so(
    root: Path, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BUNDLE", tmp_path / "none.js")
    copy = tmp_path / "run"
    shutil.copytree(root, copy)
    page = browser.open(make_page(copy))
    page.run("document.querySelector('[data-levels]').click()")
    page.wait(f"{OPENED} === '0'")
    assert "was absent" in page.run("document.getElementById('no-scene').textContent") and page.problems == []


STRIP = "document.querySelector('#e-full .strip')"
PLACE = f"getComputedStyle({STRIP}).objectPosition"


def test_nothing_is_asked_for_and_nothing_goes_wrong(root: Path, browser: Browser) -> None:
    seen = browser.open(root / "report.html")
    assert seen.problems == [] and seen.requests == [(root / "report.html").as_uri()]
    assert seen.run(
        "[...document.querySelectorAll('main img')].every((one) => one.naturalWidth > 0 || one.loading === 'lazy')"
    )


def test_the_slider_goes_through_the_training_by_keys(root: Path, browser: Browser) -> None:
    seen = browser.open(root / "report.html")
    seen.run("document.querySelector('#e-full .timeline input').focus()")
    said = "document.querySelector('#e-full .timeline output').textContent"
    value = "document.querySelector('#e-full .timeline [data-values]').textContent"
    assert (seen.run(said), seen.run(PLACE)) == ("800 samples seen, validation IoU 0.327", "100% 0px")
    last, pixels = seen.run(value), strip_pixels(seen)
    seen.key("ArrowLeft")
    assert (seen.run(said), seen.run(PLACE)) == ("400 samples seen, validation IoU 0.211", "50% 0px")
    seen.key("Home")
    assert (seen.run(said), seen.run(PLACE)) == ("before training", "0% 0px")
    assert seen.run(value) == "1.00" != last, "the first moment of this world is the truth itself"
    assert (strip_pixels(seen) != pixels).mean() > 0.02, "another shape is seen"
    assert seen.run("document.activeElement.getAttribute('aria-valuetext')") == "before training"
    seen.key("End")
    assert seen.run(value) == last and (strip_pixels(seen) == pixels).all()
    assert seen.run("document.querySelector('#e-prior .timeline output').textContent") == "800 samples seen"
    assert seen.problems == []


def strip_pixels(seen: Any) -> np.ndarray:
    """What is seen of the first strip."""
    x, y, side = seen.run(f"""(() => {{ {STRIP}.scrollIntoView({{ block: "center" }});
        const box = {STRIP}.getBoundingClientRect(); return [box.x, box.y, box.width].map(Math.round); }})()""")
    return np.asarray(seen.picture()[y : y + side, x : x + side])


def test_the_map_switches_and_shows_pictures_by_mouse_and_keys(root: Path, browser: Browser) -> None:
    seen = browser.open(root / "report.html")
    places = "[...document.querySelectorAll('.map use[transform]')].map((one) => one.getAttribute('transform')).join()"
    said = "document.querySelector('.map figcaption').textContent"
    picture = """(() => { const c = document.querySelector(".map canvas");
        return [...c.getContext("2d").getImageData(0, 0, 160, 160).data].reduce((a, b) => a + b, 0); })()"""
    pca = seen.run(places)
    assert seen.run(said) == "no shape chosen"
    seen.run("document.querySelector('.map input').focus()")
    seen.key("ArrowRight")
    assert seen.run("document.querySelector('.map .projection').textContent") == "t-SNE"
    assert seen.run(places) != pca
    seen.run("document.querySelector('.map-panel svg').focus()")
    assert seen.run(said) == "demo/chair/shape0 · chair, test" and seen.run(picture) > 0
    found = {seen.run(said)}
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown") * 2:
        seen.key(key)
        found.add(seen.run(said))
    assert len(found) > 2
    x, y = seen.run("""(() => { const mark = document.querySelectorAll(".map-panel use")[7];
        mark.scrollIntoView({ block: "center" }); const box = mark.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; })()""")
    seen.drag((x, y), (x, y))
    assert seen.run(said) == "demo/chair/shape7 · stool, test"
    assert seen.problems == []


def test_without_javascript_the_last_state_is_shown(root: Path, browser: Browser) -> None:
    with_scripts = strip_pixels(browser.open(root / "report.html"))
    seen = browser.open(root / "report.html", scripts=False)
    assert seen.problems == [] and seen.run(PLACE) == "100% 0px"
    assert (strip_pixels(seen) == with_scripts).mean() > 0.99
    hidden = "[...document.querySelectorAll('.needs-script')].every((one) => getComputedStyle(one).display === 'none')"
    assert seen.run(hidden)
    assert "a slider goes through 3 moments" in seen.run("document.querySelector('.timeline noscript').textContent")
    assert seen.run("document.querySelectorAll('.map use[transform]').length") == 12


def test_light_dark_and_narrow(root: Path, browser: Browser) -> None:
    light, dark = (browser.open(root / "report.html", dark=dark) for dark in (False, True))
    assert light.picture().mean() > 180 > 90 > dark.picture().mean()
    light.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for width in (320, 390, 800, 1200):
        light.resize(width, 800)
        assert light.run("document.documentElement.scrollWidth") <= width
