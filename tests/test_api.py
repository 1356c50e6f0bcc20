"""What people import is explained: by a docstring of every public name, by pages, and by a notebook that runs."""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests import notebooks
from tests.conftest import optional

ROOT = Path(__file__).resolve().parent.parent


def api() -> list[str]:
    """The modules that `make docs` makes pages of."""
    (names,) = re.findall(r"^API := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return str(names).replace("\\", " ").split()


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Functions and classes that a module defines, and the methods and properties of these."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for inner, member in vars(value).items():
                plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if not inner.startswith("_") and inspect.isfunction(plain):
                    yield f"{name}.{inner}", plain


def explained(name: str, value: object) -> bool:
    """A dataclass without a docstring is given its own signature as one."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return bool(text) and not str(text).startswith(f"{name}(")


@pytest.mark.parametrize("name", api())
def test_every_public_name_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    members = dict(public(module))
    assert module.__doc__ and members
    assert [member for member, value in members.items() if not explained(member, value)] == []


def test_names_without_a_docstring_are_found() -> None:
    made = ModuleType("made")
    exec("class A:\n    'a'\n    @property\n    def b(self): ...\ndef c(): ...\ndef _d(): ...", vars(made))
    for value in (made.A, made.c, made._d):
        value.__module__ = "made"
    assert [name for name, value in public(made) if not explained(name, value)] == ["A.b", "c"]


def test_pages_show_signatures_and_docstrings(tmp_path: Path) -> None:
    optional("pdoc").pdoc("pipeline.formats.binvox", output_directory=tmp_path)
    page = re.sub(r"<[^>]+>", "", (tmp_path / "pipeline/formats/binvox.html").read_text(encoding="utf-8"))
    assert "def write_binvox" in re.sub(r"\s+", " ", page)
    assert inspect.cleandoc(importlib.import_module("pipeline.formats.binvox").read_binvox.__doc__)[:40] in page


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_and_show_what_they_are_stored_with(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(path.parent)
    names, shown = notebooks.run(path)
    stored = [cell["outputs"] for cell in notebooks.code_cells(notebooks.read(path))]

    def kinds(outputs: notebooks.Shown) -> list[list[str]]:
        return [sorted(output.get("data", {"text": ""})) for output in outputs]

    assert [kinds(outputs) for outputs in shown] == [kinds(outputs) for outputs in stored]
    assert sum(map(len, shown)) > 3 and shown[2] == stored[2]  # the meshes; networks round by the processor
    assert names["iou"] and min(names["iou"].values()) > 0.4
