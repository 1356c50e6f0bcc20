"""Digest of the code behind a stage, so that an edit re-runs the jobs it can change, and no others.

The digest covers the syntax trees of the module and of every project module it imports,
directly or not, without comments, docstrings and layout.  Snakemake gets it as a param: it
does not look into modules that a ``shell:`` command runs.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Rooms that only show what is happening to a person: no result depends on their code.
DISPLAY = ("training.show",)
PACKAGES = ("pipeline", "voxelize", "render", "training", "report")


def code_digest(*modules: str) -> str:
    """12 hex digits that change when code reachable from any of `modules` changes.

    modules : dotted names such as ``"render.shard"``.
    """
    deciding = sorted(module for module in reachable(*modules) if not module.startswith(DISPLAY))
    text = "".join(f"{module}:{_tree_digest(_path(module))}\n" for module in deciding)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def reachable(*modules: str) -> set[str]:
    """Dotted names of `modules` and of every project module that they import, directly or not."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imports(module)
    return found


def files_digest(folder: Path, patterns: Sequence[str]) -> str:
    """12 hex digits over the names and contents of the files in `folder` that fit one of `patterns`."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def imports_of(path: Path, module: str) -> set[str]:
    """Dotted names of the project modules that the file at `path` imports anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] in PACKAGES and _exists(name))
    return found


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    parents = [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)]
    return tuple(sorted(imports_of(_path(module), module) | set(parents)))


@functools.cache
def _tree_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            node.body = body[1:]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    # A package's own __init__ is one level deeper than its dotted name says.
    level = node.level - 1 if _path(module).name == "__init__.py" else node.level
    package = parts[: len(parts) - level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _exists(module: str) -> bool:
    base = ROOT.joinpath(*module.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def _path(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
