"""``shapes COMMAND``: makes a folder for a run, runs it, and passes the other commands on to the rooms."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.commandline.parser import Commands, Parser, complete
from pipeline.errors import UserError
from shapes.entry import environment
from shapes.folder import PRESETS, make_folder

# Command -> the room and its sub-command that it stands for, and what it does.
PASSED_ON = {
    "voxelize": ("voxelize", "", "voxels of meshes, with binvox's flags"),
    "render": ("render", "", "pictures of meshes from several sides"),
    "reconstruct": ("training", "reconstruct", "a shape from a photograph"),
    "sample": ("training", "sample", "shapes from the prior"),
    "interpolate": ("training", "interpolate", "the shapes between two photographs or samples"),
    "arithmetic": ("training", "arithmetic", "add and subtract codes of shapes"),
    "page": ("training", "page", "a page on which a network reconstructs in the browser"),
    "export": ("training", "export", "a folder of a network, for sharing"),
    "check": ("training", "check", "whether an exported network still makes what was measured"),
    "compare": ("training", "compare", "a table of experiments"),
    "shards": ("pipeline", "shards", "look into training shards, check them, take them apart"),
    "doctor": ("pipeline", "doctor", "what is there, what is missing, what to do next"),
    "config": ("pipeline", "config", "the configuration as it is understood"),
    "why": ("pipeline", "why", "why jobs would run"),
    "accept": ("pipeline", "accept", "keep products across a harmless change of code"),
    "verify": ("pipeline", "verify", "compare every file of a run with its checksum"),
    "costs": ("pipeline", "costs", "time, memory and disk of each stage"),
    # Whole rooms, for their other commands.
    "pipeline": ("pipeline", "", "every command of the stages before voxels and views"),
    "training": ("training", "", "every command of the trainer"),
    "report": ("report", "", "the commands that write the pages"),
}
_ROOMS = {"pipeline", "training", "report"}
# Where the parser of a room is, for completion.
_PARSERS = {
    "voxelize": "voxelize.cli",
    "render": "render.preview",
    "training": "training.command.train",
    "pipeline": "pipeline.__main__",
    "report": "report.__main__",
}
_LIMITS = ("--cores", "-c", "--jobs", "-j", "--executor", "-e", "--profile", "--workflow-profile")
_ELSEWHERE = ("--snakefile", "-s", "--directory", "-d", "--help", "-h", "--version", "-v")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; all but `init` replace this process by the one that does the work."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    complete(parser(_word_to_complete()))
    if words[:1] == ["run"]:
        _run(words[1:])
    if words and words[0] in PASSED_ON:
        room, command, _ = PASSED_ON[words[0]]
        _replace("-m", room, *filter(None, [command]), *words[1:])
    given = parser().parse_args(words)
    make_folder(given.folder, given.preset)
    return 0


def parser(completed: str = "") -> Parser:
    """`init`, and the names of all others; `completed` is the one whose own options are wanted too."""
    top = Parser(
        prog="python -m shapes",
        top=True,
        description="From messy meshes to a trained 3D-VAE-GAN.\n\n  shapes init chairs && cd chairs && shapes run",
        epilog="`shapes COMMAND --help` says more of each.",
    )
    commands = top.add_subparsers(dest="command")
    init = commands.add_parser("init", help="make a folder for a run: config.yaml, profiles, a Snakefile")
    init.add_argument("folder", type=Path, metavar="DIR", help="the folder to make; files that are there stay")
    init.add_argument("--preset", choices=PRESETS, default="demo", help="what config.yaml begins with")
    run = commands.add_parser(
        "run", help="run the workflow: [TARGET] [Snakemake's options]", add_help=False, prefix_chars="\0"
    )
    run.add_argument("words", nargs=argparse.REMAINDER)
    for name, (_, _, text) in PASSED_ON.items():
        own = [_parser_of(name)] if name == completed else []
        commands.add_parser(
            name,
            help=text,
            parents=own,
            add_help=False,
            quiet=False,
            conflict_handler="resolve",
            for_workflow=name in _ROOMS,
        )
    return top


def _run(words: Sequence[str]) -> NoReturn:
    """Snakemake in the folder where the command is given, on all cores unless something else is asked for."""
    given = [word.partition("=")[0] for word in words]
    if not Path("Snakefile").is_file() and not set(_ELSEWHERE) & set(given):
        raise UserError(
            "there is no Snakefile in this folder",
            where=str(Path.cwd()),
            do="make a folder for a run with `python -m shapes init DIR` and give the command there",
        )
    limited = any(word in _LIMITS or (word[:2] in ("-c", "-j") and word[2:].isdecimal()) for word in given)
    _replace("-m", "snakemake", *([] if limited else ["--cores", "all"]), *words)


def _replace(*words: str) -> NoReturn:
    """Another process of the same Python in the place of this one."""
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", *words], environment())


def _word_to_complete() -> str:
    words = os.environ.get("COMP_LINE", "").split()
    return words[1] if len(words) > 1 and words[1] in PASSED_ON else ""


def _parser_of(name: str) -> Any:
    """The parser of a room, or of one of its commands."""
    room, command, _ = PASSED_ON[name]
    top: Any = importlib.import_module(_PARSERS[room]).parser()
    if not command:
        return top
    (commands,) = (action for action in top._actions if isinstance(action, Commands))
    return commands.choices[command]
