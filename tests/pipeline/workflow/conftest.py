"""A world whose products are there in name, and the code to be edited."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.plans import PlannedWorld
from tests.world import ROOT


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> PlannedWorld:
    return PlannedWorld.made(tmp_path_factory.mktemp("plans") / "world")


@pytest.fixture
def world(built: PlannedWorld, tmp_path: Path) -> PlannedWorld:
    """The world at another place and with other times: neither says anything."""
    return built.copy(tmp_path / "world")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code, to be edited."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("pipeline", "voxelize", "render", "training", "report", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "node_modules")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder
