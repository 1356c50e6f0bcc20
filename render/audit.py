"""``python -m render audit``: do voxels and views show the same object, in the same axes?

For a sample of shapes the voxels are turned and mirrored in all 48 ways that keep the axes,
and each time their silhouette from the stored cameras is compared with the views' alpha.
The identity has to fit best.  Every shape is then checked as it stands, and views that are
empty, black or cut off are counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.atomic import write_json
from pipeline.conventions import UP_AXIS_TO_WORLD, Grid, Matrix, unpack_grid
from pipeline.errors import UserError
from pipeline.progress import Log, progress, say
from pipeline.seeds import stable_hash
from pipeline.shards import Shard
from pipeline.shards_index import open_indexed, read_index

SAMPLE = 48  # shapes that are tried in all 48 ways
VIEWS = 3  # of each shape
SILHOUETTE_PX = 24
MARGIN = 0.02  # symmetric shapes fit mirrored as well: another way must be better by this
LEAST_IOU = 0.55  # a shape below it is flagged
MOST_FLAGGED = 0.5  # share of flagged shapes above which the data set is refused
EMPTY_COVERAGE, BLACK_LEVEL = 0.002, 4  # share of the picture; sRGB level

Permutation = tuple[tuple[int, int, int], tuple[int, int, int]]  # source axis and sign of x, y, z
IDENTITY: Permutation = ((0, 1, 2), (1, 1, 1))
ALL_WAYS: list[Permutation] = [
    (axes, signs)  # type: ignore[misc]
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@dataclass
class Findings:
    """What is counted over a whole data set."""

    shapes: int = 0
    views: int = 0
    empty_views: int = 0
    black_views: int = 0
    cut_off_views: int = 0
    iou_sum: float = 0.0
    flagged: dict[str, float] = field(default_factory=dict)  # shape id -> silhouette IoU
    ways: dict[Permutation, list[float]] = field(default_factory=dict)


def audit_index(index_path: Path, out: Path, *, log: Log) -> None:
    """Check a data set; the report is written also when the check fails."""
    index = read_index(index_path)
    sample = _sample(index_path, index)
    findings = Findings()
    for number, entry in enumerate(progress(index["shards"], "audit", unit="shard", log=log)):
        with open_indexed(index_path, entry) as shard:
            for row in range(len(shard)):
                _check_shape(shard, row, findings, every_way=(number, row) in sample)
    report = _report(findings)
    write_json(out, report)
    log.write("audit", **{key: value for key, value in report.items() if key != "flagged"})
    _refuse(report, findings, index_path, out)
    say(f"audit {index['dataset']}: {findings.shapes} shapes, silhouette IoU {report['mean_iou']}, "
        f"{len(findings.flagged)} flagged; views: {findings.empty_views} empty, {findings.black_views} black, "
        f"{findings.cut_off_views} cut off")  # fmt: skip


def _sample(index_path: Path, index: dict[str, Any]) -> set[tuple[int, int]]:
    """(shard, row) of the shapes with the smallest hashes."""
    ranked = []
    for number, entry in enumerate(index["shards"]):
        with open_indexed(index_path, entry) as shard:
            ranked += [(stable_hash("audit", r.shape_id), number, row) for row, r in enumerate(shard.records)]
    return {(number, row) for _, number, row in sorted(ranked)[:SAMPLE]}


def _check_shape(shard: Shard, row: int, findings: Findings, *, every_way: bool) -> None:
    assert shard.resolution is not None
    layered = "rgba" in shard
    rgba = shard.array("rgba")[row] if layered else None
    alpha = rgba[..., 3] if rgba is not None else shard.array("alpha")[row]
    pictures = rgba[..., :3] if rgba is not None else shard.array("images")[row]
    _count_views(alpha, pictures, findings)

    grid = unpack_grid(shard.array("voxels")[row], shard.resolution)
    K, poses = shard.array("K")[row], shard.array("camera_to_world")[row]
    chosen = np.unique(np.linspace(0, shard.views - 1, min(VIEWS, shard.views)).astype(int))
    rays = [silhouette_samples(K[view], poses[view], shard.size_px, shard.resolution) for view in chosen]
    masks = [shrink_alpha(alpha[view]) for view in chosen]
    ious = {way: _mean_iou(turned(grid, way), rays, masks) for way in (ALL_WAYS if every_way else [IDENTITY])}
    if every_way:
        for way, value in ious.items():
            findings.ways.setdefault(way, []).append(value)
    findings.shapes += 1
    findings.iou_sum += ious[IDENTITY]
    if ious[IDENTITY] < LEAST_IOU:
        findings.flagged[shard.records[row].shape_id] = round(ious[IDENTITY], 3)


def _count_views(alpha: npt.NDArray[np.uint8], pictures: npt.NDArray[np.uint8], findings: Findings) -> None:
    """Empty: almost nothing covered. Black: nothing covered is brighter than black. Cut off: covered at the border."""
    for mask, picture in zip(alpha, pictures, strict=True):
        solid = mask == 255
        findings.views += 1
        findings.empty_views += bool(mask.mean() / 255 < EMPTY_COVERAGE)
        findings.black_views += bool(solid.any() and picture[solid].max() < BLACK_LEVEL)
        border = (mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any())
        findings.cut_off_views += bool(any(border))


def silhouette_samples(K: Matrix, camera_to_world: Matrix, size_px: int, resolution: int) -> npt.NDArray[np.int64]:
    """(P, T) flat voxel indices along the ray of each of P pixels; what is outside the box points past the end.

    P = SILHOUETTE_PX^2 rays through the centres of large pixels, in steps of 0.7 voxels.
    """
    centres = (np.arange(SILHOUETTE_PX) + 0.5) * size_px / SILHOUETTE_PX
    columns, rows = np.meshgrid(centres, centres)
    directions = np.stack([(columns - K[0, 2]) / K[0, 0], -(rows - K[1, 2]) / K[1, 1], -np.ones_like(rows)], axis=-1)
    directions = directions.reshape(-1, 3) @ camera_to_world[:3, :3].T
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    eye = camera_to_world[:3, 3]
    reach = np.sqrt(3) / 2
    steps = np.linalg.norm(eye) - reach + np.arange(0, 2 * reach, 0.7 / resolution)
    places = np.floor((eye + directions[:, None] * steps[:, None] + 0.5) * resolution).astype(np.int64)
    inside = ((places >= 0) & (places < resolution)).all(axis=2) & (steps > 0)
    flat = (places[..., 0] * resolution + places[..., 1]) * resolution + places[..., 2]
    return np.where(inside, flat, resolution**3)


def silhouette(grid: Grid, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(P,) which rays meet a filled voxel."""
    return np.asarray(np.append(grid.reshape(-1), False)[samples].any(axis=1))


