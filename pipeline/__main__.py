"""``python -m pipeline COMMAND``: the stages before voxels and renders, and the tools around a run.

Each command imports its own module only, so that every job of the DAG starts fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError, run_command


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
    parsed = _parser().parse_args(arguments)
    parsed.passed_on = passed_on
    code: int = parsed.run(parsed)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    generate = _stage(commands, "generate", "write a generated data set as real archives", _generate)
    generate.add_argument("--dataset", required=True)
    generate.add_argument("--seed", type=int, required=True)

    rooms = commands.add_parser("rooms", help="draw room-like pictures for backgrounds")
    rooms.add_argument("--seed", type=int, required=True)
    rooms.add_argument("--count", type=int, required=True, help="pictures to draw")
    rooms.add_argument("-o", "--output", type=Path, required=True, help="folder")
    rooms.add_argument("--log", type=Path, help="JSON lines of what was done")
    rooms.set_defaults(run=_rooms)

    fetch = _stage(commands, "fetch", "get the archives of a data set", _fetch)
    what = fetch.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset")
    what.add_argument("--backgrounds", action="store_true", help="the photographs views are put in front of")
    fetch.add_argument("--mirror", type=Path, help="a folder to try first")

    index = _stage(commands, "index", "list the shapes of a data set", _index)
    index.add_argument("--dataset", required=True)
    index.add_argument("--seed", type=int, required=True)
    index.add_argument("--archives", type=Path, required=True)

    prepare = _stage(commands, "prepare", "validate and normalise the meshes of one shard", _prepare)
    prepare.add_argument("--archives", type=Path, required=True)
    prepare.add_argument("--shard", type=Path, required=True)

    imported = _stage(commands, "import", "take over the pictures and voxels of a source that has them", _import)
    imported.add_argument("--archives", type=Path, required=True)
    imported.add_argument("--shard", type=Path, required=True)
    what = imported.add_mutually_exclusive_group(required=True)
    what.add_argument("--voxels", type=Path, help="the pack of .binvox to write, of a source that has voxels")
    what.add_argument("--prepared", type=Path, help="the pack of meshes that the pictures show, of one that has none")

    _stage(commands, "photographs", "pair photographs with voxels, to judge networks on", _photographs)

    ledger = _stage(commands, "ledger", "account for every shape of a data set", _ledger)
    ledger.add_argument("--dataset", required=True)
    ledger.add_argument("--index", type=Path, required=True, help="folder of `index`")
    ledger.add_argument("--packs", type=Path, nargs="*", default=[], help="outputs of prepare, voxelize, render")

    config = commands.add_parser("config", help="print the configuration as it is understood, or its schema")
    config.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"))
    config.add_argument("--schema", action="store_true", help="print the JSON schema for editors")
    config.set_defaults(run=_config)

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

    doctor = commands.add_parser("doctor", help="what is there, what is missing, what to do next")
    doctor.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"))
    doctor.add_argument("--offline", action="store_true", help="do not ask the mirrors")
    doctor.set_defaults(run=_doctor)

    commands.add_parser("shards", help="list, inspect, verify and export training shards", add_help=False)
    return parser


def _stage(commands: argparse._SubParsersAction, name: str, text: str, run: object) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    """A command of the DAG: settings in, one output, a log."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.add_argument("--settings", required=True, help="JSON of the settings this stage depends on")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--log", type=Path, help="JSON lines of what was done")
    parser.set_defaults(run=run)
    return parser


def _generate(arguments: argparse.Namespace) -> int:
    from pipeline.furniture import generate
    from pipeline.progress import Log
    from pipeline.settings.datasets import Procedural
    from pipeline.settings.parse import parse

    settings = parse(Procedural, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        generate(arguments.dataset, settings, arguments.output, seed=arguments.seed, log=log)
        log.write("generate", dataset=arguments.dataset, layout=settings.layout)
    return 0


def _rooms(arguments: argparse.Namespace) -> int:
    from pipeline.furniture.rooms import write_rooms
    from pipeline.progress import Log

    with Log(arguments.log) as log:
        write_rooms(arguments.seed, arguments.count, arguments.output)
        log.write("rooms", count=arguments.count)
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.backgrounds import Backgrounds
    from pipeline.settings.datasets import Dataset
    from pipeline.settings.parse import parse
    from pipeline.stages.fetch import fetch_backgrounds, fetch_dataset

    with Log(arguments.log) as log:
        if arguments.backgrounds:
            fetch_backgrounds(parse(Backgrounds, arguments.settings, "--settings"), arguments.output, log=log)
        else:
            settings = parse(Dataset, arguments.settings, "--settings")
            fetch_dataset(arguments.dataset, settings, arguments.output, mirror=arguments.mirror, log=log)
    return 0


def _index(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.datasets import Dataset
    from pipeline.settings.parse import parse
    from pipeline.stages.index import index_dataset

    settings = parse(Dataset, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        index_dataset(arguments.dataset, settings, arguments.archives, arguments.output, seed=arguments.seed, log=log)
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.datasets import PrepareSettings
    from pipeline.settings.parse import parse
    from pipeline.stages.prepare import prepare_shard

    settings = parse(PrepareSettings, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        prepare_shard(settings, arguments.archives, arguments.shard, arguments.output, log=log)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.datasets import ImportSettings
    from pipeline.settings.parse import parse
    from pipeline.stages.import_views import import_pictures, import_shard

    settings = parse(ImportSettings, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        import_one, other = (
            (import_pictures, arguments.prepared) if arguments.prepared else (import_shard, arguments.voxels)
        )
        import_one(settings, arguments.archives, arguments.shard, other, arguments.output, log=log)
    return 0


def _photographs(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.parse import parse
    from pipeline.settings.photographs import PhotographSettings
    from pipeline.stages.photographs import build

    settings = parse(PhotographSettings, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        build(settings, arguments.output, log=log)
    return 0


def _ledger(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.settings.datasets import Dataset
    from pipeline.settings.parse import parse
    from pipeline.stages.ledger import write_ledger

    settings = parse(Dataset, arguments.settings, "--settings")
    with Log(arguments.log) as log:
        write_ledger(arguments.dataset, settings, arguments.index, arguments.packs, arguments.output, log=log)
    return 0


def _config(arguments: argparse.Namespace) -> int:
    from pipeline.settings.config import json_schema, load

    print(json_schema() if arguments.schema else load(arguments.file).model_dump_json(indent=1))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from pipeline.progress import Log
    from pipeline.upkeep.verify import verify_run

    with Log(arguments.log) as log:
        return verify_run(arguments.output, log=log, mend=arguments.repair, snakemake=arguments.passed_on)


def _costs(arguments: argparse.Namespace) -> int:
    from pipeline.upkeep.costs import report

    return report(arguments.output, arguments.shapes, arguments.cores)


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
    return examine(arguments.file, offline=arguments.offline)


if __name__ == "__main__":
    sys.exit(run_command(main))
