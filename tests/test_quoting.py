"""A folder of any name: no shell takes it to pieces, and what cannot be a folder is refused before any job."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.settings import config
from tests.test_rules import made
from tests.world import ROOT, World

HOSTILE = "a b'\"$(touch X) `touch X`; touch X #é*"
# What a rule's command may hold unquoted: wildcards and data set names match a pattern, numbers are numbers,
# a launcher is words of ours and what the profile names it, and these are put together by shlex.join.
PLAIN = {"launcher", "seed", "pictures", "planted", "keep", "shapes", "render_px", "name", "shards"}
JOINED = {"mirror", "bank", "prepared"}
# These are commands or options, with paths quoted where they are written: in the rule, or in a function of common.smk.
COMMANDS = {"beside", "clusters", "in_pieces"}
COMMON = ROOT / "pipeline" / "rules" / "common.smk"


@pytest.mark.parametrize("name", sorted(made()))
def test_every_path_in_a_command_is_quoted(name: str) -> None:
    block = made()[name]
    command = block.split("shell:")[1]
    unquoted = set(re.findall(r"\{(input|output|log|params)\b[\w.]*\}", command))
    named = set(re.findall(r"\{params\.(\w+)\}", command))
    assert unquoted <= {"params"} and named <= PLAIN | JOINED | COMMANDS
    for written in named & COMMANDS:
        own = re.search(rf"\b{written}=lambda(?:.|\n)*?\n        \),", block)
        text = own or re.search(rf"\ndef {written}\((?:.|\n)*?(?=\ndef |\Z)", COMMON.read_text(encoding="utf-8"))
        assert text and re.search(r"shlex\.(quote|join)\(", text[0]), f"{written} is put together unquoted"
    for joined in named & JOINED:
        assert re.search(rf"{joined}=[^\n]*(\n\s+)?[^\n]*shlex\.join", block), f"{joined} is put together unquoted"


@pytest.mark.workflow
def test_an_output_that_a_shell_would_run_is_a_folder(tmp_path: Path) -> None:
    world = World(tmp_path / HOSTILE)
    world.edit(output=HOSTILE)
    world.run("download_all")
    assert {path.name for path in (world.folder / HOSTILE / "archives").glob("*.json")} == {"mn.json", "sn.json"}
    assert list(tmp_path.rglob("X")) == []
    # Of every other job the command as bash reads it: paths stay single words.
    shown = world.run("-n", "--printshellcmds", "--quiet", "host", "--", "all", "train_all", "evaluate_all")
    commands = [line for line in (shown.stdout + shown.stderr).splitlines() if "python -m " in line]
    assert len(commands) > 20
    for command in commands:
        words = shlex.split(command.split("python -m ", 1)[1], comments=True)
        paths = [word for word in words if "touch X" in word]
        assert paths and all((path + "/").startswith(f"{HOSTILE}/") for path in paths), command


@pytest.mark.parametrize(
    "value", ["", "/", "//", "..", "a/../b", "~/x", "-o", "a\nb", "a\x00b", "{dataset}", "a}", "x" * 300]
)
def test_what_cannot_be_a_folder_is_refused(value: str) -> None:
    with pytest.raises(UserError, match="output"):
        config.check({"datasets": {"d": {"source": "modelnet10"}}, "output": value})


@pytest.mark.parametrize("value", ["results", "./results/", "/data/my results", "é", HOSTILE, "."])
def test_what_can_be_a_folder_is_taken(value: str) -> None:
    assert config.check({"datasets": {"d": {"source": "modelnet10"}}, "output": value}).output == value
