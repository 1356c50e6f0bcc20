"""What a view in `layers` takes on disk, for real packs: drawn at 128 and 256 px, stored as the pipeline stores it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.shards import open_shard

SIZES_PX = (128, 256)
VIEWS = 4


def measure(packs: Sequence[Path]) -> Iterator[tuple[str, int, list[float]]]:
    """(data set, shapes, bytes a view at each of `SIZES_PX`) of packs ``prepared/<data set>/<number>.zip``."""
    for pack in packs:
        shapes, sizes = 0, []
        for size_px in SIZES_PX:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "views.h5"
                settings = json.dumps({"size_px": size_px, "views": VIEWS})
                command = [sys.executable, "-m", "render", "shard", "--seed", "1", "--settings", settings]
                subprocess.run([*command, "--prepared", str(pack), "-o", str(out)], check=True)
                with open_shard(out) as shard:
                    shapes = len(shard)
                    sizes.append(shard.array("rgba").stored_bytes / max(1, shapes * shard.views))
        yield pack.parent.name, shapes, sizes


def lines(packs: Sequence[Path]) -> list[str]:
    """Rows of the table."""
    if not packs:
        return ["| `layers`: bytes a view of real packs | not measured: run `make demo` first, or name `--prepared` |"]
    return [
        f"| `layers`: bytes a view, `{name}` ({shapes} shapes x {VIEWS} views) | "
        + ", ".join(f"{size:,.0f} at {size_px} px" for size, size_px in zip(sizes, SIZES_PX, strict=True))
        + " |"
        for name, shapes, sizes in measure(packs)
    ]
