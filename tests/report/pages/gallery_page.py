"""What the gallery's browser tests share: where the page is, and how to open a shape on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from report.gallery import build
from tests.report.pages.browser import Page

needs_bundle = pytest.mark.skipif(not build.BUNDLE.exists(), reason="the 3D bundle is not in report/gallery/dist")
VISIBLE = "[...document.querySelectorAll('#grid .card')].map((card) => card.dataset.key)"


def gallery_of(root: Path) -> Path:
    return root / "samples" / "demo" / "gallery.html"


def open_shape(page: Page, key: str) -> None:
    page.run(f"go({{ shape: {json.dumps(key)} }}, true)")
    page.wait(f"document.getElementById('shape').dataset.ready === {json.dumps(key)}")


def fragment(page: Page) -> str:
    return str(page.run("decodeURIComponent(location.hash)"))
