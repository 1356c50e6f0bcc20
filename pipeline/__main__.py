# PYTHON_ARGCOMPLETE_OK
"""``python -m pipeline COMMAND``: the stages before voxels and renders, and the tools around a run.

Each command imports its own module only, so that every job of the DAG starts fast.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commandline.parser import Parser
from pipeline.errors import UserError, run_command

if TYPE_CHECKING:
    from pipeline.progress import Log

CONFIG = Path("config.yaml")
# The stages that belong to no other package: rule, command and module (pipeline/stages/) bear one name.
STAGES = {
    "generate": "write a generated data set as real archives",
    "rooms": "draw room-like pictures for backgrounds",
    "fetch": "get the archives of a data set",
    "index": "list the shapes of a data set",
    "prepare": "validate and normalise the meshes of one shard",
    "import_voxels": "take over the voxels of a source that has them",
    "import_views": "take over the pictures of a source that has them",
    "photographs": "pair photographs with voxels, to judge networks on",
    "clusters": "find the near-duplicates of a data set, which stay on one side of the split",
    "ledger": "account for every shape of a data set",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["shards"]:
        from pipeline.shards.command import main as shards

        return shards(arguments[1:])
    passed_on: list[str] = []
    if arguments[:1] == ["verify"] and "--" in arguments:
        at = arguments.index("--")
        arguments, passed_on = arguments[:at], arguments[at + 1 :]
    parsed = parser(next(iter(arguments), "")).parse_args(arguments)
    parsed.passed_on = passed_on
    code: int = parsed.run(parsed)
    return code


def parser(command: str = "") -> Parser:
    """All sub-commands; of the stages only `command` knows its own options, whose module is loaded for them."""
    top = Parser(
        prog="python -m pipeline",
        top=True,
        description="The stages before voxels and views, and the tools around a run.",
    )
    commands = top.add_subparsers()
    _for_people(commands)
    for name, text in STAGES.items():
        _stage(commands.add_parser(name, help=text, for_workflow=True), name, chosen=name == command)
    return top


def _for_people(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="what is there, what is missing, what to do next")
    doctor.add_argument("file", type=Path, nargs="?", default=CONFIG, help="the configuration")
    doctor.add_argument("--offline", action="store_true", help="do not ask the mirrors")
    doctor.set_defaults(run=_doctor)

    config = commands.add_parser("config", help="print the configuration as it is understood, or its schema")
    config.add_argument("file", type=Path, nargs="?", default=CONFIG, help="the configuration")
    what = config.add_mutually_exclusive_group()
    what.add_argument("--schema", action="store_true", help="print the JSON schema for editors")
    what.add_argument("--page", action="store_true", help="print docs/config.md: every key, its type and default")
    config.set_defaults(run=_config)

    for name, text in (
        ("why", "why jobs would run: which key, which module, which file"),
        ("accept", "keep products across a change of code that is known to be harmless"),
    ):
        command_of = commands.add_parser(name, help=text)
        command_of.add_argument("targets", nargs="*", help="targets, rules or files; left out: everything")
        command_of.add_argument("--configfile", type=Path, default=CONFIG, help="the configuration")
        command_of.set_defaults(run=_why, command=name)

    verify = commands.add_parser("verify", help="compare every file of a run with its checksums")
    verify.add_argument("output", type=Path, nargs="?", default=Path("results"), help="output folder of the run")
    verify.add_argument("--repair", action="store_true", help="make just what is damaged or missing again")
    verify.add_argument("--log", type=Path, help="JSON lines of what was found")
    verify.epilog = "What follows `--` is passed on to snakemake: verify --repair -- --cores 16"
    verify.set_defaults(run=_verify)

    costs = commands.add_parser("costs", help="time, memory and disk of each stage, and of more shapes")
    costs.add_argument("output", type=Path, nargs="?", default=Path("results"), help="output folder of the run")
    costs.add_argument("--shapes", type=int, help="also say what so many shapes will take")
    costs.add_argument("--cores", type=int, default=16, help="on so many cores")
    costs.set_defaults(run=_costs)

    for machine in (doctor, verify, costs, commands.choices["why"]):
        machine.add_argument("--json", action="store_true", help="one JSON object instead of text")
    commands.add_parser("shards", help="list, inspect, verify and export training shards", add_help=False, quiet=False)


def _stage(command: argparse.ArgumentParser, name: str, *, chosen: bool) -> None:
    """A command of the DAG: settings in, one output, a log; only the chosen one's module is loaded."""
    if name != "rooms":
        command.add_argument("--settings", required=True, help="JSON of the settings this stage depends on")
    command.add_argument("-o", "--output", type=Path, required=True, help="what to make")
    command.add_argument("--log", type=Path, help="JSON lines of what was done")
    if not chosen:
        return
    stage = importlib.import_module(f"pipeline.stages.{name}")
    stage.arguments(command)
    command.set_defaults(run=functools.partial(_run_stage, stage.run))


def _run_stage(run: Callable[[argparse.Namespace, Log], None], arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log

    with Log(arguments.log) as log:
        run(arguments, log)
    return 0


def _config(arguments: argparse.Namespace) -> int:
    from pipeline.settings.config import json_schema, load

    if arguments.page:
        from pipeline.upkeep.config_page import page

        print(page(), end="")
        return 0
    print(json_schema() if arguments.schema else json.dumps(load(arguments.file).model_dump(mode="json"), indent=1))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.upkeep.verify import verify_run

    with Log(arguments.log) as log:
        return verify_run(
            arguments.output, log=log, mend=arguments.repair, snakemake=arguments.passed_on, as_json=arguments.json
        )


def _why(arguments: argparse.Namespace) -> int:
    from pipeline.upkeep import why

    if arguments.command == "accept":
        return why.accept(arguments.configfile, arguments.targets)
    return why.explain(arguments.configfile, arguments.targets, as_json=arguments.json)


def _costs(arguments: argparse.Namespace) -> int:
    from pipeline.upkeep.costs import report

    return report(arguments.output, arguments.shapes, arguments.cores, as_json=arguments.json)


def _doctor(arguments: argparse.Namespace) -> int:
    try:
        from pipeline.upkeep.doctor import examine
    except ModuleNotFoundError as error:
        raise UserError(
            "this Python does not have the pipeline's packages",
            where=sys.executable,
            got=f"no {error.name}",
            do="run `make setup`, then `.venv/bin/python -m pipeline doctor`",
        ) from error
    return examine(arguments.file, offline=arguments.offline, as_json=arguments.json)


if __name__ == "__main__":
    downloads = sys.argv[1:2] == ["fetch"]
    going_on = "interrupted; the same command again goes on with what is downloaded" if downloads else "interrupted"
    sys.exit(run_command(main, interrupted=going_on))
