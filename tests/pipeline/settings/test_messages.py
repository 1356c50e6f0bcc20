"""A wrong configuration is explained in words of this project, with the file that was given and the line."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic_core.core_schema
import pytest

from pipeline.errors import UserError
from pipeline.settings.base import Strict
from pipeline.settings.config import Config, check, load
from pipeline.settings.parse import _WORDS

GOOD: dict[str, Any] = {
    "datasets": {"d": {"source": "procedural", "procedural": {}}},
    "experiments": {"e": {"datasets": ["d"]}},
    "photographs": {"p": {"source": "ikea", "path": "x"}},
    "render": {"specular": {}},
}
WRONG: list[Any] = [-1e9, 1e9, "no such word", ["x", 3], {"a": 1}, None]
RAW = re.compile(r"[Ii]nput should|[Vv]alid (int|number|str|dict|bool)|unable to|pydantic|[Vv]alue error|constrained")


def keys(model: type[Strict], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the configuration, by the types; an entry of a table stands for all."""
    entries = {"datasets": "d", "experiments": "e", "photographs": "p"}
    for name, field in model.model_fields.items():
        yield (*place, name)
        below = [field.annotation, *typing.get_args(field.annotation)]
        for section in below:
            if (
                isinstance(section, type)
                and not isinstance(section, types.GenericAlias)
                and issubclass(section, Strict)
            ):
                yield from keys(section, (*place, name, *([entries[name]] if name in entries else [])))


def changed(values: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = place
    return {**values, first: changed(values.get(first) or {}, tuple(rest), value) if rest else value}


def test_the_keys_are_found() -> None:
    found = set(keys(Config))
    assert {("datasets", "d", "procedural", "layout"), ("render", "specular", "strength"), ("seed",)} <= found
    assert len(found) > 100


def test_no_key_with_a_wrong_value_is_explained_in_the_words_of_a_library() -> None:
    told = 0
    for place in keys(Config):
        for value in WRONG:
            try:
                check(changed(GOOD, place, value))
            except UserError as error:
                told += 1
                text = str(error)
                assert not RAW.search(text), text
                assert "is not a value that this key can have" not in text, text
    assert told > 300


def test_every_word_is_of_a_kind_that_the_library_knows() -> None:
    assert set(_WORDS) <= set(typing.get_args(pydantic_core.core_schema.ErrorType))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: x\ndatasets: {d: {source: modelnet10}}", r"`seed` must be a whole number \(got 'x'\) \(line 1\)"),
        ("datasets:\n  d:\n    source: r2n\n", r"`datasets.d.source` must be 'procedural', .* \(line 3\)"),
        ("datasets:\n  d:\n    shards: 0\n    source: r2n2\n", r"must be at least 1 or 'auto' \(got 0\) \(line 3\)"),
        (
            "datasets:\n  d:\n    source: r2n2\n    shard: 4\n",
            r"unknown key `datasets.d.shard`;.*'shards'\? \(line 4\)",
        ),
        ("datasets:\n  d: {}\n", r"`datasets.d.source` is needed and is not there \(line 2\)"),
        ("datasets:\n  d: {source: r2n2}\nexperiments:\n  e:\n    datasets: [c]\n", r"data set 'c'.* \(line 5\)"),
        ("datasets:\n  d: {source: r2n2}\nevaluation:\n  views:\n  - 1\n  - b\n", r"`evaluation.views.1` .*\(line 6\)"),
    ],
)
def test_the_file_and_the_line_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert caught.value.where == str(path)


def test_of_several_files_the_one_with_the_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("datasets: {d: {source: r2n2}}\n")
    (tmp_path / "b.yaml").write_text("render:\n  views: many\n")
    values = {"datasets": {"d": {"source": "r2n2"}}, "render": {"views": "many"}}
    with pytest.raises(UserError, match=r"`render.views` .*b\.yaml, line 2\)"):
        check(values, f"{tmp_path / 'a.yaml'}, {tmp_path / 'b.yaml'}")
