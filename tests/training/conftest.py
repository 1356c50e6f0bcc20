"""One tiny world for all tests of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.tiny_world import write_world


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index of 24 boxes: 12 for training, 6 for validation, 6 for testing."""
    return write_world(tmp_path_factory.mktemp("boxes"))
