# PYTHON_ARGCOMPLETE_OK
"""``python -m render shard | backgrounds | pack | sheet | audit``, or ``python -m render MESH...`` to look."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.commandline.parser import Parser
from pipeline.errors import run_command
from pipeline.progress import Log
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.parse import parse
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings

COMMANDS = ("shard", "backgrounds", "pack", "sheet", "audit")
Command = Callable[[argparse.Namespace, Log], None]


def shard(arguments: argparse.Namespace, log: Log) -> None:
    from render.shard import render_shard

    settings = parse(Render, arguments.settings, "--settings")
    render_shard(arguments.prepared, arguments.output, seed=arguments.seed, settings=settings, log=log)


def backgrounds(arguments: argparse.Namespace, log: Log) -> None:
    from render.backgrounds import build_bank

    settings = parse(Backgrounds, arguments.settings, "--settings")
    source = arguments.source or Path(settings.path or "")
    build_bank(source, arguments.output, seed=arguments.seed, settings=settings, render_px=arguments.render_px, log=log)


def pack(arguments: argparse.Namespace, log: Log) -> None:
    from render.pack import pack_shard

    settings = parse(PackSettings, arguments.settings, "--settings")
    pack_shard(
        arguments.renders,
        arguments.voxels,
        arguments.bank,
        arguments.output,
        seed=arguments.seed,
        settings=settings,
        log=log,
        shapes=arguments.shapes,
        clusters=arguments.clusters,
    )


def sheet(arguments: argparse.Namespace, log: Log) -> None:
    from render.sheet import sheets_of_index

    sheets_of_index(
        arguments.shards_index, arguments.output, shapes=arguments.shapes, bank_path=arguments.bank, log=log
    )


def audit(arguments: argparse.Namespace, log: Log) -> None:
    from render.audit import audit_index

    audit_index(arguments.shards_index, arguments.output, log=log)


def parser() -> Parser:
    """The sub-commands of the DAG."""
    top = Parser(prog="python -m render", top=True, description="The commands of the workflow that draw.")
    commands = top.add_subparsers(dest="command")

    def add(name: str, run: Command, help_text: str) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = commands.add_parser(name, help=help_text, for_workflow=True)
        one.set_defaults(run=run)
        one.add_argument("--log", type=Path, help="file for JSON lines")
        return one

    one = add("shard", shard, "draw every view of a prepared pack")
    one.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")
    one.add_argument("--settings", default="{}", help="JSON of the `render` section")
    one.add_argument("--prepared", type=Path, required=True, help="pack of .glb files")
    one.add_argument("-o", "--output", type=Path, required=True, help="file to make")

    one = add("backgrounds", backgrounds, "make the bank of background crops")
    one.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")
    one.add_argument("--settings", default="{}", help="JSON of the `backgrounds` section")
    one.add_argument("--render-px", type=int, default=64, help="side of the views")
    one.add_argument("--source", type=Path, help="folder, zip or tar of pictures; default: backgrounds.path")
    one.add_argument("-o", "--output", type=Path, required=True, help="file to make")

    one = add("pack", pack, "composite views, add voxels: one training shard")
    one.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")
    one.add_argument("--settings", default="{}", help="JSON: storage, compositing, background")
    one.add_argument("--renders", type=Path, required=True, help="shard of foregrounds")
    one.add_argument("--voxels", type=Path, required=True, help="pack of .binvox files")
    one.add_argument("--bank", type=Path, help="needed for photographs")
    one.add_argument("--shapes", type=Path, help="shape list of the shard, which says the split of each shape")
    one.add_argument("--clusters", type=Path, help="near-duplicates, where they stay on one side of the split")
    one.add_argument("-o", "--output", type=Path, required=True, help="file to make")

    one = add("sheet", sheet, "contact sheets of a data set: sheet.png and one a category")
    one.add_argument("--shards-index", type=Path, required=True, help="shards/<data set>/index.json")
    one.add_argument("--shapes", type=int, default=24, help="shapes on each sheet")
    one.add_argument("--bank", type=Path, help="needed for shards in layers")
    one.add_argument("-o", "--output", type=Path, required=True, help="folder")

    one = add("audit", audit, "check that voxels and views agree: axes, silhouettes, empty or black views")
    one.add_argument("--shards-index", type=Path, required=True, help="shards/<data set>/index.json")
    one.add_argument("-o", "--output", type=Path, required=True, help="audit.json")
    return top


def main(argv: list[str]) -> int:
    """Run one sub-command, or look at meshes."""
    if not argv or argv[0] not in COMMANDS:
        from render.preview import preview

        preview(argv, COMMANDS)
        return 0
    arguments = parser().parse_args(argv)
    with Log(arguments.log) as log:
        arguments.run(arguments, log)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
