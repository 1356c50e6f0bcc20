"""State files and tables: what is read is what was written, and nothing else is."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.state.digests import SEAL, sealed
from pipeline.state.files import (
    MOST_BYTES,
    Stored,
    parse_json,
    parse_lines,
    read_cache,
    read_lines,
    read_state,
    write_state,
)
from pipeline.state.tables import read_foreign, read_table, write_table


class Thing(Stored):
    name: str
    size: int


THING: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(Thing)
VALUE = {"name": "a", "size": 3}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting"),
        (b"\xff{}", "utf-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"name": "a", "size": 3}x', "Extra data"),
        (b'{"name": "a", "size": NaN}', "NaN is no number"),
        (b'{"name": "a", "size": -Infinity}', "-Infinity is no number"),
        (b'{"name": "a", "size": 1e999}', "too large a number"),
        (b'{"name": "a", "size": 1' + b"0" * 5000 + b"}", "integer string conversion"),
        (b'{"name": "a", "size": 3, "size": 3}', "a key stands twice"),
        (b'{"name": "\\ud800", "size": 3}', "surrogates not allowed"),
        (b'{"name": "a\nb", "size": 3}', "control character"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"name": "a"}', "`size`: Field required"),
        (b'{"name": "a", "size": "3"}', "`size`: Input should be a valid integer"),
        (b'{"name": "a", "size": 3.0}', "`size`: Input should be a valid integer"),
        (b'{"name": "a", "size": true}', "`size`: Input should be a valid integer"),
        (b'{"name": "a", "size": 3, "more": 1}', "`more`: Extra inputs"),
        (b'{"name": "a", "size": 3, "seal": "sha256:0"}', "it was changed after it was written"),
        (b'{"name": "sha256:0", "size": 3}', "it has no seal"),
        (b"[]", "valid dictionary|object"),
    ],
)
def test_what_is_no_such_state_is_refused_in_words(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=rf"cannot read a state file\n  where: .*state\.json\n  got: .*({message})"):
        read_state(path, THING)
    assert read_cache(path, THING, None) is None


def test_a_missing_a_too_large_and_an_impossible_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_state(tmp_path / "gone.json")
    with pytest.raises(UserError, match="Is a directory"):
        read_state(tmp_path)
    large = tmp_path / "large.json"
    with open(large, "wb") as file:
        file.truncate(MOST_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(UserError, match="more than 268,435,456 bytes"):
        read_state(large)


@settings(max_examples=20)
@given(st.dictionaries(st.text().filter(lambda key: key != SEAL), JSON, max_size=4))
def test_a_sealed_object_comes_back_and_no_changed_bit_does(value: dict[str, Any]) -> None:
    text = json.dumps(sealed(value)).encode()
    assert parse_lines(text.decode()) == [value]
    for place in range(0, len(text) * 8, max(1, len(text) // 6)):
        changed = bytearray(text)
        changed[place // 8] ^= 1 << place % 8
        try:
            found = parse_lines(changed.decode())
        except (ValueError, UnicodeDecodeError):
            continue
        assert found in ([value], []) or b"\n" in changed, f"bit {place} of {text!r} is read as {found}"


def test_a_state_has_the_same_bytes_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    write_state(tmp_path / "a", VALUE)
    write_state(tmp_path / "b", dict(reversed(VALUE.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_state(tmp_path / "a", THING, sealed=True) == VALUE


def test_lines_leave_out_what_a_kill_has_cut_short_and_name_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_lines(path, THING) == []
    line = json.dumps(VALUE)
    path.write_text(f'{line}\n{line}\n{{"name"', encoding="utf-8")
    assert read_lines(path, THING) == [VALUE, VALUE]
    path.write_text(f'{line}\n{{"name"\n{line}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"got: line 2: "):
        read_lines(path, THING)
    path.write_text(line + "\u2028\n", encoding="utf-8")  # a line end to `str.splitlines`, and to nobody else
    with pytest.raises(UserError, match=r"got: line 1: Extra data"):
        read_lines(path, THING)


# ---- tables --------------------------------------------------------------------------------

CELL = st.text(st.characters(codec=None), max_size=12)
HOSTILE = (
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "a\tb",
    "a\nb",
    "a\rb",
    "\\n",
    "\x1b[2J",
)
NUMBERS = ("-3", "+4.5", "-1e-07", "0", "-.5")


@settings(max_examples=40)
@given(st.lists(st.lists(CELL, min_size=2, max_size=3), max_size=4), st.sampled_from("\t,;"))
def test_a_table_comes_back_as_it_was(rows: list[list[str]], delimiter: str) -> None:
    text = write_table(["a", "b"], rows, delimiter)
    assert read_table(text, delimiter) == [["a", "b"], *rows]
    assert text.count("\n") == len(rows) + 1 and text.isprintable() is False and text.encode()


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_spreadsheet_sees_text_in_one_cell(cell: str) -> None:
    """As Excel and LibreOffice open a table: cells by the delimiter, formulas by their first character."""
    for delimiter in "\t,":
        (shown,) = list(csv.reader(io.StringIO(write_table(["a"], [[cell, "next"]], delimiter)), delimiter=delimiter))[
            1:
        ]
        assert len(shown) == 2 and shown[0][0] not in "=+-@\t\r" and shown[0].isprintable()


@pytest.mark.parametrize("cell", NUMBERS)
def test_numbers_stay_numbers(cell: str) -> None:
    assert write_table(["a"], [[cell]]) == f"a\n{cell}\n"


@pytest.mark.parametrize("text", ["a\n\\x\n", "a\n\\\n", "a\n\\u00g0\n", 'a\n"\0"\n' + "x" * 200_000 + "\n"])
def test_what_no_table_says_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands for nothing|field larger than|line contains NUL"):
        read_table(text)


def test_the_tables_of_others_are_read_as_they_are() -> None:
    assert read_foreign("'=1,\\n\n", ",") == [["'=1", "\\n"]]


def test_json_of_others_may_be_anything_that_can_be_written_again() -> None:
    assert parse_json('[1, 2.5, "\\u00e4", null]') == [1, 2.5, "ä", None]
