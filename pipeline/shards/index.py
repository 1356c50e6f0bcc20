"""``shards/D/index.json``: what the shards of one data set hold; written last, so it means "all there".

    {"format": ..., "dataset": "demo", "kind": "composite", "views": 12, "size_px": 64, "resolution": 32,
     "categories": ["bed", "chair"], "counts": {"train": 90, "val": 8, "test": 22},
     "attributes": {what all shards have in common}, "digest": sha256 over the shards' own,
     "shards": [{"file": "000.h5", "count": 64, "counts": {...}, "bytes": 123,
                 "fingerprint": over its checksums, "sha256": of the whole file}],
     "seal": over all of this (pipeline/state/digests.py)}

A label is the position of the category in `categories`.  The fingerprint is checked whenever a
shard is opened through its index, so swapped or stale files are found without reading them whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.formats.shard_index import INDEX_FORMAT
from pipeline.formats.shard_index import read_index as read_index
from pipeline.manifest import by_split, sha256_of
from pipeline.shards.read import Shard
from pipeline.shards.sums import recorded_sum
from pipeline.state.files import read_state, write_state

_SHARED = ("kind", "views", "size_px", "resolution")


def make_index(paths: Sequence[Path], folder: Path, records: Path | None = None) -> dict[str, Any]:
    """Describe the shards at `paths`, which lie in or below `folder`; refuses shards that do not fit together.

    records : the folder of the records of their jobs, whose sums are taken.
    """
    if not paths:
        raise UserError("no shards to index", do="name at least one shards/<data set>/<number>.h5")
    entries: list[dict[str, Any]] = []
    heads: list[dict[str, Any]] = []
    empty: dict[str, Any] = {}
    categories: set[str] = set()
    datasets: set[str] = set()
    for path in sorted(paths):
        with Shard(path) as shard:
            heads.append({name: getattr(shard, name) for name in _SHARED} | {"attributes": shard.attributes})
            categories |= {record.category for record in shard.records}
            datasets |= {record.shape_id.split("/")[0] for record in shard.records}
            counts = {
                "count": len(shard),
                "counts": by_split(shard.records),
                "rejects": len(shard.rejects),
                "fingerprint": shard.fingerprint(),
            }
        sha256 = recorded_sum(records, path) or sha256_of(path)
        entries.append({"file": _relative(path, folder), **counts, "bytes": path.stat().st_size, "sha256": sha256})
        if not counts["count"]:  # a shard of rejections only does not know how many voxels the others have
            empty = heads.pop()
        else:
            _require_same(heads[0], heads[-1], path)
    heads = heads or [empty]
    return {
        "format": INDEX_FORMAT,
        "dataset": "+".join(sorted(datasets)),
        **{name: heads[0][name] for name in _SHARED},
        "categories": sorted(categories),
        "counts": {split: sum(e["counts"][split] for e in entries) for split in by_split([])},
        "attributes": _common([head["attributes"] for head in heads]),
        "digest": hashlib.sha256("".join(e["sha256"] for e in entries).encode()).hexdigest(),
        "shards": entries,
    }


def write_index(paths: Sequence[Path], out: Path, records: Path | None = None) -> dict[str, Any]:
    """Make and publish an index beside its shards; `records` as for `make_index`."""
    index = make_index(paths, out.parent, records)
    write_state(out, index)
    return index


def require_audited(indices: Sequence[Path], audits: Sequence[Path]) -> None:
    """Refuse data sets whose axes were not checked as they are now: each index needs its audit, in any order."""
    what = "cannot read the audit of a data set"
    checked = {str(read_state(path, what=what).get("index_digest", "another format")): path for path in audits}
    for index in indices:
        wanted = read_index(index)["digest"]
        if wanted not in checked:
            raise UserError(
                "the audit of a data set was made of other shards, or is not among those given",
                where=str(index),
                got=", ".join(f"{path} of {digest}" for digest, path in checked.items()),
                wanted=f"an audit of {wanted}, the digest in this index",
                do="give the audit of every index; if it is among these, delete it and run the same command again",
            )


def open_indexed(index_path: Path, entry: dict[str, Any]) -> Shard:
    """Open one shard of an index and check that it is the file that was indexed."""
    shard = Shard(index_path.parent / entry["file"])
    found = shard.fingerprint()
    if found != entry["fingerprint"]:
        shard.close()
        raise UserError(
            "a shard is not the one that was indexed",
            where=str(shard.path),
            got=f"fingerprint {found}",
            wanted=f"{entry['fingerprint']} as in {index_path}",
            do="delete the index and run the same command again",
        )
    return shard


def _relative(path: Path, folder: Path) -> str:
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError as error:
        raise UserError(
            "a shard does not lie beside its index",
            where=str(path),
            wanted=f"a file below {folder}",
            do="write the index into the folder of the shards",
        ) from error


def _require_same(first: dict[str, Any], other: dict[str, Any], path: Path) -> None:
    different = [name for name in _SHARED if first[name] != other[name]]
    if different:
        raise UserError(
            "shards of one data set do not fit together",
            where=str(path),
            got=", ".join(f"{name} = {other[name]}" for name in different),
            wanted=", ".join(f"{name} = {first[name]}" for name in different),
            do="delete the shards of older settings and run the same command again",
        )


def _common(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in attributes[0].items() if all(a.get(key) == value for a in attributes)}
