"""``python -m benchmarks.attacks flips|disk``: damage to a whole small run, made by the real workflow.

    flips    one bit of one file at a time, over every file that `verify` knows: is it named?
    disk     the results lie on a file system that is full; it grows a little, the same command is given
             again, and so on: does each try end in words, and the last one with the bytes of a quiet run?

Both build the world of tests/tiny first.  `disk` needs ``unshare`` (util-linux) and user namespaces.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.seeds import generator
from pipeline.upkeep import verify
from tests.world import World, lasting_digests

_FULL = re.compile(r"No space left on device|bytes free")


def main(argv: Sequence[str] | None = None) -> int:
    """Attack, count, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__.splitlines()[0])
    parser.add_argument("attack", choices=["flips", "disk", "inside"])
    parser.add_argument("--count", type=int, default=1000, help="bits to change, or steps in which the disk grows")
    parser.add_argument(
        "--world", type=lambda text: Path(text).resolve(), help="a finished world to use, in place of a new one"
    )
    parser.add_argument("--steps", help=argparse.SUPPRESS)  # of `inside`: sizes in kB
    arguments = parser.parse_args(argv)
    if arguments.attack == "inside":
        return _grow(World(arguments.world, arguments.world / "config.yaml"), arguments.steps.split(","))
    with tempfile.TemporaryDirectory() as name:
        quiet = World(arguments.world or Path(name) / "quiet", *_config(arguments.world))
        if arguments.world is None:
            quiet.run()
        act = flips if arguments.attack == "flips" else disk
        return act(quiet, arguments.count, Path(name))


def _config(world: Path | None) -> list[Path]:
    return [] if world is None else [world / "config.yaml"]


def flips(world: World, count: int, _: Path) -> int:
    """Change single bits of the run; 1 where one was silent."""
    os.chdir(world.folder)  # lists of archives name them from here
    found = (one for one in verify.known_files(world.results) if one.path.exists() and one.path.stat().st_size)
    known = sorted(found, key=lambda one: one.path)
    random, silent = generator(1, "attack", "flips"), []
    kinds: Counter[str] = Counter()
    for number in range(count):
        one = known[number % len(known)]
        content = one.path.read_bytes()
        place = int(random.integers(len(content) * 8))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        one.path.write_bytes(bytes(changed))
        now = [again for again in verify.known_files(world.results) if again.path == one.path]
        if not any(True for again in now for _ in verify._problems(again, world.results)):
            silent.append(f"{one.path.relative_to(world.results)}: bit {place}")
        one.path.write_bytes(content)
        kinds[one.path.suffix] += 1
    print(f"{count} bits in {len(known)} files ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))})")
    print(f"silent: {len(silent)}", *silent, sep="\n")
    return 1 if silent else 0


def disk(world: World, count: int, folder: Path) -> int:
    """Build a second world on a disk that is full `count` times."""
    wanted = lasting_digests(world.results)
    whole = sum(path.stat().st_size for path in world.results.rglob("*") if path.is_file()) // 1024
    sizes = [str(64 + whole * step // count) for step in range(count)] + [str(8 * whole)]
    other = World(folder / "full", world.folder / "config.yaml")
    other.results.mkdir()
    command = [sys.executable, "-m", "benchmarks.attacks", "inside", "--world", str(other.folder)]
    inside = ["unshare", "--user", "--map-root-user", "--mount", *command, "--steps", ",".join(sizes)]
    code = subprocess.run(inside, check=False).returncode
    found = dict(line.split("\t") for line in (other.folder / "digests.tsv").read_text(encoding="utf-8").splitlines())
    same = sum(found.get(name) == sha256 for name, sha256 in wanted.items())
    print(f"{same} of {len(wanted)} files have the bytes of the quiet run")
    return code or int(same < len(wanted))


def _grow(world: World, sizes: Sequence[str]) -> int:
    """In a mount namespace of its own: the command again and again on a file system that grows."""
    counts: Counter[str] = Counter()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={sizes[0]}k", "tmpfs", str(world.results)], check=True)
    for number, size in enumerate(sizes):
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(world.results)], check=True)
        done = world.run(check=False)
        said = done.stdout + done.stderr
        ended = "done" if done.returncode == 0 else "full, in words" if _FULL.search(said) else "other"
        if "Traceback (most recent call last)" in said:
            ended = "traceback"
        if ended in ("other", "traceback"):
            print(said[-3000:])
        counts[ended] += 1
        half = [path for path in world.results.rglob("*") if ".tmp" in path.name and path.is_file()]
        counts["half files left"] += len(half)
        print(f"{number + 1} of {len(sizes)}: {size} kB: {ended}", flush=True)
    print(dict(counts))
    lines = "".join(f"{name}\t{sha256}\n" for name, sha256 in lasting_digests(world.results).items())
    (world.folder / "digests.tsv").write_text(lines, encoding="utf-8")
    return 1 if counts["other"] or counts["traceback"] or counts["half files left"] else 0


if __name__ == "__main__":
    sys.exit(main())
