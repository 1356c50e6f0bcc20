"""``python -m benchmarks.kills``: kill -9 at many moments of the small world, and whether the bytes survive.

Each round builds the world of tests/tiny in a new folder and kills it at seeded moments (data and
training): in turn the whole process group, and the command alone, whose jobs are then orphans.
The same command is given again each time, and at the end every lasting file is compared with
those of an undisturbed run.  Says each round's result as it goes, and writes it into the table in
docs/cluster.md, so that a stopped benchmark leaves what it knows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.workflow import DOCUMENT, fill
from pipeline.progress import say
from tests.world import World, lasting_digests, seeded_moments

HEAD = ("| run | killed while making data | while training | bytes at the end |", "|---|---|---|---|")


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, compare, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=10, help="a round")
    parser.add_argument("--seed", type=int, default=100, help="of the first round; the next has the next")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        quiet = World(Path(name) / "quiet")
        quiet.run()
        wanted, length = lasting_digests(quiet.results), quiet.progress()
        say(f"the quiet run has {len(wanted)} lasting files and progress {length}")
        rows: list[str] = []
        equal = 0
        for number in range(arguments.rounds):
            moments = seeded_moments(arguments.seed + number, arguments.kills, length)
            killed, verdict = one_round(World(Path(name) / str(number)), moments, wanted)
            equal += verdict == "the same"
            data, training = killed.count("data"), killed.count("training")
            rows.append(f"| {number + 1} | {data} | {training} | {verdict} |")
            fill(arguments.output, "kills", block(rows, equal, arguments.kills, len(wanted)))
    return 0 if equal == arguments.rounds else 1


def one_round(world: World, moments: list[tuple[int, float]], wanted: dict[str, str]) -> tuple[list[str], str]:
    """What was killed, and what came of it: "the same", or in bold what differs."""
    try:
        killed = world.killed_at(moments)
    except AssertionError as failed:  # the command has ended with an error
        for line in str(failed).splitlines():
            say(line)
        return [], "**the command failed**"
    found = lasting_digests(world.results)
    different = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    for name in different:
        say(f"different: {name}")
    return killed, f"**{len(different)} differ**" if different else "the same"


def block(rows: Sequence[str], equal: int, kills: int, files: int) -> str:
    """The table so far, and a sentence that sums it up."""
    verdict = (
        f"{len(rows) * kills} moments in {len(rows)} runs; {equal} of {len(rows)} end with the same {files} files, "
        "byte for byte, as a run that nothing disturbed (`make test-kill`)."
    )
    return "\n".join([*HEAD, *rows, "", verdict])


if __name__ == "__main__":
    sys.exit(main())
