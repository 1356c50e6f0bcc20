"""The tests themselves, held by reading them: one that cannot fail proves nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONGEST

FOLDER = Path(__file__).resolve().parent
FILES = sorted(FOLDER.rglob("*.py"))
JUDGES = {".raises", ".fail", ".warns"}  # of pytest; names that begin with "assert" are NumPy's and torch's
EXTREMES = {"max", "min", "mean"}
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def named(node: ast.AST) -> Iterator[str]:
    """What `node` names: functions as they are, attributes with a dot before them."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield "." + inner.attr


def judges(function: Function, known: set[str]) -> bool:
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(function))
    return asserts or any(name in known or name.lstrip(".").startswith("assert") for name in named(function))


def proving(trees: list[ast.Module]) -> set[str]:
    """Functions, and methods with a dot before them, of the tests that judge: themselves or by one they name."""
    methods = [
        node
        for tree in trees
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function)
    ]
    functions = [node for tree in trees for node in tree.body if isinstance(node, Function)]
    known = set(JUDGES)
    while True:
        more = {node.name for node in functions if judges(node, known)}
        more |= {"." + node.name for node in methods if judges(node, known)}
        if more <= known:
            return known
        known |= more


def within(part: ast.expr, whole: ast.expr) -> bool:
    """`whole` is ``part.max()``, ``part.min()`` or ``part.mean()`` with or without something added to it."""
    wanted = ast.dump(part)
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in EXTREMES
        and ast.dump(node.func.value) == wanted
        for node in ast.walk(whole)
    )


def empty(statement: ast.Assert) -> Iterator[str]:
    """Why this assertion holds whatever the code does."""
    if isinstance(statement.test, ast.Constant | ast.Tuple | ast.JoinedStr):
        yield "a constant is asserted"
    for node in ast.walk(statement.test):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        for operator, left, right in zip(node.ops, sides, sides[1:]):
            calls = any(isinstance(inner, ast.Call) for inner in ast.walk(left))
            if ast.dump(left) == ast.dump(right) and not calls:  # a call made twice says that it gives the same
                yield "both sides are the same expression"
            if isinstance(operator, ORDER) and (within(left, right) or within(right, left)):
                yield "a thing is compared with its own extreme"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_assertion_can_fail(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [(n.lineno, why) for n in ast.walk(tree) if isinstance(n, ast.Assert) for why in empty(n)]
    assert wrong == []


def test_every_test_asserts_something() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    known = proving(list(trees.values()))
    idle = [
        f"{path.relative_to(FOLDER)}:{node.lineno} {node.name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, Function) and node.name.startswith("test_") and not judges(node, known - {node.name})
    ]
    assert idle == []


@pytest.mark.parametrize(
    "text",
    [
        "assert True",
        "assert (found, 3)",
        "assert advice == advice",
        "assert ADVICE['nan'] in (ADVICE['nan'],) or ADVICE['nan'] == ADVICE['nan']",
        "assert (depth[2:4] < depth[2:4].max() + 0.3).all()",
        "assert grid.min() <= grid",
    ],
)
def test_assertions_that_cannot_fail_are_found(text: str) -> None:
    (statement,) = ast.parse(text).body
    assert isinstance(statement, ast.Assert) and list(empty(statement))


@pytest.mark.parametrize("text", ["assert draw(1) == draw(1)", "assert a < b.max()", "assert high - low > low.max()"])
def test_assertions_that_can_fail_are_left_alone(text: str) -> None:
    (statement,) = ast.parse(text).body
    assert isinstance(statement, ast.Assert) and not list(empty(statement))


def test_nobody_switches_the_formatter_off() -> None:
    root = FOLDER.parent
    rooms = ("pipeline", "voxelize", "render", "training", "report", "shapes", "benchmarks", "envs", "tests")
    files = [path for room in rooms for path in (root / room).rglob("*.py") if "node_modules" not in path.parts]
    switch = "fmt" + ": "
    assert [path.name for path in files if f"# {switch}" in path.read_text(encoding="utf-8")] == []


def test_the_files_that_come_first_are_there() -> None:
    assert set(LONGEST) <= {path.stem for path in FILES}
