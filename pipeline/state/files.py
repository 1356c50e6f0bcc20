"""State files: the JSON that one command of a run leaves for the next, or for a person.

One reader, which believes nothing unchecked: a size that fits, UTF-8, JSON (RFC 8259: no NaN, no key twice in one
object, every text can be written again), the schema of that kind of file, and its seal.  What is wrong is a
`UserError`; of a cache, which can be made again, it is as if the file were not there.

A seal (pipeline/state/digests.py) is looked at where there is one; files of an earlier version have none.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Never, TypeVar

import pydantic

from pipeline.atomic import write_json, write_json_if_changed
from pipeline.errors import Refusal, UserError, in_words, is_refusal, remedy
from pipeline.state.digests import SEAL, SEAL_PREFIX, seal_of, sealed

MOST_BYTES = 1 << 28  # the largest that is written, checksums of 500,000 files of one's own, has a quarter of that

T = TypeVar("T")
OBJECT = pydantic.TypeAdapter(dict[str, Any])


class Stored(pydantic.BaseModel):
    """Base of schemas: no key is guessed at, no text taken for a number."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


def parse_json(text: str | bytes, *, ours: bool = True) -> Any:
    """What a JSON text says; ValueError for everything that is none, or that could not be written again.

    ours : whether we have written it ourselves, and never a key twice.
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            text, parse_constant=_no_constant, object_pairs_hook=_object if ours else None, parse_float=_finite
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\" in text:  # an escape may stand for half a character
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read_state(
    path: str | Path,
    schema: pydantic.TypeAdapter[Any] = OBJECT,  # of the object without its seal
    *,
    what: str = "cannot read a state file",
    do: str = "",  # what to do, where it is not to make the file again
    sealed: bool = False,  # whether one without a seal is refused
) -> Any:
    """The content of a state file, as plain values; a UserError says what is wrong with it."""
    path = Path(path)
    try:
        return _checked(_text(path), schema, sealed)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, what, do) from error


def read_cache(path: str | Path, schema: pydantic.TypeAdapter[T], default: T) -> T:
    """The content of a file that can be made again: `default` where it is absent or anything else."""
    try:
        value: T = _checked(_text(Path(path)), schema, False)
    except (OSError, ValueError):
        return default
    return value


def read_if_whole(path: str | Path, schema: pydantic.TypeAdapter[T], default: T) -> T:
    """The content of a file on which work of hours depends: `default` where it is absent or damaged.

    Raises Refusal where the system refuses it: a disk that fails for a moment is no reason to make anything again.
    """
    try:
        value: T = read_state(path, schema)
    except Refusal:
        raise
    except UserError:
        return default
    return value


def parse_lines(text: str, schema: pydantic.TypeAdapter[Any] = OBJECT) -> list[Any]:
    """The objects of JSON lines; ValueError names the first line that is none."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line:
            try:
                found.append(_checked(line, schema, False))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return found


def read_lines(
    path: str | Path, schema: pydantic.TypeAdapter[Any] = OBJECT, *, what: str = "cannot read a log", do: str = ""
) -> list[Any]:
    """JSON lines of a file, none where it is absent; what a killed writer left unfinished at its end is passed over."""
    path = Path(path)
    try:
        text = _text(path).decode("utf-8")
        return parse_lines(text[: text.rfind("\n") + 1], schema)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, what, do) from error


def _unreadable(path: Path, error: OSError | ValueError, what: str, do: str) -> UserError:
    if isinstance(error, OSError) and is_refusal(error):
        return Refusal(what, where=str(path), got=error.strerror or str(error), do=in_words(error).do)
    got = (isinstance(error, OSError) and error.strerror) or str(error)
    return UserError(what, where=str(path), got=got, do=do or remedy(path, path.suffix or ".json"))


def write_state(path: str | Path, value: dict[str, Any]) -> None:
    """Publish an object with its seal; equal content gives equal bytes."""
    write_json(path, sealed(value))


def write_state_if_changed(path: str | Path, value: dict[str, Any]) -> None:
    """`write_state`, leaving an equal file alone."""
    write_json_if_changed(path, sealed(value))


def _text(path: Path) -> bytes:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        return file.read(MOST_BYTES)


def _checked(text: str | bytes, schema: pydantic.TypeAdapter[Any], wants_seal: bool) -> Any:
    value = parse_json(text)
    if isinstance(value, dict):
        value = _unsealed(value, wants_seal)
    try:
        # As JSON, where pydantic's strict mode takes an array for a tuple and an object for a model.
        schema.validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"`{place}`: {first['msg']}" if place else str(first["msg"])) from None
    return value


def _unsealed(value: dict[str, Any], wanted: bool) -> dict[str, Any]:
    """The object without its seal, which has to fit; a changed bit in the seal's own key leaves its value behind."""
    has_one = SEAL in value or any(isinstance(one, str) and one.startswith(SEAL_PREFIX) for one in value.values())
    if not wanted and not has_one:
        return value
    if SEAL not in value:
        raise ValueError("it has no seal: an earlier version wrote it, or it was changed")
    if value[SEAL] != seal_of(value):
        raise ValueError("it was changed after it was written: its seal is of another content")
    return {key: one for key, one in value.items() if key != SEAL}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(word: str) -> Never:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    number = float(word)
    if number - number != 0:
        raise ValueError(f"{word[:40]} is too large a number")
    return number
