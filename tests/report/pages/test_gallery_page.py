"""The gallery in a real browser: what it asks for, finds and remembers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.foreign import visible
from report.gallery import build
from tests.report.gallery_world import HOSTILE, SPLITS, Made, chairs, furniture, make_gallery, make_run
from tests.report.pages.browser import Browser, Page
from tests.report.pages.gallery_page import VISIBLE, fragment, gallery_of, open_shape

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
    stools = {f"stool/shape_{n:04d}" for n in range(1, 14, 2) if SPLITS[n % 4] == "test"}
    assert set(choose("split", "test")) == stools and stools
    assert fragment(page) == "#category=stool&split=test"
    assert choose("flag", "thin") == ["stool/shape_0003"]
    page.run("document.getElementById('clear').click()")
    assert len(page.run(VISIBLE)) == 14 and fragment(page) == ""
    assert choose("q", "STOOL 05") == ["stool/shape_0005"]
    assert choose("q", "nothing like it") == [] and page.run("!document.getElementById('nothing').hidden")
    choose("q", "")
    facts = {shape["key"]: shape for shape in page.run("meta.shapes")}
    for order, value, sign in (
        ("", "iou", 1),
        ("sparse", "occupancy", 1),
        ("dense", "occupancy", -1),
        ("few", "faces", 1),
        ("many", "faces", -1),
    ):
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
        "stool",
        "many",
        "shape",
    ]
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
    # Cards in the page itself are written by the template, which writes out what is no letter; others by the script.
    assert (visible(name) if inline else name) in page.run("document.getElementById('grid').textContent")
    assert page.run("document.querySelectorAll('[onerror]').length") == 0
    assert page.problems == []
    again = browser.open(gallery_of(root), fragment=page.run("location.hash"))
    again.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(f'chair/{name}')}")
    assert again.problems == []


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


def test_a_shape_opened_at_once_after_another_was_closed_stays_open(page: Page) -> None:
    """The browser says that a dialog was closed a moment later, when the next one may be open already."""
    first, second = page.run("meta.shapes.slice(0, 2).map((shape) => shape.key)")
    open_shape(page, first)
    page.run(f"document.getElementById('close').click(); go({{ shape: {json.dumps(second)} }}, true)")
    page.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(second)}")
    page.run("new Promise((done) => setTimeout(done, 100))")
    assert page.run("document.getElementById('shape').open") and second in fragment(page)


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


def test_more_shapes_than_the_page_itself_holds(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "INLINE", 30)
    root = make_run(tmp_path, chairs(build.INLINE + 10))
    path = make_gallery(root)
    (chunk,) = (path.parent / "gallery-data").iterdir()
    assert path.stat().st_size + chunk.stat().st_size < 900_000 + 20_000 * (build.INLINE + 10)
    page = browser.open(path)
    # Usable is when the page itself is there: it waits for no chunk, which is what keeps many shapes quick.
    assert page.run("performance.getEntriesByName('usable').length") == 1
    assert page.requests == [path.as_uri()]
    assert page.run(f"{VISIBLE}.length") == build.INLINE + 10
    page.key("/")
    page.type("stool")
    page.wait(f"{VISIBLE}.length === {build.INLINE // 2 + 5}")
    assert page.problems == []
