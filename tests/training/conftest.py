"""One tiny world for all tests of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tiny_world import settings, write_world
from training.inference.model import Model, load_model
from training.loop import training_loop
from training.parallel import choose_device


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index of 24 boxes: 12 for training, 6 for validation, 6 for testing."""
    return write_world(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="session")
def run(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has seen 32 boxes: enough to have files and weights."""
    folder = tmp_path_factory.mktemp("run")
    training_loop(settings(samples=32), folder, [boxes])
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    """Its best checkpoint; of a module's own run where it has one."""
    return load_model(run, choose_device("cpu"))
