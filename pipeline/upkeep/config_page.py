"""docs/config.md, made from the types and descriptions in pipeline/settings: ``python -m pipeline config --page``."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from pipeline.settings.base import Strict
from pipeline.settings.config import MOST_RUNS, Config

_TITLE = """\
# config.yaml, key by key

*Made from the settings by `make schema`; a test compares. The same descriptions show in editors that read
`pipeline/settings/config.schema.json`, which the first line of `config.yaml` names.*

A wrong key, type or range stops before any job, and the message names the file, the line and the key that was meant.
`python -m pipeline config` prints the configuration as it is understood, with every default."""
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "anything", type(None): "null"}
_SERIES = [
    (
        "seeds",
        f"whole number, 1 to {MOST_RUNS:,}",
        "1",
        "So many runs of equal settings, with seeds that follow one another.",
    ),
    ("vary", "table", "{}", "A list of values for each key that is varied: one run for each value (and seed)."),
]
Row = tuple[str, str, str, str]  # key, what it may be, its default, what it is for


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_TITLE, "", *_section("The top level", Config, ""), *_sections(Config, "")]).rstrip() + "\n"


def _sections(model: type[Strict], prefix: str) -> Iterator[str]:
    """The sections below a section, each before those below it."""
    for name, field in model.model_fields.items():
        below = _section_type(field.annotation)
        if below is None:
            continue
        entry = typing.get_origin(field.annotation) is dict
        place = f"{prefix}{name}.<name>." if entry else f"{prefix}{name}."
        yield from _section(f"`{place.rstrip('.')}`", below, place)
        yield from _sections(below, place)


def _section(title: str, model: type[Strict], prefix: str) -> Iterator[str]:
    yield from (f"## {title}", "", inspect.cleandoc(model.__doc__ or ""), "")
    yield from ("| key | may be | default | |", "|---|---|---|---|")
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    for key, kind, default, text in [*rows, *(_SERIES if prefix == "experiments.<name>." else [])]:
        yield f"| `{key}` | {kind} | {f'`{default}`' if default else 'needed'} | {text} |".replace(" |  |", " | |")
    yield ""


def _row(name: str, field: FieldInfo) -> Row:
    section = _section_type(field.annotation)
    if section is not None:
        text = " ".join((field.description or inspect.cleandoc(section.__doc__ or "")).split())
        default = "" if field.is_required() else "null" if field.get_default() is None else "{}"
        return name, "section below", default, text.replace("|", "\\|")
    default = "" if field.is_required() else json.dumps(_plain(field.get_default()))
    text = " ".join((field.description or "").split())
    return name, _kind(field.annotation, field.metadata), default.replace("|", "\\|"), text.replace("|", "\\|")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _kind(annotation: Any, limits: Any = ()) -> str:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(inside[0], inside[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in inside)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(one, limits if one is not type(None) else ()) for one in inside)
    if origin is tuple:
        return f"list of {_kind(inside[0])}"
    if origin is dict:
        return "table"
    return ", ".join(filter(None, [_PLAIN.get(annotation, "section"), _limits(limits)]))


def _limits(limits: Any) -> str:
    """``1 to 100``, ``more than 0, at most 1``; from the annotations of annotated_types."""
    found: dict[str, Any] = {}
    for one in limits:
        for field in getattr(one, "metadata", [one]):
            names = ("ge", "gt", "le", "lt", "multiple_of", "pattern")
            found |= {name: getattr(field, name) for name in names if getattr(field, name, None) is not None}
    said = []
    if "ge" in found and "le" in found:
        said.append(f"{found['ge']:,} to {found['le']:,}")
    else:
        words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
        said += [f"{word} {found[name]:,}" for name, word in words.items() if name in found]
    if "multiple_of" in found:
        said.append(f"a multiple of {found['multiple_of']}")
    if "pattern" in found:
        said.append(f"of the form `{found['pattern']}`".replace("|", "\\|"))
    return ", ".join(said)


def _section_type(annotation: Any) -> type[Strict] | None:
    leaves = [annotation, *typing.get_args(annotation)]
    for leaf in leaves:
        if inspect.isclass(leaf) and not isinstance(leaf, types.GenericAlias) and issubclass(leaf, Strict):
            return leaf
    return None
