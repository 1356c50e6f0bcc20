"""The committed bundles are what their sources make, with the licences of what they hold."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from report.gallery import build
from tests.report.bundle import RECORD, SOURCES, digest

DIST = build.BUNDLE.parent


def test_the_bundle_was_made_of_these_sources() -> None:
    assert RECORD.read_text(encoding="utf-8").strip() == digest(), "`make bundle` where npm is, and commit dist/"


def test_its_licence_lies_beside_it_and_stands_in_it() -> None:
    assert "MIT License" in (DIST / "LICENSE.three").read_text(encoding="utf-8")
    assert "SPDX-License-Identifier: MIT" in build.BUNDLE.read_text(encoding="utf-8")
    assert "MIT License" in (DIST / "LICENSE.onnxruntime").read_text(encoding="utf-8")
    assert "Licensed under the MIT License" in (DIST / "runtime.js").read_text(encoding="utf-8")
    assert b"Eigen" in gzip.decompress((DIST / "NOTICES.onnxruntime.gz").read_bytes()), "what the runtime itself holds"


def test_npm_makes_the_same_bytes_again(tmp_path: Path) -> None:
    """Only where the packages are: nothing is downloaded in a test."""
    packages = build.HOME / "node_modules"
    if shutil.which("npm") is None or not packages.is_dir():
        pytest.skip("npm or its packages are not here (`make bundle` gets them)")
    for name in SOURCES:
        shutil.copy(build.HOME / name, tmp_path / name)
    (tmp_path / "dist").mkdir()
    (tmp_path / "node_modules").symlink_to(packages)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=tmp_path, check=True)
    for name in ("scene.js", "runtime.js"):
        assert (tmp_path / "dist" / name).read_bytes() == (DIST / name).read_bytes()
    made, kept = ((folder / "runtime.wasm.gz").read_bytes() for folder in (tmp_path / "dist", DIST))
    assert gzip.decompress(made) == gzip.decompress(kept)
