# PYTHON_ARGCOMPLETE_OK
"""``python -m report page`` writes report.html, ``python -m report gallery`` gallery.html."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commandline.parser import Parser
from pipeline.errors import run_command
from pipeline.progress import Log, say
from pipeline.settings.parse import parse
from pipeline.settings.report import Report


def main(words: Sequence[str] | None = None) -> int:
    """Run one sub-command."""
    arguments = parser().parse_args(words)
    return int(arguments.run(arguments))


def parser() -> Parser:
    """The sub-commands of the workflow."""
    top = Parser(prog="python -m report", top=True, description="Write the pages: report.html and gallery.html.")
    commands = top.add_subparsers(dest="command")
    page = commands.add_parser("page", help="write the page that shows data, training and results", for_workflow=True)
    page.add_argument("--settings", default="{}", help="the report section as JSON")
    page.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results")
    page.add_argument("-o", "--output", type=Path, required=True, help="the page to write")
    page.add_argument("--log", type=Path, help="JSON lines go here")
    gallery = commands.add_parser(
        "gallery", help="write the page on which every shape of a data set can be seen", for_workflow=True
    )
    gallery.add_argument("--shards-index", type=Path, required=True, help="shards/D/index.json")
    gallery.add_argument("--prepared", type=Path, required=True, help="folder of the prepared meshes; may be absent")
    gallery.add_argument("--ledger", type=Path, required=True, help="ledger/D.tsv")
    gallery.add_argument("--bank", type=Path, help="backgrounds, for shards stored in layers")
    gallery.add_argument("--shapes", type=int, default=2000, help="shapes shown at most")
    gallery.add_argument("-o", "--output", type=Path, required=True, help="the page to write")
    gallery.add_argument("--log", type=Path, help="JSON lines go here")
    page.set_defaults(run=_page)
    gallery.set_defaults(run=_gallery)
    return top


def _page(arguments: argparse.Namespace) -> int:
    from report.page import write_page

    with Log(arguments.log) as log:
        settings = parse(Report, arguments.settings, where="--settings")
        write_page(arguments.output_dir, arguments.output, settings, log=log)
        log.write("done", output=str(arguments.output), bytes=arguments.output.stat().st_size)
    say(f"report: {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")
    return 0


def _gallery(arguments: argparse.Namespace) -> int:
    from report.gallery.build import write_gallery

    with Log(arguments.log) as log:
        write_gallery(
            arguments.shards_index,
            arguments.prepared,
            arguments.ledger,
            arguments.output,
            bank_path=arguments.bank,
            most=arguments.shapes,
            log=log,
        )
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
