"""More chairs to learn from: warped copies of the training shapes of a finished data set, as one more data set.

    python -m benchmarks.study.warped --output-dir results/real-chairs --dataset chairs --copies 4 -o results/warped
    python -m training train --shards results/real-chairs/shards/chairs/index.json results/warped/index.json ...

Each axis of a mesh is stretched piece by piece by random factors, the left and right halves alike (as Nash et al. 2020,
arXiv 2002.10880, section 2.5, do with ShapeNet), then the mesh is voxelized, rendered and packed as its original was.
All copies are for training; validation and test shapes are never read.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.conventions import Array
from pipeline.errors import run_command
from pipeline.formats.pack import PackReader, write_pack
from pipeline.manifest import Record, shapes_from_tsv
from pipeline.meshes.glb import read_glb, write_glb
from pipeline.progress import Log, say
from pipeline.settings.render import Render
from pipeline.settings.shards import PackSettings
from pipeline.settings.voxels import Voxels
from pipeline.shards.index import read_index, write_index
from render.pack import pack_shard
from render.shard import render_shard
from voxelize.shard import voxelize_glb

PIECES, HALF_PIECES = 5, 3  # of an axis; of half of the first one, left to right
PIECE, WHOLE = 0.28, 0.12  # deviations of the logarithms of the factors of pieces and of whole axes
Points = Float[Array, "V 3"]


def main() -> int:
    """Make the copies that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.warped", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results/real-chairs")
    parser.add_argument("--dataset", required=True, help="the data set whose training shapes are warped")
    parser.add_argument("--copies", type=int, default=4, help="of each shape")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the copies and their index.json")
    arguments = parser.parse_args()
    run, name, out = arguments.output_dir, arguments.dataset, arguments.output
    attributes = read_index(run / "shards" / name / "index.json")["attributes"]
    voxels = Voxels(resolution=attributes["voxels_dim"])
    shards = [_shard(run, name, copy, out / f"{copy:03d}", attributes, voxels) for copy in range(arguments.copies)]
    say(f"warped: {write_index(shards, out / 'index.json')['counts']['train']} shapes")
    return 0


def _shard(run: Path, name: str, copy: int, stem: Path, attributes: dict, voxels: Voxels) -> Path:  # type: ignore[type-arg]
    """One copy of every training shape, drawn and packed by the settings of the originals."""
    prepared, grids, drawn = (stem.with_suffix(end) for end in (".meshes.zip", ".voxels.zip", ".renders.h5"))
    with write_pack(prepared, ".glb") as meshes, write_pack(grids, ".binvox") as volumes:
        for record, payload in _training_shapes(run, name):
            mesh = read_glb(payload)
            mesh.vertices = warped(mesh.vertices, np.random.default_rng([copy, number_of(record)]))
            glb = write_glb(mesh)
            grid, facts = voxelize_glb(voxels.model_dump(), glb)
            twin = f"{record.name}-w{copy}"
            new = dataclasses.replace(
                record, name=twin, shape_id=f"warped/{record.category}/{twin}", split="train", facts=dict(record.facts)
            )
            meshes.add(new, glb)
            volumes.add(dataclasses.replace(new, facts={**new.facts, "voxelize": facts}), grid)
    out, seed = stem.with_suffix(".h5"), attributes["seed"]
    render_shard(prepared, drawn, seed=seed, settings=Render(**attributes["render"]), log=Log(None))
    bank = run / "backgrounds" / "bank.npz"
    pack_shard(drawn, grids, bank, out, seed=seed, settings=PackSettings(**attributes["shards"]), log=Log(None))
    return out


def _training_shapes(run: Path, name: str) -> Iterator[tuple[Record, bytes]]:
    for path in sorted((run / "prepared" / name).glob("*.zip")):
        listed = shapes_from_tsv((run / "index" / name / f"{path.stem}.tsv").read_text(encoding="utf-8"), str(path))
        training = {shape.shape_id for shape in listed if shape.split == "train"}
        pack = PackReader(path)
        yield from ((record, pack.payload(record)) for record in pack.records if record.shape_id in training)


def number_of(record: Record) -> int:
    """The number at the end of a shape's name, else the name's CRC: what its warps are drawn from, and the copy."""
    digits = re.search(r"\d+$", record.name)
    return int(digits[0]) if digits else zlib.crc32(record.name.encode())


def warped(points: Points, rng: np.random.Generator) -> Points:
    """Points of the unit box, warped; their longest side stays as it is and their box is centred."""
    out = np.empty_like(points)
    for axis in range(3):
        knots = np.linspace(0, 0.5, HALF_PIECES + 1) if axis == 0 else np.linspace(-0.5, 0.5, PIECES + 1)
        factors = np.exp(rng.normal(0, PIECE, len(knots) - 1) + rng.normal(0, WHOLE))
        places = np.concatenate([[0.0], np.cumsum(factors * np.diff(knots))])
        at = points[:, axis]
        out[:, axis] = np.sign(at) * np.interp(np.abs(at), knots, places) if axis == 0 else np.interp(at, knots, places)
    low, high = out.min(axis=0), out.max(axis=0)
    scale = (points.max(axis=0) - points.min(axis=0)).max() / (high - low).max()
    centred: Points = ((out - (low + high) / 2) * scale).astype(np.float32).astype(np.float64)
    return centred


if __name__ == "__main__":
    sys.exit(run_command(main))
