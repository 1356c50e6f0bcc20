"""Every command of the project answers --help; what stands there is looked at by tests/test_commands.py."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import parent

ROOT = Path(__file__).resolve().parent.parent
# Sub-commands that a command takes off its line before argparse sees them.
TAKEN_OFF = {"voxelize": ("info", "shard"), "render": ("shard", "backgrounds", "pack", "sheet", "audit")}

COPIED = ("training/inference/portable.py",)  # into exported folders, and run there


def commands() -> Iterator[str]:
    """Dotted names that ``python -m`` runs."""
    for package in ("pipeline", "voxelize", "render", "training", "report", "shapes", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "node_modules" in parts or path.relative_to(ROOT).as_posix() in COPIED:
                continue
            if parts[-1] == "__main__":
                yield ".".join(parts[:-1])
            elif '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
                yield ".".join(parts)


def test_the_commands_are_found() -> None:
    assert {"pipeline", "voxelize", "render", "training", "report", "shapes", "benchmarks.loader"} <= set(commands())


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # runpy's own, of a module seen before
@pytest.mark.parametrize("command", list(commands()))
def test_every_command_answers_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parent, "watch", lambda: None)  # this process is no command

    # A command that does not read its line must not do its work here.
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail(f"{command} does not read --help"))

    def answer(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", [command, *words, "--help"])
        with pytest.raises(SystemExit) as left:
            runpy.run_module(command, run_name="__main__", alter_sys=True)
        assert left.value.code in (0, None), words
        text = capsys.readouterr().out
        assert text.startswith("usage: ") and f"python -m {command}" in text, words
        return text

    for words in ((), *((word,) for word in TAKEN_OFF.get(command, ()))):
        answer(*words)
