"""Settings from JSON or a dictionary: every problem in one message, unknown keys with "did you mean".

Knows no section of config.yaml, so a stage that reads its own settings here depends on no other stage's
(`pipeline.provenance` follows imports).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import pydantic_core

from pipeline.errors import UserError
from pipeline.settings.base import Strict
from pipeline.state.files import parse_json

M = TypeVar("M", bound=Strict)


def parse(model: type[M], values: Any, where: str) -> M:
    """Validate `values` as `model`; a UserError lists key, value and remedy of each problem.

    where : what is said of the place; where it names files of YAML, the lines are said too.
    """
    if isinstance(values, str):
        try:
            values = parse_json(values)
        except ValueError as error:
            raise UserError("this is not JSON", where=where, got=str(error), do="correct it and run again") from error
    if not isinstance(values, dict):
        raise UserError("expected a table of keys and values", where=where, got=_shown(values))
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [_explain(*problem, model, where) for problem in _problems(error, values)]
        raise UserError(
            "the configuration has a problem" if len(lines) == 1 else f"the configuration has {len(lines)} problems",
            where=where,
            got="\n        ".join(lines),
            do="correct the key and run the same command again",
        ) from error


def misplaced(place: Sequence[str], text: str) -> pydantic_core.PydanticCustomError:
    """What a validator raises that looks at several sections: the key to correct, and what is wrong with it."""
    return pydantic_core.PydanticCustomError("value_error", "{text}", {"text": text, "place": list(place)})


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint to append to an "unknown ..." message."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


# ---- what is wrong, in words of ours ----------------------------------------------------------

_WHOLE, _NUMBER, _SWITCH = "must be a whole number", "must be a number", "must be true or false"
_TABLE, _LIST = "must be a table of keys and values", "must be a list, as in [a, b]"
# Kind of problem of pydantic's -> what to say; {..} are the bounds that it names.
_WORDS = {
    "missing": "is needed and is not there",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _SWITCH),
    **dict.fromkeys(("tuple_type", "list_type", "set_type"), _LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), _TABLE),
    "string_type": "must be text",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "none_required": "must be null",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
Problem = tuple[list[str], list[Any]]  # the key, and what pydantic says of it: once for each type that it may have


def _problems(error: pydantic.ValidationError, values: dict[str, Any]) -> list[Problem]:
    """The problems by key: of a key that may have several types, pydantic names one problem for each."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for problem in error.errors(include_url=False):
        place = [*problem["loc"], *problem.get("ctx", {}).get("place", ())]
        extra = problem["type"] in ("missing", "extra_forbidden", "value_error")
        key = place if extra else place[: _depth(place, values)]
        found.setdefault(tuple(map(str, key)), []).append(problem)
    return [(list(key), problems) for key, problems in found.items()]


def _depth(place: Sequence[Any], values: Any) -> int:
    """How many parts of a place are keys of the values; what follows them names a type."""
    for depth, part in enumerate(place):
        listed = isinstance(values, list | tuple) and isinstance(part, int) and part < len(values)
        if not listed and not (isinstance(values, dict) and part in values):
            return depth
        values = values[part]
    return len(place)


def _explain(place: list[str], problems: list[Any], model: type[Strict], where: str) -> str:
    key, first = ".".join(place) or "(top level)", problems[0]
    line = line_of(where, place)
    if first["type"] == "extra_forbidden":
        return f"unknown key `{key}`{did_you_mean(place[-1], _keys_beside(model, place[:-1]))}{line}"
    said = list(dict.fromkeys(_in_words(problem) for problem in problems))
    text = " or ".join([said[0], *(one.removeprefix("must be ") for one in said[1:])])
    value = first.get("input")
    shown = "" if isinstance(value, dict) or first["type"] == "missing" else f" (got {_shown(value)})"
    return f"`{key}` {text}{shown}{line}" if text.startswith(("must", "is ")) else f"`{key}`: {text}{shown}{line}"


def _in_words(problem: Any) -> str:
    if problem["type"] == "value_error":
        text = problem["msg"].removeprefix("Value error, ")
        return str(text[0].lower() + text[1:])
    words = _WORDS.get(problem["type"])
    return words.format(**problem.get("ctx", {})) if words else "is not a value that this key can have"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def line_of(where: str, place: Sequence[str]) -> str:
    """`` (line 12)``, or `` (presets/x.yaml, line 12)`` where several files are named; empty where none has the key."""
    paths = [path for path in map(Path, where.split(", ")) if path.suffix in (".yaml", ".yml") and path.is_file()]
    best = (0, "")
    for path in paths:
        depth, line = _deepest(path, place)
        if depth >= best[0] and depth:
            best = (depth, f" ({path}, line {line})" if len(paths) > 1 else f" (line {line})")
    return best[1]


def _deepest(path: Path, place: Sequence[str]) -> tuple[int, int]:
    """How many parts of a key a YAML file has, and the line of the last of them."""
    import yaml  # only those who are told of a mistake wait for it

    try:
        node = yaml.compose(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return 0, 0
    line = 0
    for depth, part in enumerate(place):
        if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, below) for key, below in pairs if str(key.value) == part), None)
        if found is None:
            return depth, line
        line, node = found[0].start_mark.line + 1, found[1]
    return len(place), line


# ---- the keys that there are --------------------------------------------------------------------


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
