"""Look into shards, check them, take them apart, list them.

index    list the shards of one data set in index.json
info     what a shard holds, and what every dataset takes
verify   compare with the checksums; an index.json stands for all its shards
export   pictures, .binvox and JSON in folders, WebDataset tars, or Parquet
sheet    a picture of views beside voxels
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commandline.parser import Parser
from pipeline.errors import UserError, complain
from pipeline.manifest import sha256_of
from pipeline.outputs import output_of
from pipeline.pictures.bank import Bank, open_bank
from pipeline.progress import Log, progress, say, tell
from pipeline.shards.export import EXPORTS
from pipeline.shards.index import open_indexed, read_index, write_index
from pipeline.shards.read import Shard
from pipeline.shards.sheet import describe, draw_sheet, facts, write_sheet
from pipeline.shards.verify import LEVELS, verify_shard

_THREADS = min(4, os.cpu_count() or 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command."""
    arguments = parser().parse_args(argv)
    code: int = arguments.run(arguments)
    return code


def parser() -> Parser:
    """All sub-commands."""
    top = Parser(prog="python -m pipeline shards", top=True, description=__doc__.splitlines()[0])
    commands = top.add_subparsers()

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = commands.add_parser(name, help=text, for_workflow=name == "index")
        one.add_argument("files", nargs="+", type=Path, metavar="FILE", help="shards (.h5), or an index.json for all")
        one.add_argument("--log", type=Path, help="JSON lines of what was done")
        one.set_defaults(run=run)
        return one

    index = command("index", _index, "list the shards of one data set in index.json")
    index.add_argument("-o", "--output", type=Path, required=True, metavar="index.json", help="list to make")
    index.add_argument(
        "--records", type=Path, metavar="FOLDER", help="of the jobs that packed them, which know their sums"
    )
    info = command("info", _info, "what a shard holds")
    info.add_argument("--json", action="store_true", help="one JSON object a line")
    verify = command("verify", _verify, "compare with the checksums")
    verify.add_argument(
        "--level",
        choices=LEVELS,
        default="full",
        help="quick: headers and records; full: every checksum; deep: also whether it makes sense",
    )
    export = command("export", _export, "folders of pictures and .binvox, WebDataset tars, or Parquet")
    export.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where to write")
    export.add_argument("--format", choices=sorted(EXPORTS), default="folders", help="what to write")
    export.add_argument("--jpeg", type=int, metavar="QUALITY", help="JPEG of this quality (1-100) instead of PNG")
    export.add_argument("--bank", type=Path, help="the background bank, for shards in layers")
    sheet = command("sheet", _sheet, "a picture of views beside voxels")
    sheet.add_argument("-o", "--output", type=Path, required=True, metavar="sheet.png", help="picture to draw")
    sheet.add_argument("--shapes", type=int, default=8, help="lines")
    sheet.add_argument("--views", type=int, default=6, help="views a line")
    sheet.add_argument("--bank", type=Path, help="the background bank, for shards in layers")
    return top


def _shards(files: Sequence[Path]) -> Iterator[Shard]:
    """Open every shard that the files name, one after the other."""
    for path in files:
        if path.suffix == ".json":
            for entry in read_index(path)["shards"]:
                with open_indexed(path, entry) as shard:
                    yield shard
        else:
            with Shard(path) as shard:
                yield shard


def _index(arguments: argparse.Namespace) -> int:
    index = write_index(arguments.files, arguments.output, arguments.records)
    total = sum(index["counts"].values())
    with Log(arguments.log) as log:
        log.write("index", shards=len(index["shards"]), shapes=total, digest=index["digest"])
    say(
        f"index: {index['dataset']}: {total} shapes in {len(index['shards'])} shards "
        f"({', '.join(f'{split} {count}' for split, count in index['counts'].items())})"
    )
    return 0


def _info(arguments: argparse.Namespace) -> int:
    for shard in _shards(arguments.files):
        if arguments.json:
            print(json.dumps(facts(shard)))
        else:
            tell(describe(shard))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    """Check every file and go on after a damaged one; 1 if any was."""
    targets = [(path, entry) for path in arguments.files for entry in _entries(path)]
    bad = checked = 0
    start = time.perf_counter()
    with Log(arguments.log) as log:
        for path, entry in progress(targets, f"verify {arguments.level}", unit="shard", log=log):
            try:
                checked += _verify_one(path, entry, arguments.level)
            except UserError as error:
                bad += 1
                complain(error)
                log.write("damaged", file=str(path), error=str(error))
    seconds = time.perf_counter() - start
    say(
        f"verify {arguments.level}: {len(targets) - bad} of {len(targets)} shards are whole, "
        f"{checked / 1e6:,.0f} MB compared in {seconds:.1f} s"
    )
    return 1 if bad else 0


def _entries(path: Path) -> list[dict[str, Any] | None]:
    return list(read_index(path)["shards"]) if path.suffix == ".json" else [None]


def _verify_one(path: Path, entry: dict[str, Any] | None, level: Any) -> int:
    if entry is None:
        with Shard(path) as shard:
            return verify_shard(shard, level, _THREADS)
    with open_indexed(path, entry) as shard:
        if level != "quick" and sha256_of(shard.path) != entry["sha256"]:
            verify_shard(shard, level, _THREADS)  # names the place, where it lies in the content
            raise UserError(
                "a shard is not the file that was indexed",
                where=str(shard.path),
                got="another SHA-256",
                wanted=f"{entry['sha256']} as in {path}",
                do="run the command that makes it again",
            )
        return verify_shard(shard, level, _THREADS)


def _export(arguments: argparse.Namespace) -> int:
    if arguments.jpeg is not None and not 1 <= arguments.jpeg <= 100:
        raise UserError("not a JPEG quality", where="--jpeg", got=str(arguments.jpeg), wanted="1 to 100")
    output = output_of(arguments.output, ()).path
    bank = _bank(arguments)
    shapes = files = 0
    for shard in progress(_shards(arguments.files), "export", unit="shard"):
        files += EXPORTS[arguments.format](shard, output, bank, arguments.jpeg)
        shapes += len(shard)
    written = {"folders": "files", "webdataset": "members", "parquet": "rows"}[arguments.format]
    say(f"export: {shapes} shapes as {files} {written} in {output}")
    return 0


def _sheet(arguments: argparse.Namespace) -> int:
    bank, lines, left = _bank(arguments), [], arguments.shapes
    for shard in _shards(arguments.files):
        rows = list(range(min(left, len(shard))))
        if rows:
            lines.append(draw_sheet(shard, rows, arguments.views, bank))
        left -= len(rows)
    if not lines:
        raise UserError("there are no shapes to draw", where=", ".join(map(str, arguments.files)))
    widths = {line.shape[1] for line in lines}
    if len(widths) > 1:
        raise UserError("shards of different sizes do not fit on one sheet", do="draw them one by one")
    write_sheet(arguments.output, np.concatenate(lines))
    say(f"sheet: {arguments.shapes - left} shapes in {arguments.output}")
    return 0


def _bank(arguments: argparse.Namespace) -> Bank | None:
    return None if arguments.bank is None else open_bank(arguments.bank)
