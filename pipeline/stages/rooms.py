"""Room-like pictures to stand shapes in front of.

python -m pipeline rooms --seed N --count N -o mirror/backgrounds/
"""

from __future__ import annotations

import argparse

from pipeline.furniture.rooms import write_rooms
from pipeline.progress import Log


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides output and log."""
    parser.add_argument("--seed", type=int, required=True, help="seed of the whole pipeline")
    parser.add_argument("--count", type=int, required=True, help="pictures to draw")
    parser.add_argument("--broken", action="store_true", help="and one that cannot be read, for the demo")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    write_rooms(given.seed, given.count, given.output, broken=given.broken)
    log.write("rooms", count=given.count)
