"""Shapes are types, and the tests check them: every call of a function that names its arrays' shapes.

The product declares shapes by jaxtyping (pipeline/conventions.py) and pays nothing for it.  Here, an import hook puts
beartype's check around each function, method and dataclass whose signature has a shape, once its module has run.
jaxtyping's own hook would put it below every decorator, and so into functions that numba compiles.  A compiled or
cached function is an object of another kind and stays as it is, as does a signature without a shape.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.abc
import importlib.machinery
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

# What is checked.  Left out: networks, whose code torch.compile and the tracer of ONNX read.
CHECKED = (
    "pipeline",
    "voxelize",
    "render",
    "report",
    "training.metrics",
    "training.data",
    "training.evaluation",
    "training.run",
    "training.inference.predict",
    "training.inference.reconstruct",
    "training.inference.validation",
)

# Small functions that are called so often that their checks would take a fifth of their tests' time.
UNCHECKED = ("pipeline.furniture",)

# Of these beartype looks at one item drawn by chance, and a test must not fail by chance.
_DRAWN = re.compile(r"\b(list|dict|set|Sequence|Iterable|Iterator|Mapping|Callable|Generator)\[|\.\.\.\]")


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, AbstractArray)
    return any(_has_shape(part) for part in getattr(hint, "__args__", ()))


def shapes_of(function: types.FunctionType) -> dict[str, Any]:
    """Those annotations of `function` that name the shape of an array, evaluated."""
    hints = {}
    for name, text in function.__annotations__.items():
        if not isinstance(text, str) or _DRAWN.search(text):
            continue
        try:
            hint = eval(text, function.__globals__)  # the project's own source
        except (NameError, TypeError):  # a name for the type checker only
            continue
        if _has_shape(hint):
            hints[name] = hint
    return hints


def checked(function: types.FunctionType) -> Callable[..., Any]:
    """`function` with a check of the shapes in its signature; `function` itself where there is none."""
    hints = shapes_of(function)
    if not hints or hasattr(function, "__wrapped__"):
        return function
    same = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    same.__kwdefaults__ = function.__kwdefaults__
    same.__annotations__ = hints
    same.__qualname__, same.__module__ = function.__qualname__, function.__module__
    return functools.update_wrapper(jaxtyped(same, typechecker=beartype), function)


def _check_class(owner: type) -> None:
    for name, value in list(vars(owner).items()):
        if isinstance(value, types.FunctionType) and (name == "__init__" or not name.startswith("__")):
            setattr(owner, name, checked(value))
        elif isinstance(value, staticmethod | classmethod) and isinstance(value.__func__, types.FunctionType):
            setattr(owner, name, type(value)(checked(value.__func__)))
        elif isinstance(value, property) and isinstance(value.fget, types.FunctionType):
            setattr(owner, name, property(checked(value.fget), value.fset, value.fdel, value.__doc__))


def check_module(module: types.ModuleType) -> None:
    """Put the checks into a module that has just been executed, before anybody takes a function from it."""
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, types.FunctionType):
            setattr(module, name, checked(value))
        elif isinstance(value, type) and (dataclasses.is_dataclass(value) or type(value) is type):
            _check_class(value)


def _within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        check_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not _within(fullname, CHECKED) or _within(fullname, UNCHECKED):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


def install() -> None:
    """Check every module of the product that is imported from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
