"""Digests of code: what changes them, what does not, and that they are the same everywhere."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import provenance
from pipeline.provenance import code_digest, code_parts
from pipeline.state.syntax import normal_form
from pipeline.workflow.seen import CODE

ROOT = Path(__file__).resolve().parents[2]
PLAIN = '''"""A module."""
from __future__ import annotations

import os
from pipeline import b
from pipeline.errors import UserError
from pipeline.progress import Log, progress, say


def f(x: int, log: Log) -> int:
    """Say what."""
    for item in progress(range(x), "doing", log=log):
        say(f"{item} done")
    if x < 0:
        raise UserError("too small", got=str(x))
    return b.g(x) + len(os.sep)
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of two modules in place of ours."""
    (tmp_path / "pipeline").mkdir()
    for name, text in (("__init__", ""), ("a", PLAIN), ("b", "def g(x):\n    return x\n\n\ndef h():\n    return 0\n")):
        (tmp_path / "pipeline" / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance.forget()
    yield tmp_path / "pipeline"
    provenance.forget()


def digest(package: Path, module: str, text: str) -> str:
    before = (package / f"{module}.py").read_text(encoding="utf-8")
    (package / f"{module}.py").write_text(text, encoding="utf-8")
    provenance.forget()
    found = code_digest("pipeline.a")
    (package / f"{module}.py").write_text(before, encoding="utf-8")
    provenance.forget()
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Say what.", "Say something else."),
        ("    return b", "    # why\n    return b"),
        ("b.g(x) + len", "b.g( x )+len"),
        ("import os\nfrom pipeline import b\n", "from pipeline import b\nimport os\n"),
        ("x: int", "x: float"),
        ("-> int", "-> float"),
        ('"doing"', '"going on"'),
        ("{item} done", "{item} is done"),
        ('"too small", got=str(x)', '"smaller than 0", wanted="more"'),
        ("import Log, progress, say", "import progress, say, Log"),
    ],
)
def test_what_changes_no_product_changes_no_digest(package: Path, old: str, new: str) -> None:
    assert old in PLAIN
    text = PLAIN.replace(old, new, 1)
    assert digest(package, "a", text) == code_digest("pipeline.a")


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("a", "b.g(x)", "b.h(x)"),
        ("a", "range(x)", "range(x + 1)"),
        ("a", "x < 0", "x < 1"),
        ("a", "import os\n", "import sys as os\n"),
        ("a", "def f(x", "def f(y"),
        ("b", "return x", "return x + 1"),
        ("b", "return 0", "return 1"),
    ],
)
def test_what_may_change_a_product_changes_the_digest(package: Path, module: str, old: str, new: str) -> None:
    text = (package / f"{module}.py").read_text(encoding="utf-8")
    assert old in text
    assert digest(package, module, text.replace(old, new, 1)) != code_digest("pipeline.a")


def test_a_function_of_a_module_brings_what_it_uses_and_no_more(package: Path) -> None:
    text = "from pipeline import b\n\nK = 1\n\n\ndef one():\n    return b.g(K)\n\n\ndef two():\n    return 2\n"
    path = package / "c.py"

    def one(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        provenance.forget()
        return code_digest("pipeline.c:one")

    plain = one(text)
    assert set(code_parts("pipeline.c:one")) == {"pipeline.c:one", "pipeline", "pipeline.b"}
    assert one(text.replace("return 2", "return 3")) == plain
    assert one(text.replace("K = 1", "K = 2")) != plain


def test_digests_do_not_depend_on_the_version_of_python() -> None:
    """A fixed text has a fixed form; and where other versions are installed, they agree on all of our code."""
    text = 'def f(a, *, b=1):\n    "Doc."\n    return f"{a:>{b}} {a!r}" if a else [*b, {**a}, lambda x: x[1:2, ...]]\n'
    assert provenance._short(normal_form(ast.parse(text))) == "d7f6c2ae31d5"
    code = (
        "import ast, hashlib, pathlib, sys, warnings\n"
        "warnings.simplefilter('ignore'); sys.path.insert(0, sys.argv[1])\n"
        "from pipeline.state.syntax import normal_form\n"
        "files = sorted(pathlib.Path(sys.argv[1], 'pipeline').rglob('*.py'))\n"
        "texts = [path.read_text(encoding='utf-8') for path in files]\n"
        "print(*[hashlib.sha256(normal_form(ast.parse(text)).encode()).hexdigest() for text in texts])"
    )
    names = [f"python3.{minor}" for minor in range(11, 16)]
    others = {os.path.realpath(path) for name in names if (path := shutil.which(name))}
    said = set()
    for python in (sys.executable, *sorted(others)):
        done = subprocess.run([python, "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            said.add(done.stdout)
    assert len(said) == 1


def test_what_a_training_shows_is_no_part_of_its_digest() -> None:
    parts = code_parts(*CODE["train"])
    assert not any(name.startswith(("training.show", "pipeline.settings", "pipeline.progress")) for name in parts)
    assert "training.run.step" in parts and "training.command.train:_train" in parts


@pytest.mark.parametrize("rule", sorted(CODE))
def test_the_roots_of_every_rule_exist(rule: str) -> None:
    assert CODE[rule] == () or code_parts(*CODE[rule])
