"""Shapes that are nearly the same, kept on one side of the split.

    python -m pipeline clusters --settings '{}' --index index/D/ --voxels voxels/D/*.zip -o clusters/D.json

Two shapes are near-duplicates where the IoU of their voxels is at least .95; whatever is joined by such pairs is
one cluster (union-find), and all of it takes the split of its first member by the hash of the id.  So a shape that
is added moves others only where it joins their cluster: those whose first member is another now.
pipeline/formats/clusters.py says what the file holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from pipeline.conventions import Array, pack_grid
from pipeline.formats.binvox import read_binvox
from pipeline.formats.clusters import write_clusters
from pipeline.formats.pack import PackReader
from pipeline.manifest import shapes_from_tsv
from pipeline.progress import Log, progress, say
from pipeline.seeds import stable_hash

SAME = (19, 20)  # of the union of two near-duplicates both have at least this share, .95
_SIDES = (2, 4)  # parts of a grid along each axis, whose counts are compared before the voxels are

Bits = UInt8[Array, "N Q"]


def clusters_of(ids: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[list[str]]:
    """Every cluster of two or more, its first member by hash first; sorted."""
    parents = list(range(len(ids)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for one, other in pairs:
        parents[root(one)] = root(other)
    members: dict[int, list[str]] = {}
    for i, shape_id in enumerate(ids):
        members.setdefault(root(i), []).append(shape_id)
    return sorted(sorted(found, key=_place) for found in members.values() if len(found) > 1)


def splits_of(clusters: Sequence[Sequence[str]], listed: Mapping[str, str]) -> dict[str, str]:
    """The split of each member: that of the first, as the shape lists have it."""
    return {shape_id: listed[cluster[0]] for cluster in clusters for shape_id in cluster}


def near_duplicates(bits: Bits) -> Iterator[tuple[int, int]]:
    """Pairs of rows with an IoU of at least .95; R^3 / 8 bytes a row, most significant bit first.

    In order of their volumes, only shapes at most 1 / .95 times as large come into question.  With |A| and |B|
    voxels such a pair differs in at most (|A| + |B|) / 39 of them, (1 - t) / (1 + t) of the sum, and the counts of
    equal parts of the box differ by no more than the voxels in them.  What passes is compared voxel by voxel.
    """
    volumes = np.bitwise_count(bits).sum(1, dtype=np.int64)
    order = np.argsort(volumes, kind="stable")
    order = order[np.searchsorted(volumes[order], 1) :]  # an empty grid is nobody's duplicate
    volumes, parts = volumes[order], [_counts(bits, side)[order] for side in _SIDES]
    same, all_ = SAME
    ends = np.searchsorted(volumes, volumes * all_ // same, side="right")
    for i, end in enumerate(ends.tolist()):
        near = np.arange(i + 1, end)
        for counts in parts:
            differ = np.abs(counts[near] - counts[i]).sum(1)
            near = near[differ * (all_ + same) <= (volumes[near] + volumes[i]) * (all_ - same)]
        both = np.bitwise_count(bits[order[near]] & bits[order[i]]).sum(1, dtype=np.int64)
        alike = near[both * all_ >= (volumes[near] + volumes[i] - both) * same]
        yield from ((int(order[i]), int(order[j])) for j in alike)


def find_clusters(index: Path, voxels: Sequence[Path], output: Path, *, log: Log) -> None:
    """Find the near-duplicates of a data set and publish them."""
    listed = {
        shape.shape_id: shape.split
        for path in sorted(index.glob("*.tsv"))
        for shape in shapes_from_tsv(path.read_text(encoding="utf-8"), str(path))
    }
    ids, rows = [], []
    for path in progress(sorted(voxels), "clusters", unit="shard", log=log):
        for record, payload in PackReader(path):
            if record.shape_id in listed:
                ids.append(record.shape_id)
                rows.append(pack_grid(read_binvox(payload).grid))
    pairs = near_duplicates(np.stack(rows)) if rows else iter(())
    clusters = clusters_of(ids, pairs)
    splits = splits_of(clusters, listed)
    moved = sum(listed[shape_id] != split for shape_id, split in splits.items())
    write_clusters(output, SAME[0] / SAME[1], clusters, splits)
    log.write("clusters", shapes=len(ids), clusters=len(clusters), members=len(splits), moved=moved)
    say(f"clusters: {len(splits)} of {len(ids)} shapes have a near-duplicate, {moved} change their split")


def _place(shape_id: str) -> tuple[int, str]:
    return stable_hash("cluster", shape_id), shape_id


def _counts(bits: Bits, side: int) -> Int32[Array, "N parts"]:
    """Occupied voxels in each of side^3 equal parts of every grid."""
    resolution = round((bits.shape[1] * 8) ** (1 / 3))
    cells = np.bitwise_count(bits).reshape(len(bits), resolution, resolution, resolution // 8)
    if resolution // side < 8:  # a byte holds voxels of several parts
        cells = np.unpackbits(bits, axis=1).reshape(len(bits), resolution, resolution, resolution)
    step, last = resolution // side, cells.shape[3] // side
    counts: Int32[Array, "N a b c"] = cells.reshape(-1, side, step, side, step, side, last).sum(
        (2, 4, 6), dtype=np.int32
    )
    return counts.reshape(len(bits), -1)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    parser.add_argument("--index", type=Path, required=True, help="folder of `index`")
    parser.add_argument("--voxels", type=Path, nargs="*", default=[], help="packs of voxels of the data set")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    find_clusters(given.index, given.voxels, given.output, log=log)
