"""Which shapes of a data set are nearly the same, and the split that each of them takes.

    clusters/D.json    {"iou": 0.95, "clusters": [["mn/chair/a", ...], ...], "splits": {"mn/chair/a": "train", ...}}

A cluster begins with its first member by the hash of the id; `splits` has every shape of a cluster of two or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from pipeline.state.files import Stored, read_state, write_state


class _Clusters(Stored):
    iou: float
    clusters: list[list[str]]
    splits: dict[str, str]


_FILE: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Clusters)


def write_clusters(path: Path, iou: float, clusters: Sequence[Sequence[str]], splits: Mapping[str, str]) -> None:
    """Publish the file."""
    write_state(path, {"iou": iou, "clusters": [list(cluster) for cluster in clusters], "splits": dict(splits)})


def read_splits(path: Path | None) -> dict[str, str]:
    """Splits of the shapes in clusters, by id; none where there is no file."""
    if path is None:
        return {}
    found: dict[str, Any] = read_state(
        path,
        _FILE,
        what="this list of near-duplicates cannot be read",
        do="delete it and run the same command again",
    )
    return dict(found["splits"])
