"""Text of somebody else acts on no terminal, forges no line and turns no word round, wherever it is shown."""

from __future__ import annotations

import ast
import contextlib
import errno
import re
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.addresses import shown
from pipeline.commandline.parser import Parser
from pipeline.errors import UserError, run_command
from pipeline.foreign import visible, visible_field, visible_lines
from pipeline.formats.html import script_json, template
from pipeline.progress import progress, say, tell
from pipeline.state import record
from pipeline.state.tables import read_table, write_table
from tests.measures import modules
from tests.world import ROOT
from training.inference import portable

HOSTILE = {
    "a command of the terminal": "chair\x1b[2J\x1b]0;pwned\x07",
    "a command in one byte": "chair\x9b2J",
    "a line that is overwritten": "chair\rerror: none",
    "a line that is forged": "chair\n  what to do: curl evil",
    "a line of its own": "chair\nerror: forged",
    "NUL and backspace": "cha\x00ir\x08\x08",
    "turned round": "chair\u202egnp.exe",
    "isolated and turned": "chair\u2067gnp\u2069",
    "line ends of Unicode": "chair\u2028error: forged\u2029\x85",
    "half a character, as of a Latin-1 name": "chair\udce9",
    "nothing seen": "cha\u200bir\ufeff",
}
FORGED = re.compile(r"^(error: (forged|none)|  what to do: curl)", re.MULTILINE)


def bad_characters(text: str) -> set[str]:
    """Characters of Unicode's classes Cc, Cs, Zl, Zp, and the marks of direction, which a text may not show."""
    classes = {"Cc", "Cs", "Zl", "Zp"}
    found = {one for one in text if unicodedata.category(one) in classes and one not in "\n\t"}
    return found | {one for one in text if unicodedata.bidirectional(one) in BIDI or one in "\u200b\ufeff"}


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def failing(error: Exception) -> Callable[[str], None]:
    def fail() -> int:
        raise error

    return lambda _: sys.exit(run_command(fail))


def of_argparse(text: str) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--count", type=int)
    parser.parse_args([text, f"--{text}"])


def of_choices(text: str) -> None:
    parser = Parser(prog="x")
    parser.add_subparsers().add_parser("go")
    parser.parse_args([text])


def of_record(text: str) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file", text)
    print(f"error: cannot record what was made: {record.visible(str(error))}", file=sys.stderr)


def bar(text: str) -> None:
    for _ in progress([1], text):
        pass


PLACES: dict[str, Callable[[str], object]] = {
    **{
        f"{field} of an error": lambda text, field=field: failing(UserError(**({"what": "x"} | {field: text})))(text)  # type: ignore[misc]
        for field in ("what", "where", "got", "wanted", "do")
    },
    "a file that the system refuses": lambda text: failing(OSError(errno.EACCES, "Permission denied", text))(text),
    "what a library says of it": lambda text: failing(OSError(text))(text),
    "a line of progress": say,
    "a bar": bar,
    "a result": tell,
    "a wrong option": of_argparse,
    "a wrong command": of_choices,
    "an address": lambda text: print(shown(f"http://user:secret@host/{text}?x")),
    "the record of a job": of_record,
    "the exported program": lambda text: portable.main([text, "-o", f"{text}.npy", "--model", text]),
}


@pytest.mark.parametrize("place", PLACES)
def test_nothing_foreign_acts_on_a_terminal(
    place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: place == "a bar", raising=False)
    for text in HOSTILE.values():
        with contextlib.suppress(SystemExit, ValueError):  # ValueError: of Python itself, for a NUL in a path
            PLACES[place](text)
        told = "".join(capsys.readouterr())
        if place == "a bar":
            told = re.sub(r"\r|\x1b\[A", "", told)  # how tqdm draws
        assert bad_characters(told) == set() and (place == "a result" or not FORGED.search(told)), told
        assert "secret" not in told


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_foreign_acts_in_a_table_or_on_a_page(text: str, tmp_path: Path) -> None:
    table = write_table(["name", "why"], [[text, "x"]])
    assert bad_characters(table) == set() and table.count("\n") == 2
    assert read_table(table)[1] == [text, "x"], "and the cell is read back as it was"
    (tmp_path / "page.html").write_text("{% set policy, title, style = '', name, '' %}<p>{{ name }}</p>")
    page = template(tmp_path).render(name=text)
    assert bad_characters(page) == set(), "the half of a character could not even be written"
    assert set("\u202e\u2067\u2069") & set(script_json({text: [text]})) == set()


def test_what_we_break_ourselves_stays_broken_and_what_is_harmless_stays_itself() -> None:
    assert visible_field("one\n        two\nthree") == "one\n        two\\nthree"
    assert visible_lines("a\tb\nc\r") == "a\tb\nc\\r"
    plain = "Stühle é 椅子 כיסא می\u200cخواهم 👩\u200d🔧 a b.obj \\ ' \""
    assert visible(plain) == visible_lines(plain) == plain


@given(st.text(max_size=30))
def test_every_text_is_shown_on_one_line_and_twice_is_once(text: str) -> None:
    once = visible(text)
    assert visible(once) == once and bad_characters(once) == set() and len(once.splitlines()) <= 1
    once.encode()  # no half of a character is left


def test_a_terminal_that_knows_no_umlaut_is_no_reason_to_fail(tmp_path: Path) -> None:
    import io

    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert run_command(lambda: tell("Stühle × 3")) == 0
    assert out.buffer.getvalue() == b"St\\xfchle \\xd7 3\n"  # type: ignore[attr-defined]


# Modules that may write to a terminal themselves: each is an entry of PLACES, or prints nothing that is foreign.
MAY_PRINT = {
    "pipeline/progress.py": "say, tell and the bar",
    "pipeline/errors.py": "run_command",
    "pipeline/state/record.py": "runs after each job, and loads as little as it can",
    "training/inference/portable.py": "stands alone",
    "pipeline/__main__.py": "texts of our own: the schema and the page of the configuration",
    "pipeline/outputs.py": "bytes that were asked for",
    "training/command/launch.py": "what our own trainers have said",
}


WRITERS = {"print", "tqdm.write", "sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write"}


def prints(call: ast.Call) -> bool:
    """Whether a call writes to a terminal; JSON, which is written in ASCII, may always be printed."""
    words = [ast.unparse(word) for word in call.args]
    as_json = words and all(word.startswith("json.dumps(") and "ensure_ascii" not in word for word in words)
    return ast.unparse(call.func) in WRITERS and not as_json


def test_there_is_no_other_way_to_the_terminal() -> None:
    found = set()
    for path in modules():
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        if any(map(prints, calls)) and "benchmarks" not in path.parts:
            found.add(path.relative_to(ROOT).as_posix())
    assert found == set(MAY_PRINT)
