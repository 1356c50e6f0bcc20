"""The record of a job, ``<output>/made/<rule>/...json``: what its product was made from, and what the product is.

    {"digest": of everything that it follows from, "head": ..., "sources": {...}, "checks": {...},
     "outputs": {"shards/demo/000.h5": {"bytes": 123, "sha256": "4c1e..."}}, "seal": "sha256:..."}

The plan says everything but `outputs`, of which it names files and folders; what they hold is added here, by the
last command of a job (pipeline/rules/common.smk).  `python -m pipeline verify` compares every byte with it, a plan
the sizes, and the bytes of files that are small.

This runs after every job, so it needs nothing but Python itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.foreign import visible
from pipeline.state.digests import sealed, sha256_of

SMALL_BYTES = 1 << 20  # up to which a plan reads a product again
# What lies in the folder of a training and is not the trainer's.
NOT_TRAINED = ("results.json", "results.md", "predictions.npz", "samples.npz", "latent.npz", "interpolations.npz")
_NOT_OURS = ("photographs.npz", "tensorboard", "wandb")


def complete(record: dict[str, Any], root: Path) -> dict[str, Any]:
    """The record with bytes and SHA-256 of every file that its `outputs` name, below the output folder `root`."""
    files = sorted(path for name in record["outputs"] for path in _files(root / name))
    sums = {
        path.relative_to(root).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files
    }
    return sealed(record | {"outputs": sums})


def changed(record: dict[str, Any], root: Path, names: Sequence[str], *, read: int) -> Iterator[tuple[str, str]]:
    """Files of a record that are there and not what was made, each with what is wrong; `names` are those looked at.

    read : files of more bytes are known by their size alone.
    """
    for name in names:
        wanted = record["outputs"].get(name)
        path = root / name
        if wanted is None or not path.is_file():
            continue
        size = path.stat().st_size
        if size != wanted["bytes"]:
            yield name, f"{size:,} bytes instead of {wanted['bytes']:,}"
        elif size <= read and (found := sha256_of(path)) != wanted["sha256"]:
            yield name, f"its SHA-256 is {found[:12]}..., and {wanted['sha256'][:12]}... was written"


def _files(path: Path) -> Iterator[Path]:
    """A file, or every file of a folder; what is no part of a training's product is left out."""
    if path.is_file():
        yield path
    for folder, folders, names in os.walk(path):
        here = Path(folder)
        if here == path:
            folders[:] = [name for name in folders if name not in _NOT_OURS and not name.startswith("previous-")]
            names = [name for name in names if name not in (*NOT_TRAINED, *_NOT_OURS)]
        yield from (here / name for name in names if not name.startswith(".") and not name.endswith(".damaged"))


def main(arguments: Sequence[str]) -> int:
    """Publish a completed record; its text has its place in `at`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.state.record", description=main.__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="the record, <output>/made/...")
    parser.add_argument("record", type=json.loads, metavar="JSON", help="what the plan says of it")
    taken = parser.parse_args(arguments)
    target, record = taken.file, taken.record
    root = Path(str(target).removesuffix(record.pop("at")))
    temporary = target.with_name(target.name + ".tmp")
    temporary.write_text(json.dumps(complete(record, root), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, target)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as problem:
        print(f"error: cannot record what was made: {visible(str(problem))}", file=sys.stderr)
        sys.exit(1)
