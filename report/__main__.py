"""``python -m report page --output-dir results -o results/report.html``"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.config import parse
from pipeline.errors import run_command
from pipeline.progress import Log, say
from pipeline.settings.stages import Report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    page = commands.add_parser("page", help="write the page that shows data, training and results")
    page.add_argument("--settings", default="{}", help="the report section as JSON")
    page.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results")
    page.add_argument("-o", "--output", type=Path, required=True, help="the page to write")
    page.add_argument("--log", type=Path, help="JSON lines go here")
    picture = commands.add_parser("picture", help="draw views, true voxels and answers of held-out shapes")
    picture.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results")
    picture.add_argument("--experiment", required=True, help="name of an evaluated experiment")
    picture.add_argument("-o", "--output", type=Path, required=True, help="the PNG to write")
    page.set_defaults(run=_page)
    picture.set_defaults(run=_picture)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


def _page(arguments: argparse.Namespace) -> int:
    from report.page import write_page

    with Log(arguments.log) as log:
        settings = parse(Report, arguments.settings, where="--settings")
        write_page(arguments.output_dir, arguments.output, settings)
        log.write("done", output=str(arguments.output), bytes=arguments.output.stat().st_size)
    say(f"report: {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")
    return 0


def _picture(arguments: argparse.Namespace) -> int:
    from report.showcase import draw_picture

    draw_picture(arguments.output_dir, arguments.experiment, arguments.output)
    say(f"picture: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
