"""``python -m render audit``: do voxels and views show the same object, in the same axes?

For a sample of shapes the voxels are turned and mirrored in all 48 ways that keep the axes,
and each time their silhouette from the stored cameras is compared with the views' alpha.
The identity has to fit best.  Every shape is then checked as it stands, and views that are
empty, black or cut off are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.conventions import unpack_grid
from pipeline.errors import UserError
from pipeline.meshes.orient import IDENTITY, ORIENTATIONS, Orientation, oriented
from pipeline.progress import Log, progress, say
from pipeline.seeds import stable_hash
from pipeline.shards import Shard
from pipeline.shards.agreement import LEAST_IOU, MARGIN, advice, name, view_faults, view_silhouettes
from pipeline.shards.index import open_indexed, read_index
from pipeline.state.files import write_state

SAMPLE = 48  # shapes that are tried in all 48 ways
MOST_FLAGGED = 0.5  # share of flagged shapes above which the data set is refused


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
    ways: dict[Orientation, list[float]] = field(default_factory=dict)


def audit_index(index_path: Path, out: Path, *, log: Log) -> None:
    """Check a data set; the report is written also when the check fails."""
    index = read_index(index_path)
    sample = _sample(index_path, index)
    findings = Findings()
    for number, entry in enumerate(progress(index["shards"], "audit", unit="shard", log=log)):
        with open_indexed(index_path, entry) as shard:
            for row in range(len(shard)):
                _check_shape(shard, row, findings, every_way=(number, row) in sample)
    report = {"index_digest": index["digest"], **_report(findings)}
    write_state(out, report)
    log.write("audit", **{key: value for key, value in report.items() if key != "flagged"})
    _refuse(report, findings, index_path, out)
    say(
        f"audit {index['dataset']}: {findings.shapes} shapes, silhouette IoU {report['mean_iou']}, "
        f"{len(findings.flagged)} flagged; views: {findings.empty_views} empty, {findings.black_views} black, "
        f"{findings.cut_off_views} cut off"
    )


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
    for mask, picture in zip(alpha, pictures, strict=True):
        faults = view_faults(mask, picture)
        findings.views += 1
        findings.empty_views += faults.empty
        findings.black_views += faults.black
        findings.cut_off_views += faults.cut_off

    grid = unpack_grid(shard.array("voxels")[row], shard.resolution)
    seen = view_silhouettes(alpha, shard.array("K")[row], shard.array("camera_to_world")[row], shard.resolution)
    ious = {way: seen.iou(oriented(grid, way)) for way in (ORIENTATIONS if every_way else [IDENTITY])}
    if every_way:
        for way, value in ious.items():
            findings.ways.setdefault(way, []).append(value)
    findings.shapes += 1
    findings.iou_sum += ious[IDENTITY]
    if ious[IDENTITY] < LEAST_IOU:
        findings.flagged[shard.records[row].shape_id] = round(ious[IDENTITY], 3)


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
        )
    share = len(findings.flagged) / max(findings.shapes, 1)
    if share > MOST_FLAGGED:
        raise UserError(
            "voxels and views do not show the same objects",
            where=str(index_path),
            got=f"{share:.0%} of the shapes have a silhouette IoU below {LEAST_IOU}",
            wanted=f"at most {MOST_FLAGGED:.0%}",
            do=f"look at the contact sheet; the shapes are in {out}",
        )
