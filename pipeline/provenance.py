"""Digests of the code behind a stage, so that an edit re-runs the jobs that it can change, and no others.

A digest covers the functions that a rule's command calls, and every project module that they import,
directly or not.  Not covered is what changes no product: what `pipeline.state.syntax` leaves out of the code,
and its `NO_PART`.  Values of config.yaml are compared as values (`pipeline.workflow.heads`), so the modules that
declare them are no part either.

To parse two hundred modules takes two seconds, so what was learnt of a file is kept under the SHA-256 of its
content, beside the compiled modules; a file that was edited has no entry, and the whole may be removed.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pydantic

from pipeline.state.digests import sealed
from pipeline.state.files import read_cache
from pipeline.state.syntax import IMPORTS, is_no_part, normal_form

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "voxelize", "render", "training", "report")


def code_digest(*roots: str) -> str:
    """12 hex digits that change when code behind `roots` changes.

    roots : modules such as ``"render.shard"``, or functions such as ``"render.__main__:shard"``.
    """
    return digest_of(code_parts(*roots))


def code_parts(*roots: str) -> dict[str, str]:
    """Each module (or root function) behind `roots`, and 12 hex digits of its code."""
    return dict(_parts(roots))


@functools.cache
def _parts(roots: tuple[str, ...]) -> dict[str, str]:
    parts: dict[str, str] = {}
    modules: set[str] = set()
    for root in roots:
        module, _, function = root.partition(":")
        if function:
            parts[root], imported = _function(module, function)
            modules |= imported
        else:
            modules.add(module)
    for module in reachable(*modules):
        parts[module] = _known(module).digest
    _LEARNT.save()
    return parts


def digest_of(parts: dict[str, str]) -> str:
    """12 hex digits over names and digests."""
    text = "".join(f"{name}:{digest}\n" for name, digest in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def reachable(*modules: str) -> set[str]:
    """Dotted names of `modules` and of every project module that they import, directly or not, but `NO_PART`."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and not is_no_part(module):
            found.add(module)
            waiting += _imports(module)
    return found


@functools.cache
def files_digest_once(folder: Path, patterns: tuple[str, ...]) -> str:
    """`files_digest`, of which each experiment asks the same."""
    return files_digest(folder, patterns)


def files_digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """12 hex digits over the names and contents of the files in `folder` that fit one of `patterns`."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def imports_of(path: Path, module: str) -> set[str]:
    """Dotted names of the project modules that the file at `path` imports anywhere in its text."""
    return _imported(ast.walk(ast.parse(path.read_text(encoding="utf-8"))), module)


def forget() -> None:
    """Read all files again (tests change them)."""
    for cache in (_parts, files_digest_once, _imports, _known, _content, _function, _exists):
        cache.cache_clear()


# ---- which modules --------------------------------------------------------------------------


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    parents = [".".join(module.split(".")[:n]) for n in range(1, module.count(".") + 1)]
    return tuple(sorted({name for name in _known(module).names if _exists(name)} | set(parents)))


def _imported(nodes: Iterable[ast.AST], module: str) -> set[str]:
    return {name for name in _named(nodes, module) if _exists(name)}


def _named(nodes: Iterable[ast.AST], module: str) -> set[str]:
    """What import statements name: modules, and what may be modules or something in them."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            names = [base] + [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] in PACKAGES)
    return found


@functools.cache
def _function(module: str, name: str) -> tuple[str, frozenset[str]]:
    """Digest of a function with what it uses of its module, and the project modules that these import."""
    learnt = _LEARNT.of(f"{module}:{name}", _content(module), lambda tree: _learn_function(tree, module, name))
    return learnt.digest, frozenset(word for word in learnt.names if _exists(word) and word != module)


def _learn_function(tree: ast.Module, module: str, name: str) -> _Learnt:
    defined: dict[str, ast.stmt] = {}
    for statement in tree.body:
        defined |= dict.fromkeys(_binds(statement), statement)
    used: dict[str, ast.stmt] = {}
    waiting = [name]
    while waiting:
        word = waiting.pop()
        if word in defined and word not in used:
            used[word] = defined[word]
            waiting += [node.id for node in ast.walk(defined[word]) if isinstance(node, ast.Name)]
    if name not in used:
        raise KeyError(f"{module} has no {name}")
    text = "".join(normal_form(used[word]) for word in sorted(used))
    inside = (node for statement in used.values() for node in ast.walk(statement))
    return _Learnt(_short(text), tuple(sorted(_named(inside, module))))


def _binds(statement: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, IMPORTS):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    targets = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [target.id for target in targets]


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    # A package's own __init__ is one level deeper than its dotted name says.
    level = node.level - 1 if _path(module).name == "__init__.py" else node.level
    package = parts[: len(parts) - level]
    return ".".join([*package, *([node.module] if node.module else [])])


@functools.cache
def _exists(module: str) -> bool:
    base = ROOT.joinpath(*module.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


def _path(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


# ---- the code of a module -------------------------------------------------------------------


class _Learnt(NamedTuple):
    digest: str
    names: tuple[str, ...]  # that it imports, or may import


_ENTRIES: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(dict[str, tuple[str, list[str]]])


class _Cache:
    """What was learnt of files by their content, kept from one process to the next."""

    def __init__(self, path: Path):
        self._path = path
        self._new = False

    @functools.cached_property
    def _entries(self) -> dict[str, list[Any]]:
        return read_cache(self._path, _ENTRIES, {})

    @functools.cached_property
    def _rules(self) -> bytes:
        """These two modules decide what an entry says."""
        return Path(__file__).read_bytes() + (Path(__file__).parent / "state" / "syntax.py").read_bytes()

    def of(self, what: str, content: bytes, learn: Callable[[ast.Module], _Learnt]) -> _Learnt:
        """What is known of a part of a file with this content."""
        key = hashlib.sha256(b"\0".join((self._rules, what.encode(), content))).hexdigest()[:32]
        if key not in self._entries:
            digest, names = learn(ast.parse(content))
            self._entries[key] = [digest, list(names)]
            self._new = True
        digest, names = self._entries[key]
        return _Learnt(digest, tuple(names))

    def save(self) -> None:
        """Write it down; where that may not be, the next process learns again."""
        if self._new:
            self._new = False
            kept = dict(list(self._entries.items())[-_MOST_KEPT:])
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(exist_ok=True)
                temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
                temporary.write_text(json.dumps(sealed(kept)), encoding="utf-8")
                os.replace(temporary, self._path)


_MOST_KEPT = 4000
_LEARNT = _Cache(Path(__file__).parent / "__pycache__" / "provenance.json")


@functools.cache
def _content(module: str) -> bytes:
    return _path(module).read_bytes()


@functools.cache
def _known(module: str) -> _Learnt:
    return _LEARNT.of(module, _content(module), lambda tree: _learn_module(tree, module))


def _learn_module(tree: ast.Module, module: str) -> _Learnt:
    return _Learnt(_short(normal_form(tree)), tuple(sorted(_named(ast.walk(tree), module))))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
