"""What is written about the project in several places agrees (version, Pythons), and its tables are tables."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import pipeline.__main__
import render.__main__
import report.__main__
import shapes.command
import training.command.train
import voxelize.cli
from pipeline.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
COMMANDS: dict[str, Callable[[list[str]], Any]] = {
    "pipeline": pipeline.__main__.main,
    "voxelize": voxelize.cli.main,
    "render": render.__main__.main,
    "training": training.command.train.main,
    "report": report.__main__.main,
    "shapes": shapes.command.main,
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def check_python() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_python", ROOT / "envs" / "check_python.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_the_version(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--version"])
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name](["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"python -m {name} {VERSION}\n")


def test_the_version_is_the_one_that_is_cited_and_described() -> None:
    assert yaml.safe_load(read("CITATION.cff"))["version"] == VERSION
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), flags=re.MULTILINE)[0] == VERSION
    settings = tomllib.loads(read("pyproject.toml"))
    assert "version" in settings["project"]["dynamic"]
    assert settings["tool"]["hatch"]["version"] == {"path": "pipeline/version.py"}


def test_pythons_are_the_same_everywhere(check_python: ModuleType) -> None:
    lowest, highest = check_python.LOWEST, check_python.HIGHEST
    versions = [f"3.{minor}" for minor in range(lowest[1], highest[1] + 1)]
    settings = tomllib.loads(read("pyproject.toml"))
    known = "Programming Language :: Python :: "
    assert [c.removeprefix(known) for c in settings["project"]["classifiers"] if c.startswith(known)] == versions
    assert settings["project"]["requires-python"] == f">={versions[0]}"
    assert settings["tool"]["mypy"]["python_version"] == versions[0]
    assert settings["tool"]["ruff"]["target-version"] == f"py{lowest[0]}{lowest[1]}"
    for lock in ("run", "dev"):
        assert f"--universal --python-version {versions[0]} " in read(f"envs/{lock}.lock")
    jobs = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == versions
    assert f"Python {versions[0]} to {versions[-1]}" in read("README.md")


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 10, 13), False), ((3, 11, 0), True), ((3, 14, 9), True), ((3, 15, 0), False)]
)
def test_setup_names_the_pythons_that_serve(
    version: tuple[int, ...], fits: bool, check_python: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_python.sys, "version_info", version)
    said = check_python.complaint()
    assert said == "" if fits else re.fullmatch(r"Python 3.11 to 3.14 is needed; \S+ is 3.1[05]\. Try: make .*", said)


def test_setup_names_the_missing_part_of_a_python(check_python: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, do in (("ensurepip", "apt-get install python3-venv"), ("lzma", "PYTHON=/usr/bin/python3")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, part, None)
            assert re.search(rf"lacks a part of the standard library \(.*{part}.*\).*{do}", check_python.complaint())
    assert check_python.complaint() == ""


@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT).as_posix() for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
)
def test_rows_of_a_page_stand_in_tables(page: str) -> None:
    """A row without a head above it, after a blank line for example, is shown as text."""
    prose = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", prose, flags=re.MULTILINE):
        assert re.fullmatch(r"\|[\s:|-]+\|", [*table.splitlines(), ""][1]), table.splitlines()[0]