def shrink_alpha(alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(S, S) alpha -> (P,) covered at the centres of the large pixels."""
    centres = ((np.arange(SILHOUETTE_PX) + 0.5) * len(alpha) / SILHOUETTE_PX).astype(int)
    return np.asarray(alpha[np.ix_(centres, centres)].reshape(-1) >= 128)


def turned(grid: Grid, way: Permutation) -> Grid:
    """The grid with its axes exchanged and mirrored."""
    axes, signs = way
    return np.ascontiguousarray(grid.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)])


def _mean_iou(grid: Grid, rays: list[npt.NDArray[np.int64]], masks: list[npt.NDArray[np.bool_]]) -> float:
    return float(np.mean([_iou(silhouette(grid, samples), mask) for samples, mask in zip(rays, masks, strict=True)]))


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def _report(findings: Findings) -> dict[str, Any]:
    ways = {name(way): round(float(np.mean(values)), 4) for way, values in findings.ways.items()}
    return {
        "shapes": findings.shapes,
        "views": findings.views,
        "empty_views": findings.empty_views,
        "black_views": findings.black_views,
        "cut_off_views": findings.cut_off_views,
        "mean_iou": round(findings.iou_sum / max(findings.shapes, 1), 4),
        "flagged_below": LEAST_IOU,
        "flagged": dict(sorted(findings.flagged.items())),
        "sampled_shapes": len(findings.ways.get(IDENTITY, [])),
        "axes": dict(sorted(ways.items(), key=lambda item: (-item[1], item[0]))),
        "identity_fits_best": not ways or max(ways.values()) <= ways[name(IDENTITY)] + MARGIN,
    }


def _refuse(report: dict[str, Any], findings: Findings, index_path: Path, out: Path) -> None:
    """A UserError where the data set must not be trained on."""
    if not report["identity_fits_best"]:
        best = max(findings.ways, key=lambda way: (float(np.mean(findings.ways[way])), way))
        raise UserError(
            "the voxels do not have the axes of the views",
            where=str(index_path),
            got=f"silhouette IoU {report['axes'][name(IDENTITY)]} as they are, {report['axes'][name(best)]} with the "
                f"voxels read as {name(best)}",
            wanted="the identity (+x +y +z) fits best of all 48 ways",
            do=f"{advice(best)}; every way is in {out}",
        )  # fmt: skip
    share = len(findings.flagged) / max(findings.shapes, 1)
    if share > MOST_FLAGGED:
        raise UserError(
            "voxels and views do not show the same objects",
            where=str(index_path),
            got=f"{share:.0%} of the shapes have a silhouette IoU below {LEAST_IOU}",
            wanted=f"at most {MOST_FLAGGED:.0%}",
            do=f"look at the contact sheet; the shapes are in {out}",
        )


def name(way: Permutation) -> str:
    """``+x +z -y``: where the new x, y and z come from."""
    return " ".join(("+" if sign > 0 else "-") + "xyz"[axis] for axis, sign in zip(*way, strict=True))


def advice(way: Permutation) -> str:
    """Which setting or mistake explains that the voxels fit when turned this way."""
    matrix = np.zeros((3, 3))
    for row, (axis, sign) in enumerate(zip(*way, strict=True)):
        matrix[row, axis] = sign
    if np.linalg.det(matrix) < 0:
        return "the voxels are mirrored: two axes are exchanged or one is reversed (.binvox files store x, z, y)"
    if matrix[1, 1] == 1:
        degrees = int(round(np.degrees(np.arctan2(matrix[0, 2], matrix[0, 0])))) % 360
        return f"the voxels are turned about the upright axis: make them again with yaw_deg {degrees} more"
    for up, to_world in _upright_ways():
        if np.array_equal(matrix, to_world):
            return f"the voxels were made of meshes whose {up} axis points up: set up_axis: {up} and make them again"
    return "delete the voxels and make them again from the prepared meshes"


def _upright_ways() -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Every up axis, with every quarter turn about the upright axis after it."""
    quarter = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    for axis, matrix in UP_AXIS_TO_WORLD.items():
        for turns in range(4):
            yield axis, np.linalg.matrix_power(quarter, turns) @ matrix
