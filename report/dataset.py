"""A data set's section: what was lost, how good its voxels are, what the audit found, where it comes from."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import numpy as np

from pipeline.formats import ledger
from report import figures
from report.gallery.facts import funnel_rows
from report.gather import DatasetFacts, short
from report.words import counted


def section(facts: DatasetFacts) -> dict[str, Any]:
    """What the template shows of one data set."""
    index = facts.index
    counts = index["counts"]
    rows = ledger.read_ledger(facts.ledger)
    return {
        "name": facts.name,
        "facts": [
            ("shapes", f"{sum(counts.values()):,}"),
            ("to train on", f"{counts['train']:,}"),
            ("to choose by", f"{counts['val']:,}"),
            ("to measure on", f"{counts['test']:,}"),
            (counted(len(index["categories"]), "category", "categories"), ", ".join(index["categories"])),
            (counted(index["views"], "view"), f"{index['size_px']} px"),
            ("voxels", f"{index['resolution']}³"),
        ],
        "funnel": funnel_rows(facts.ledger) if rows else [],
        "reasons": reasons(rows),
        "repairs": _repairs(rows),
        "voxels": voxels(facts.voxels, facts.voxel_seconds),
        "audit": _audit(facts.audit),
        "sheet": figures.contact_sheet(facts.sheet) if facts.sheet.exists() else None,
        "settings": [
            ("digest of its shards (SHA-256)", index["digest"]),
            *(
                (key, value if isinstance(value, (str, int, float)) else json.dumps(value, sort_keys=True))
                for key, value in sorted(index["attributes"].items())
            ),
        ],
    }


def reasons(rows: list[ledger.Row]) -> list[dict[str, Any]]:
    """Why shapes were refused: stage, reason, how many, and one example."""
    groups: dict[tuple[str, str], list[ledger.Row]] = {}
    for row in rows:
        if row.status == "rejected":
            groups.setdefault((row.stage, row.reason), []).append(row)
    return [
        {
            "stage": stage,
            "reason": reason.replace("_", " "),
            "count": len(members),
            "example": f"{members[0].shape_id}: {members[0].detail}",
        }
        for (stage, reason), members in sorted(groups.items())
    ]


def voxels(records: list[dict[str, Any]], seconds: list[float]) -> list[dict[str, Any]]:
    """The voxelizer's quality records: what was looked at, what was found, and the shapes to look at."""
    made = [record for record in records if "thin_recall" in record]
    if not made:  # published voxels have no such records
        return []
    odd = np.mean([record["odd_lines"] for record in made], axis=0)
    tight = sum(record["watertight"] for record in made)
    doubled = sum(record["duplicate_faces"] > 0 for record in made)
    worst = min(made, key=lambda record: (record["thin_recall"], record["shape_id"]))
    sparse, dense = (f(made, key=lambda record: record["occupancy"]) for f in (min, max))
    median = f"; {1000 * np.median(seconds):.1f} ms a shape (median, reading included)" if seconds else ""
    recall = np.mean([record["thin_recall"] for record in made])
    return [
        _fact("made by", f"mode {made[0]['mode']}, engine {made[0]['engine']}{median}"),
        _fact(
            "meshes",
            f"{tight} of {len(made)} are watertight; lines with an odd number of crossings along x, y, z: "
            f"{odd[0]:.1%}, {odd[1]:.1%}, {odd[2]:.1%}; {counted(doubled, 'mesh has', 'meshes have')} doubled faces",
        ),
        _fact(
            "thin parts",
            f"surface with an occupied voxel within one voxel: mean {recall:.3f}, least {worst['thin_recall']:.3f}",
            worst,
        ),
        *_whole(made),
        _fact("occupancy", f"from {sparse['occupancy']:.3f} to {dense['occupancy']:.3f} of the box", sparse, dense),
    ]


def _fact(title: str, words: str, *shapes: dict[str, Any]) -> dict[str, Any]:
    """One row: its title, what was found, and the ids of the shapes that show it, with their places in the gallery."""
    ids = [str(record["shape_id"]) for record in shapes]
    links = [
        {"id": short(one, 2), "hash": urlencode({"shape": one.partition("/")[2]})} for one in ids
    ]  # the gallery is of one set
    return {"title": title, "words": words, "shapes": links}


def _whole(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether shapes fell apart or grew together: the grid's parts beside those that it should have."""
    counted_ones = [record for record in made if "bounded_parts" in record]
    other = sorted(
        (record for record in counted_ones if record["parts"] != record["bounded_parts"]),
        key=lambda record: str(record["shape_id"]),
    )
    if not counted_ones:
        return []
    words = f"{len(counted_ones) - len(other)} of {len(counted_ones)} hang together exactly as their surfaces do"
    return [_fact("parts", words + (f"; {len(other)} not" if other else ""), *other[:3])]


def _audit(audit: dict[str, Any]) -> dict[str, Any] | None:
    """What the check of voxels against views found, in a sentence or two."""
    if not audit:
        return None
    others = {name: iou for name, iou in audit["axes"].items() if name != "+x +y +z"}
    second = max(others, key=lambda name: others[name])
    good = audit["axes"]["+x +y +z"] >= others[second]
    flagged = ", ".join(sorted(audit["flagged"])[:5]) or "none"
    text = (
        f"{'Voxels and views agree' if good else 'Voxels and views do NOT agree'}: silhouettes of the voxels from the "
        f"stored cameras overlap the views with IoU {audit['mean_iou']:.3f}; the next best of the 47 other axis orders "
        f"({second}) reaches {others[second]:.3f}. Shapes below {audit['flagged_below']}: {flagged}. "
        f"Of {counted(audit['views'], 'view')}: {audit['empty_views']} empty, {audit['black_views']} black, "
        f"{audit['cut_off_views']} cut off."
    )
    return {"text": text, "good": good and not audit["flagged"]}


def _repairs(rows: list[ledger.Row]) -> str:
    """How many shapes each repair touched, as one sentence."""
    touched = Counter(part.split("=")[0] for row in rows for part in row.repairs.split())
    return ", ".join(f"{name.replace('_', ' ')} in {counted(count, 'shape')}" for name, count in touched.most_common())
