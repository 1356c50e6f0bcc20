"""What the wheel depends on: the packages of run.in in the versions of run.lock, and torch.

The application gets an environment of its own (pipx, uv tool, a new venv), so it may name exact versions: those with
which the figures in README.md and docs/ were measured.  What these packages need in turn is left to the installer.

pyrender is left out, since it asks for a PyOpenGL that does not import on Python 3.11 (overrides.txt) and an installer
of wheels knows no overrides.  The extra `opengl` has what it needs; then `pip install --no-deps pyrender==...`.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

OPENGL = ("pyrender", "pyopengl")
# Of what pyrender itself needs, that which nothing else here does.
FOR_PYRENDER = ("pyopengl", "freetype-py", "imageio", "pyglet", "six")


class Dependencies(MetadataHookInterface):  # type: ignore[misc]
    """Fills in `dependencies` and the extra `opengl`."""

    def update(self, metadata: dict[str, Any]) -> None:
        folder = Path(self.root) / "envs"
        metadata["dependencies"] = dependencies(folder)
        metadata["optional-dependencies"] = {"opengl": [pinned(folder, name) for name in FOR_PYRENDER]}


def dependencies(folder: Path) -> list[str]:
    """``["argcomplete==3.7.2", ..., "torch==2.13.0"]``"""
    names = [name for name in asked(folder / "run.in") if name not in OPENGL]
    return [*(pinned(folder, name) for name in names), _generate(folder)["TORCH"]]


def asked(path: Path) -> list[str]:
    """Names in a file of requirements, as the index spells them."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    names = (re.match(r"[\w.-]+", line) for line in lines if line and not line.startswith("-"))
    return [re.sub(r"[-_.]+", "-", name.group().lower()) for name in names if name]


def pinned(folder: Path, name: str) -> str:
    """One requirement in the version of the lock file."""
    return f"{name}=={_generate(folder)['pins']()[name]}"


def _generate(folder: Path) -> dict[str, Any]:
    return runpy.run_path(str(folder / "generate.py"))
