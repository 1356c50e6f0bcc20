"""Fixtures of the pages' tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.gallery_world import chairs, make_gallery, make_run
from tests.report.pages.browser import PROGRAM, Browser, Page
from tests.report.pages.gallery_page import gallery_of


@pytest.fixture(scope="session")
def program() -> Iterator[Browser]:
    """One browser for all tests of a process; they skip where there is none."""
    if PROGRAM is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with Browser() as running:
        yield running


@pytest.fixture
def browser(program: Browser) -> Iterator[Browser]:
    """The browser without a tab from another test; what a module has opened for all its tests stays."""
    shared = program.open_pages()
    yield program
    program.close_pages(keep=shared)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 14 shapes, one of them with a fault."""
    shapes = chairs(14)
    shapes[3].facts = {"thin_recall": 0.5}
    made = make_run(tmp_path_factory.mktemp("gallery"), shapes, per_shard=7)
    make_gallery(made)
    return made


@pytest.fixture
def page(root: Path, browser: Browser) -> Iterator[Page]:
    """That gallery, freshly loaded; nothing may have gone wrong when the test ends."""
    opened = browser.open(gallery_of(root))
    yield opened
    assert opened.problems == []
    assert opened.requests == [gallery_of(root).as_uri()], "one request: the page itself"
