"""One grammar for all commands: what --help says, slips of the finger, --quiet, completion, and docs/commands.md."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline.__main__
import pipeline.shards.command
import render.__main__
import render.preview
import report.__main__
import shapes.command
import training.command.train
import voxelize.cli
from pipeline.commandline.parser import Commands, Parser
from pipeline.errors import CALLED, QUIET, UserError, as_called, remedy, run_command
from pipeline.progress import say
from pipeline.provenance import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
PARSERS: dict[str, Callable[[], Parser]] = {
    "pipeline": pipeline.__main__.parser,
    "pipeline shards": pipeline.shards.command.parser,
    "voxelize": voxelize.cli.parser,
    "render": render.preview.parser,
    "render COMMAND": render.__main__.parser,
    "training": training.command.train.parser,
    "report": report.__main__.parser,
    "shapes": shapes.command.parser,
    **{f"pipeline {name}": lambda name=name: pipeline.__main__.parser(name) for name in pipeline.__main__.STAGES},
}


def commands_of(parser: argparse.ArgumentParser) -> Commands | None:
    return next((action for action in parser._actions if isinstance(action, Commands)), None)


def all_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    found = commands_of(parser)
    for below in dict.fromkeys(found.choices.values()) if found else ():
        yield from all_below(below)


@pytest.mark.parametrize("name", PARSERS)
def test_every_option_is_explained_and_every_default_told(name: str) -> None:
    for parser in all_below(PARSERS[name]()):
        text = "".join(parser.format_help().split())
        for action in parser._actions:
            if isinstance(action, Commands) or action.dest == "words":
                continue
            assert action.help, f"{parser.prog}: {action.dest} says nothing of itself"
            if action.default in (None, False, argparse.SUPPRESS, [], ()) or action.required or action.nargs == 0:
                continue
            own = parser._get_formatter()._expand_help(action)
            assert "default" in own and "".join(own.split()) in text, f"{parser.prog}: {action.dest}: {own}"


@pytest.mark.parametrize("name", ["pipeline", "pipeline shards", "training", "report", "render COMMAND", "shapes"])
def test_a_slip_of_the_finger_is_answered_with_the_word_that_was_meant(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = PARSERS[name]()
    found = commands_of(parser)
    assert found is not None
    for word in found.choices:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([f"{word}x"])
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert f"there is no command '{word}x'; did you mean '{word}'?" in said


def test_what_the_workflow_calls_stands_apart(capsys: pytest.CaptureFixture[str]) -> None:
    text = pipeline.__main__.parser().format_help()
    mine, called = text.split("called by the workflow:")
    assert "for you:" in mine and "doctor" in mine and "prepare" not in mine
    assert {word for word in pipeline.__main__.STAGES if not re.search(rf"^ +{word}\b", called, re.MULTILINE)} == set()


def test_quiet_hides_progress_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(QUIET, "")
    monkeypatch.delenv(QUIET)
    say("heard")
    voxelize.cli.parser().parse_args(["a.obj", "--quiet"])
    say("not heard")
    say("what went wrong", needed=True)
    assert capsys.readouterr().err == "heard\nwhat went wrong\n"
    monkeypatch.delenv(QUIET)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("run `python -m pipeline verify --repair` now", "run `shapes verify --repair` now"),
        ("`python -m training sample`, `python -m voxelize a.obj`", "`shapes sample`, `shapes voxelize a.obj`"),
        ("python -m render backgrounds", "shapes render backgrounds"),
        ("snakemake --cores 16 shards_all", "shapes run --cores 16 shards_all"),
        ("PATH=/opt/env/bin:$PATH snakemake --cores 2", "shapes run --cores 2"),
        ("`snakemake evaluate_all`", "`shapes run evaluate_all`"),
        ("the snakemake that runs; python -m json.tool", "the snakemake that runs; python -m json.tool"),
        ("python -m shapes init DIR", "shapes init DIR"),
    ],
)
def test_messages_name_the_command_that_was_given(
    text: str, called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise UserError(text)

    monkeypatch.setattr("pipeline.parent.watch", lambda: None)  # this process is no command
    assert as_called(text) == text
    monkeypatch.setenv(CALLED, "shapes")
    assert as_called(text) == called
    assert run_command(fails) == 1
    say(text)
    assert capsys.readouterr().err == f"error: {called}\n{called}\n"


def test_only_a_product_is_advised_to_be_deleted(tmp_path: Path) -> None:
    readme, shard = tmp_path / "README.md", tmp_path / "000.h5"
    readme.touch(), shard.touch()
    assert "delete" not in remedy(readme, ".h5") and "delete" not in remedy(tmp_path / "absent.h5", ".h5")
    assert remedy(shard, ".h5") == "delete the file and run the command that makes it again"


def test_nobody_advises_to_delete_without_looking_first() -> None:
    """`remedy` looks; a text of its own is for a file whose name the pipeline chose."""
    own = ("pipeline/errors.py", "pipeline/shards/", "pipeline/formats/pack.py", "pipeline/sources/")
    texts = {
        path: path.read_text(encoding="utf-8")
        for room in ("pipeline", "render", "training", "voxelize")
        for path in (ROOT / room).rglob("*.py")
    }
    found = {path.relative_to(ROOT).as_posix() for path, text in texts.items() if '"delete the file and' in text}
    assert {place for place in found if not place.startswith(own)} == set()


def test_no_advice_names_a_command_that_is_gone() -> None:
    files = [path for room in PACKAGES for path in (ROOT / room).rglob("*.py")]
    found = [path.name for path in files if "huggingface-cli" in path.read_text(encoding="utf-8")]
    assert found == [] and len(files) > 200


def test_an_interrupted_command_promises_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.parent.watch", lambda: None)
    assert run_command(interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("shapes doc", {"doctor"}), ("shapes sample --cou", {"--count"}), ("shapes verify --rep", {"--repair"})],
)
def test_a_shell_completes_commands_and_their_options(line: str, wanted: set[str], tmp_path: Path) -> None:
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    answers = tmp_path / "answers"
    subprocess.run(
        [sys.executable, "-m", "shapes"],
        cwd=ROOT,
        env={**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(answers)},
        capture_output=True,
        check=True,
    )
    assert {word.strip() for word in answers.read_text().split("\n")} == wanted


# ---- docs/commands.md ------------------------------------------------------------------------


def test_the_page_of_commands_names_every_one_and_every_exit_code() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = []
    for name in ("pipeline", "pipeline shards", "training"):
        found = commands_of(PARSERS[name]())
        assert found is not None
        words = f"{name} " if name == "pipeline shards" else ""
        missing += [
            f"{words}{word}"
            for word in found.choices
            if word not in found.for_workflow
            and f"`{words}{word}`" not in page.replace("`shards ", "`pipeline shards ")
        ]
    missing += [word for word in shapes.command.PASSED_ON if f"`{word}`" not in page]
    assert missing == []
    assert re.findall(r"^\| `(\d+)` \|", page, re.MULTILINE) == ["0", "1", "2", "130", "143"]


def test_what_the_application_passes_on_exists() -> None:
    for name, (room, command, _) in shapes.command.PASSED_ON.items():
        if command:
            found: Any = commands_of(PARSERS[room]())
            assert command in found.choices, name
