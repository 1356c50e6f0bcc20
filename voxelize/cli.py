"""Command line of the voxelizer.

python -m voxelize shard --settings JSON --prepared P.zip -o V.zip [--log FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.config import parse
from pipeline.settings.stages import Voxels
from voxelize import shard


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to the sub-commands; without one the arguments are binvox's own."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return _shard(words[1:])


def _shard(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m voxelize shard", description="One shard of the pipeline.")
    parser.add_argument("--settings", required=True, metavar="JSON", help="the section `voxels` of config.yaml")
    parser.add_argument("--prepared", required=True, type=Path, metavar="PACK", help="pack of normalised .glb")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="PACK", help="pack of .binvox to make")
    parser.add_argument("--log", type=Path, metavar="FILE", help="JSON lines are added to this file")
    given = parser.parse_args(words)
    settings = parse(Voxels, given.settings, where="--settings")
    shard.run(settings, given.prepared, given.output, given.log)
    return 0
