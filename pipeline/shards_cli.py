"""``python -m pipeline shards index|info|verify|export|sheet``: look into shards and list them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.progress import Log, say
from pipeline.shards_index import write_index


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command."""
    arguments = _parser().parse_args(argv)
    code: int = arguments.run(arguments)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline shards", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    index = commands.add_parser("index", help="list the shards of one data set in index.json")
    index.add_argument("files", nargs="+", type=Path, metavar="FILE.h5")
    index.add_argument("-o", "--output", type=Path, required=True, metavar="index.json")
    index.add_argument("--log", type=Path, help="JSON lines of what was done")
    index.set_defaults(run=_index)
    return parser


def _index(arguments: argparse.Namespace) -> int:
    index = write_index(arguments.files, arguments.output)
    total = sum(index["counts"].values())
    with Log(arguments.log) as log:
        log.write("index", shards=len(index["shards"]), shapes=total, digest=index["digest"])
    say(f"index: {index['dataset']}: {total} shapes in {len(index['shards'])} shards "
        f"({', '.join(f'{split} {count}' for split, count in index['counts'].items())})")
    return 0
