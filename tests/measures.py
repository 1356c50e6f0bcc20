"""Figures of the code that tests/test_architecture.py holds: functions, rooms, and arrows between them.

``python -m tests.measures`` prints them.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import statistics
from collections.abc import Iterable
from pathlib import Path

from pipeline.provenance import PACKAGES, imports_of

ROOT = Path(__file__).resolve().parent.parent
_BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclasses.dataclass(frozen=True)
class Function:
    """One function or method."""

    place: str  # "pipeline/atomic.py:sweep"
    lines: int  # from its `def` to its end, the docstring included
    complexity: int  # McCabe 1976: 1 + branches + further operands of `and` and `or`


def modules() -> list[Path]:
    """Every Python file of the product, sorted."""
    return sorted(
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "node_modules" not in path.parts
    )


def dotted(path: Path) -> str:
    """``pipeline/atomic.py`` -> ``pipeline.atomic``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The folder of a file.  A file at the top of a package (the ground, a story, a face) stands for itself."""
    return ".".join(module.split(".")[:2])


def functions(paths: Iterable[Path]) -> list[Function]:
    """Every function of the files, nested ones on their own as well."""
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, _FUNCTIONS):
                place = f"{path.relative_to(ROOT).as_posix()}:{node.name}"
                found.append(Function(place, (node.end_lineno or node.lineno) - node.lineno + 1, _complexity(node)))
    return found


def _complexity(function: ast.AST) -> int:
    count = 1
    for node in ast.walk(function):
        if isinstance(node, _BRANCHES):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
    return count


@functools.cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of the product that it imports, anywhere in its text.

    ``from package import name`` counts as the module `name` where there is one, not as the package around it.
    """
    known = {dotted(path) for path in modules()}
    graph = {}
    for path in modules():
        found = imports_of(path, dotted(path)) & known
        inside = {name for name in found if any(other.startswith(f"{name}.") for other in found)}
        graph[dotted(path)] = found - inside - {dotted(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of nodes of which each reaches each other (Tarjan 1972), those of one node left out."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            at = stack.index(node)
            group = set(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """What `start` reaches, directly or not."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def rooms(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph of modules as one of rooms."""
    out: dict[str, set[str]] = {}
    for module, others in graph.items():
        mine = room_of(module)
        out.setdefault(mine, set()).update({room_of(other) for other in others} - {mine})
    return out


def main() -> None:
    """Print the figures."""
    found = functions(modules())
    lines = sorted(function.lines for function in found)
    print(f"{len(modules())} files, {len(found)} functions")
    print(f"lines a function: median {statistics.median(lines):g}, p90 {lines[int(0.9 * len(lines))]}, max {lines[-1]}")
    for function in sorted(found, key=lambda function: -function.lines)[:5]:
        print(f"  {function.lines:4d} lines       {function.place}")
    for function in sorted(found, key=lambda function: -function.complexity)[:5]:
        print(f"  complexity {function.complexity:3d}  {function.place}")
    graph = imports()
    between = rooms(graph)
    print(f"{len(between)} rooms, {sum(map(len, between.values()))} arrows between them")
    print(f"circles of files: {circles(graph) or 'none'}")
    print(f"circles of rooms: {circles(between) or 'none'}")


if __name__ == "__main__":
    main()
