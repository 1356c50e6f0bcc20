"""Settings from JSON or a dictionary: every problem in one message, unknown keys with "did you mean".

Knows no section of config.yaml, so a stage that reads its own settings here depends on no other stage's
(`pipeline.provenance` follows imports).
"""

from __future__ import annotations

import difflib
import json
from typing import Any, TypeVar

import pydantic

from pipeline.errors import UserError
from pipeline.settings.base import Strict

M = TypeVar("M", bound=Strict)


def parse(model: type[M], values: Any, where: str) -> M:
    """Validate `values` as `model`; a UserError lists key, value and remedy of each problem."""
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except ValueError as error:
            raise UserError("this is not JSON", where=where, got=str(error), do="correct it and run again") from error
    if not isinstance(values, dict):
        raise UserError("expected a table of keys and values", where=where, got=type(values).__name__)
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [_explain(problem, model) for problem in error.errors(include_url=False)]
        raise UserError(
            "the configuration has a problem" if len(lines) == 1 else f"the configuration has {len(lines)} problems",
            where=where,
            got="\n        ".join(lines),
            do="correct the key and run the same command again",
        ) from error


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint to append to an "unknown ..." message."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def _explain(problem: Any, model: type[Strict]) -> str:
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place) or "(top level)"
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{key}`{did_you_mean(place[-1], _keys_beside(model, place[:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    shown = "" if isinstance(value, dict) or problem["type"] == "missing" else f" (got {value!r})"
    return f"`{key}`: {message[0].lower() + message[1:]}{shown}"


def _keys_beside(model: Any, place: list[str]) -> list[str]:
    """Known keys of the section at `place`, found by walking the types."""
    for part in place:
        fields = getattr(model, "model_fields", None)
        # A name inside dict[str, Section] (`datasets.chairs`) keeps us in that section's type.
        if fields is not None and part in fields:
            model = _section(fields[part].annotation)
    return list(getattr(model, "model_fields", {}))


def _section(annotation: Any) -> Any:
    """The section type inside ``Section``, ``Section | None`` or ``dict[str, Section]``."""
    leaves = [annotation] if isinstance(annotation, type) else list(getattr(annotation, "__args__", ()))
    sections = [leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, Strict)]
    return sections[0] if sections else None
