"""Verification of a shard at three levels.

quick   it opens: format, version, complete, sizes of every dataset, the text of every record
full    quick, and every checksum of every dataset
deep    full, and whether the content makes sense: shapes that are neither empty nor solid, views
        that show something, cameras that are rigid, and silhouettes that agree with the voxels
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from pipeline.conventions import Array, unpack_grid
from pipeline.errors import UserError
from pipeline.shards.agreement import voxels_on_silhouettes
from pipeline.shards.read import Shard

Level = Literal["quick", "full", "deep"]
LEVELS: tuple[Level, ...] = ("quick", "full", "deep")

# Least agreement of a shape's silhouettes with its voxels, over all views.  Both approximate one mesh, up to
# a voxel apart.  Over 238 generated pieces of furniture and 13 real models the least were 0.999 and 0.978;
# modes that lose thin parts (binvox, carve, vote) cover 0.84 at worst.  The same voxels turned by 90 degrees
# about the up axis are found out on 92 % of the shapes, upside down on 63 %; a symmetric shape cannot tell.
VOXELS_IN_SILHOUETTE = 0.95
SILHOUETTE_IN_VOXELS = 0.7
_SHOWN = 10  # findings that a message lists


def verify_shard(shard: Shard, level: Level = "full", threads: int = 1) -> int:
    """Check an open shard; returns the bytes that were compared, raises a `UserError` for the first damage."""
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; known: {', '.join(LEVELS)}")
    if level == "quick":
        return 0
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for name, field in shard.fields.items():
            rows = shard.array(name)
            if field.per_view:
                done += sum(value.nbytes for value in pool.map(rows.row, range(len(rows))))
            else:
                done += rows.whole().nbytes
    if level == "deep":
        _raise_findings(shard, [finding for row in range(len(shard)) for finding in findings(shard, row)])
    return done


def findings(shard: Shard, row: int) -> Iterator[str]:
    """What makes no sense about one shape, one sentence each."""
    alpha = _alpha(shard, row)
    for view in np.flatnonzero(alpha.max((1, 2)) == 0).tolist():
        yield f"{shard.place('alpha', row, view)}: the view shows nothing"
    yield from _camera_findings(shard, row)
    if "voxels" not in shard:
        return
    grid = unpack_grid(shard.array("voxels").row(row), shard.resolution or 0)
    if not grid.any() or grid.all():
        yield f"{shard.place('voxels', row)}: the grid is {'solid' if grid.any() else 'empty'}"
        return
    inside, covered = voxels_on_silhouettes(
        grid, alpha, shard.array("K").row(row), shard.array("camera_to_world").row(row)
    )
    if inside < VOXELS_IN_SILHOUETTE or covered < SILHOUETTE_IN_VOXELS:
        yield (
            f"{shard.place('voxels', row)}: the voxels do not fit the silhouettes ({inside:.0%} of the voxels fall "
            f"on the object, {covered:.0%} of the object is covered by voxels)"
        )


def _alpha(shard: Shard, row: int) -> Array:
    return shard.array("alpha").row(row) if "alpha" in shard else shard.array("rgba").row(row)[..., 3]


def _camera_findings(shard: Shard, row: int) -> Iterator[str]:
    pose, K = shard.array("camera_to_world").row(row), shard.array("K").row(row)
    rotation = pose[:, :3, :3]
    rigid = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) < 1e-6
    proper = np.linalg.det(rotation) > 0
    sound = np.isfinite(K).all((1, 2)) & (K[:, 0, 0] > 0) & (K[:, 1, 1] > 0)
    for view in np.flatnonzero(~(rigid & proper & sound)).tolist():
        yield f"{shard.place('camera_to_world', row, view)}: the camera is not a rigid one"


def _raise_findings(shard: Shard, found: list[str]) -> None:
    if found:
        more = f"\n        and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UserError(
            "a shard holds what makes no sense",
            where=str(shard.path),
            got="\n        ".join(found[:_SHOWN]) + more,
            do="look at these shapes with `python -m pipeline shards sheet`",
        )
