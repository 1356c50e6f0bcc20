"""``python -m benchmarks.kills``: kill -9 at many moments of the small world, and whether the bytes survive.

Each round builds the world of tests/tiny in a new folder, kills the whole process group at
seeded moments (data and training), gives the same command again each time, and compares every
lasting file with those of an undisturbed run.  Writes the table in docs/cluster.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.workflow import DOCUMENT, fill
from tests.world import World, lasting_digests, seeded_moments


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, compare, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10, help="a round")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        quiet = World(Path(name) / "quiet")
        quiet.run()
        wanted, length = lasting_digests(quiet.results), quiet.progress()
        rows: list[str] = []
        equal = 0
        for number in range(arguments.rounds):
            world = World(Path(name) / str(number))
            killed = world.killed_at(seeded_moments(100 + number, arguments.kills, length))
            same = lasting_digests(world.results) == wanted
            equal += same
            rows.append(
                f"| {number + 1} | {killed.count('data')} | {killed.count('training')} | "
                f"{'the same' if same else '**different**'} |"
            )
            fill(arguments.output, "kills", block(rows, equal, arguments.kills, len(wanted)))
    return 0 if equal == arguments.rounds else 1


def block(rows: Sequence[str], equal: int, kills: int, files: int) -> str:
    """The table so far; written after every round, so that a stopped benchmark leaves what it knows."""
    head = ["| run | killed while making data | while training | bytes at the end |", "|---|---|---|---|"]
    verdict = (
        f"{len(rows) * kills} moments in {len(rows)} runs; {equal} of {len(rows)} end with the same {files} files, "
        "byte for byte, as a run that nothing disturbed (`make test-kill`)."
    )
    return "\n".join([*head, *rows, "", verdict])


if __name__ == "__main__":
    sys.exit(main())
