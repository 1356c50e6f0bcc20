"""What a visitor sees first: three large numbers, the verdict in plain words, six shapes beside their truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.formats.results import centre
from report import gather
from report.gather import Arrays, ExperimentFacts
from report.triples import triple
from report.words import counted

SHAPES = 6
ALMOST_ALL = 0.95  # of the records of a training
ALWAYS_RIGHT = 0.99  # accuracy of a discriminator that leaves its generator little to learn from
IOU = (
    "IoU (intersection over union) is the share of voxels that answer and truth have in common, of all voxels that "
    "either of them fills: 1 is the very shape, 0 has nothing in common with it."
)


def glance(runs: Sequence[ExperimentFacts]) -> dict[str, Any] | None:
    """The experiment that reconstructs best, or the first where none does; None where nothing was evaluated."""
    if not runs:
        return None
    lead = max(runs, key=lambda run: centre(run.results["iou"]) if "iou" in run.results else -1.0)
    results = lead.results
    return {
        "name": lead.name,
        "page": lead.page,
        "numbers": numbers(results),
        "sentences": [*in_plain_words(results), *discriminator(results)],
        "iou": IOU if "iou" in results else "",
        "shapes": typical_shapes(lead),
    }


def numbers(results: dict[str, Any]) -> list[dict[str, str]]:
    """At most three: the network's IoU, and what it must be seen beside; of a network without encoder, its samples'."""
    if "iou" not in results:
        made = results["samples"]
        found = [
            ("nearest_training", "IoU of a sample and the training shape nearest to it", "1 would be a copy"),
            ("pairwise_iou", "IoU of two samples", "1 would be one shape again and again"),
            ("empty_rate", "of the samples are empty", f"of {counted(made['count'], 'sample')}"),
        ]
        return [_number(made[key], title, note) for key, title, note in found if key in made]
    count, split = results["shapes"][results["measured_on"]], results["measured_on"]
    seen = (
        f"of {counted(count, 'shape')} it has never seen"
        if split == "test"
        else f"of {counted(count, f'{split} shape')}"
    )
    out = [_number(results["iou"], "IoU of the network’s answer to one picture", f"mean {seen}")]
    for key, title, note in (
        ("mean_shape", "IoU of the mean training shape", "the same answer to every picture"),
        ("class_mean_shape", "IoU of the true category’s mean shape", "is told the category, the network is not"),
    ):
        if key in results["baselines"]:
            out.append(_number(results["baselines"][key]["iou"], title, note))
    return out


def _number(one: Any, title: str, note: str) -> dict[str, str]:
    return {"value": f"{centre(one):.2f}", "title": title, "note": note}


def in_plain_words(results: dict[str, Any]) -> list[str]:
    """What the numbers mean, for somebody who sees them for the first time."""
    if "iou" not in results:
        return ["This network has no encoder: it draws shapes and reads no pictures. Look at its samples below."]
    margin = results["margin"]
    out = []
    if results["measured_on"] != "test":
        out.append("There are no test shapes, so nothing here says how it does on shapes that it has never seen.")
    if results["verdict"]["passed"] is not False:
        times = centre(results["iou"]) / max(centre(results["baselines"]["mean_shape"]["iou"]), 1e-9)
        out.append(
            f"From one picture the network rebuilds a shape {times:.1f} times as well as an answer that never looks at "
            "the picture."
        )
    else:
        out.append("The network does little better than an answer that never looks at the picture.")
    if "class_mean_shape" in margin:
        out.append(_beside_the_category(margin["class_mean_shape"]))
    return out


def _beside_the_category(margin: dict[str, float]) -> str:
    """Does it see more than the kind of object?  An interval across zero says no."""
    if margin["low"] > 0:
        return (
            f"It does better ({margin['mean']:+.3f}) than the mean shape of the true category: it sees more than the "
            "kind of object."
        )
    same = "no better than" if margin["high"] >= 0 else "worse than"
    return (
        f"It does {same} the mean shape of the true category ({margin['mean']:+.3f}), which is told the category: "
        "what it tells apart is mostly the kind of object, not the single object."
    )


def discriminator(results: dict[str, Any]) -> list[str]:
    """A discriminator that is always right, said in words: its curve alone looks like success."""
    lines = [line for line in results["figures"]["losses"] if line.get("d_accuracy") is not None]
    if not lines:
        return []
    right = np.array([line["d_accuracy"] >= ALWAYS_RIGHT for line in lines])
    # Share of the records that are right, from each one to the end.
    kept = right[::-1].cumsum()[::-1] / np.arange(len(right), 0, -1)
    lasting = np.flatnonzero(right & (kept >= ALMOST_ALL))
    if not len(lasting) or lasting[0] > len(lines) // 2:
        return []
    first = int(lasting[0])
    share = lines[first]["samples"] / max(lines[-1]["samples"], 1)
    since = "from the start" if share < 0.01 else f"from {share:.0%} of the training on"
    return [
        f"The discriminator is always right {since} (accuracy {lines[-1]['d_accuracy']:.2f}): it tells every generated "
        "shape from a real one, so the adversarial loss has little left to teach the generator."
    ]


def typical_shapes(facts: ExperimentFacts) -> list[dict[str, Any]]:
    """The median shape of each category; where these are fewer than SHAPES, more from around the median of all."""
    path = facts.folder / "predictions.npz"
    table: Arrays = gather.arrays(path) if path.exists() else {}
    if not len(table.get("iou", ())):
        return []
    return [
        {
            **triple(table, row, "image", "levels"),
            "caption": f"{table['category'][row]}, {note} · IoU with the truth {table['iou'][row]:.2f}",
        }
        for row, note in typical_rows(table["category"].tolist())
    ]


def typical_rows(categories: list[str]) -> list[tuple[int, str]]:
    """Rows of a table that is sorted by IoU, and what is typical of each."""
    rows = {}
    for category in sorted(set(categories))[:SHAPES]:
        members = [row for row, one in enumerate(categories) if one == category]
        rows[members[len(members) // 2]] = "the median one"
    middle = len(categories) // 2
    for row in sorted(range(len(categories)), key=lambda row: (abs(row - middle), row)):
        if len(rows) >= min(SHAPES, len(categories)):
            break
        rows.setdefault(row, "near the median of all")
    return list(rows.items())
