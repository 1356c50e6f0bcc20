"""The metric tables: every figure of results.json with its interval and what it must be seen beside.

docs/metrics.md defines the numbers.  A table is {title, columns, rows, notes}; a row's cells are
texts with a smaller text below, mostly the 95 % interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.formats.results import SURFACE, centre
from report.words import counted

Table = dict[str, Any]

NAMES = {
    "network": ("this network", "one picture in, one shape out"),
    "mean_shape": ("mean training shape", "the same answer for every picture"),
    "nearest_pixels": ("nearest neighbour in pixels", "the training shape whose view is closest to the picture"),
    "random_shape": ("a random training shape", "drawn blindly"),
    "class_mean_shape": ("mean shape of the true class", "is told the category, which the network is not"),
    "chance": ("chance", "a random number for every voxel"),
    "nearest_training": ("nearest training shape", "is told the truth: the best that copying could reach"),
    "training_shapes": ("training shapes", "what a perfect generator would make"),
    "discriminator": ("SVM on the discriminator’s features", "layers 2 to 4, pooled, as in the paper"),
    "random_weights": ("SVM on random features", "the same layers before any training"),
    "voxels": ("SVM on the voxels", "no network at all"),
    "majority": ("the most frequent category", "for every shape"),
}
SPLITS = {"train": "training", "val": "validation", "test": "test"}
NOTHING = {"text": "", "small": ""}


def tables(results: Mapping[str, Any]) -> list[Table]:
    """Every table of one experiment whose numbers are there, in the order of the page."""
    found = [
        reconstruction(results),
        surfaces(results),
        fixed_threshold(results),
        *categories(results),
        views(results),
        samples(results),
        generation(results),
        classification(results),
    ]
    sets = results.get("photographs", {})
    return [table for table in found if table] + [t for name in sets for t in photographs(name, sets[name])]


def reconstruction(results: Mapping[str, Any]) -> Table | None:
    """IoU of the network and of the baselines over all views."""
    if "iou" not in results:
        return None
    rows = [_row("network", [figure(results["iou"]), NOTHING], ours=True)]
    for name in _ordered(results["baselines"]):
        one = results["baselines"][name]
        margin = figure(results["margin"][name], sign="+") if name in results.get("margin", {}) else NOTHING
        rows.append(_row(name, [figure(one["iou"]), margin]))
    overfit = results["overfit"]
    further = [
        ("this network on training shapes", "which it has seen", figure(overfit["train_iou"])),
        ("the gap to training shapes", "their IoU less that of the shapes above", figure(overfit["gap"])),
    ]
    if "median_iou" in results:
        further.append(
            ("this network, the median shape", "half of the shapes are better", figure(results["median_iou"]))
        )
    rows += [{"name": name, "note": note, "cells": [cell, NOTHING]} for name, note, cell in further]
    measured_on = counted(results["shapes"][results["measured_on"]], SPLITS[results["measured_on"]] + " shape")
    views = counted(results["views"], "view")
    notes = [
        f"Measured on {measured_on}, {views} of each: the mean over a shape’s views, then over shapes. "
        f"Checkpoint and threshold ({results['threshold']:.2f}) were chosen on {SPLITS[results['tuned_on']]} shapes.",
        "Below each number its 95 % interval (bootstrap over shapes). ↑ more is better, ↓ less is better.",
    ]
    never_seen = "shapes it has never seen"
    known = f"{SPLITS[results['measured_on']]} shapes, for want of test shapes"
    return _table(
        f"One picture in, one shape out, on {never_seen if results['measured_on'] == 'test' else known}",
        ["IoU ↑", "ahead by"],
        rows,
        notes,
    )


def surfaces(results: Mapping[str, Any]) -> Table | None:
    """Surface distances and average precision, on one view a shape: another protocol than that of the IoU."""
    found = results.get("surface", {})
    if "iou" not in results or not found.get("scores"):
        return None
    columns = [(kind, score.label, score.digits) for kind, score in SURFACE.items()]
    rows = [
        _row(name, _scores(found["scores"][name], columns), ours=name == "network")
        for name in _ordered(found["scores"])
    ]
    note = (
        f"One view of each of {counted(found['shapes'], 'shape')}. Chamfer distance in sides of the box, "
        f"F-score within {found['tau']:.0%} of its side, AP is average precision over thresholds."
    )
    return _table("Surfaces, and precision without a threshold", [title for _, title, _ in columns], rows, [note])


def fixed_threshold(results: Mapping[str, Any]) -> Table | None:
    """IoU by the protocol of 3D-R2N2 (Choy et al. 2016, arXiv 1604.00449)."""
    one = results.get("r2n2")
    if one is None:
        return None
    cells = [figure(one["iou"]), figure(one["category_mean"])]
    note = f"IoU at the fixed threshold {one['threshold']:.1f}, which was not chosen on any shapes."
    head = ["mean over shapes ↑", "mean over categories ↑"]
    return _table("By the protocol of 3D-R2N2", head, [_row("network", cells, ours=True)], [note])


def categories(results: Mapping[str, Any]) -> list[Table]:
    """IoU of each category beside the baselines, and the network's surfaces."""
    found = results.get("categories")
    if not found:
        return []
    others = [name for name in _ordered(results["baselines"]) if name in next(iter(found.values()))]
    surface = results.get("surface", {}).get("categories", {})
    columns = [(kind, score.label, score.digits) for kind, score in SURFACE.items() if surface]
    rows = []
    for name, one in found.items():
        ious = [figure(one[who]) for who in ("iou", *others)]
        measured = _scores(surface.get(name), columns)
        rows.append({"name": name, "note": "", "cells": [text(str(one["shapes"])), *ious, *measured]})
    head = ["shapes", "IoU ↑", *(f"IoU: {NAMES[other][0]}" for other in others), *(title for _, title, _ in columns)]
    return [_table("By category", head, rows, [], closed=True)]


def views(results: Mapping[str, Any]) -> Table | None:
    """IoU with more and more pictures of a shape shown together."""
    found = results.get("iou_by_views")
    if not found:
        return None
    counts = sorted(found, key=int)
    cells = [figure(found[count]) for count in counts]
    head = [f"{count} {'picture' if count == '1' else 'pictures'}" for count in counts]
    return _table(
        "Several pictures of one shape", head, [_row("network", cells, ours=True)], ["IoU; ↑ more is better."]
    )


def samples(results: Mapping[str, Any]) -> Table | None:
    """What the samples are like beside the data."""
    one = results["samples"]
    pairs = [
        ("occupancy", "occupancy", "data_occupancy", "share of the box that is filled"),
        ("IoU between two", "pairwise_iou", "data_pairwise_iou", "1: all are the same"),
        ("diversity", "diversity", "data_diversity", "1 − IoU between two"),
        ("largest part", "largest_component", "data_largest_component", "share of a shape’s voxels that hang together"),
        ("empty", "empty_rate", None, "share of samples without a single voxel"),
        ("IoU with the nearest training shape", "nearest_training", None, "1 would be a copy"),
        ("memorised", "memorised", None, "share of samples whose IoU with a training shape is above 0.95"),
    ]
    rows = [
        {"name": name, "note": note, "cells": [figure(one[key]) if key in one else NOTHING for key in (ours, data)]}
        for name, ours, data, note in pairs
        if ours in one
    ]
    made = counted(one["count"], "sample")
    return _table(
        "Shapes drawn from the prior",
        ["samples", "data"],
        rows,
        [f"{made}, as they come. A good reconstruction does not make good samples; both are shown."],
    )


def generation(results: Mapping[str, Any]) -> Table | None:
    """MMD, COV, 1-NNA by Chamfer and by IoU, and JSD, beside training shapes and one mean shape."""
    found = results.get("generation")
    if found is None:
        return None
    title = "How close the samples come to held-out shapes"
    if "skipped" in found:
        return _not_measured(title, found)
    rows = [
        _row(
            name,
            [
                figure(one["chamfer"]["mmd"], 4),
                figure(one["chamfer"]["cov"]),
                figure(one["chamfer"]["one_nna"]),
                figure(one["iou"]["mmd"]),
                figure(one["iou"]["cov"]),
                figure(one["iou"]["one_nna"]),
                figure(one["jsd"]),
            ],
            ours=name == "network",
            note={"network": "its samples", "mean_shape": "one shape again and again"}.get(name),
        )
        for name, one in ((name, found[name]) for name in _ordered(found))
    ]
    first = next(iter(found.values()))
    notes = [
        f"By Chamfer distance ({first['chamfer']['points']} points, {first['chamfer']['shapes']} shapes of each set) "
        f"and by 1 − IoU ({first['iou']['shapes']} of each). MMD: how close the samples come; COV: the share of "
        "held-out shapes that they cover; 1-NNA: 0.5 where samples and held-out shapes cannot be told apart, 1 "
        "where they have nothing in common; JSD: how differently their points fill the box, 0 to 1."
    ]
    head = [
        f"{name}, {way} {better}"
        for way in ("Chamfer", "IoU")
        for name, better in (("MMD", "↓"), ("COV", "↑"), ("1-NNA", "→ 0.5"))
    ]
    return _table(title, [*head, "JSD ↓"], rows, notes)


def classification(results: Mapping[str, Any]) -> Table | None:
    """Accuracy of linear SVMs on the discriminator's features and on what they are seen beside."""
    found = results.get("classification")
    if found is None:
        return None
    title = "What the discriminator has learned: classification by a linear SVM"
    if "skipped" in found:
        return _not_measured(title, found)
    rows = [
        _row(
            name,
            [figure(one), text(f"{one['numbers']:,}" if "numbers" in one else ""), text(f"{one.get('C', '')}")],
            ours=name == "discriminator",
        )
        for name, one in ((name, found["accuracy"][name]) for name in _ordered(found["accuracy"]))
    ]
    measured_on = counted(found["shapes"]["test"], SPLITS[found["measured_on"]] + " shape")
    notes = [
        f"{counted(len(found['categories']), 'category', 'categories')}; "
        f"{counted(found['shapes']['train'], 'training shape')}, {found['shapes']['tuning']} to choose C, "
        f"{measured_on}"
        + (f", {found['unseen']} of them of categories without training shapes." if found.get("unseen") else ".")
    ]
    return _table(title, ["accuracy ↑", "numbers a shape", "C"], rows, notes)


def photographs(name: str, found: Mapping[str, Any]) -> list[Table]:
    """One set of photographs: means over classes; means over photographs, and every class."""
    title = f"Photographs: {name}"
    if "skipped" in found:
        return [_not_measured(title, found)]
    kinds = {"ap": "AP ↑", "ap_aligned": "AP, aligned ↑", "iou": "IoU ↑", "iou_aligned": "IoU, aligned ↑"}
    if not found["aligned"]:
        kinds = {key: label for key, label in kinds.items() if not key.endswith("aligned")}
    scores = found["scores"]
    rows = [
        _row(one, [figure(scores[one][kind]["class_mean"]) for kind in kinds], ours=one == "network")
        for one in _ordered(scores)
    ]
    notes = [
        f"{counted(found['photographs'], 'photograph')} of {counted(found['objects'], 'object')} in "
        f"{found['voxels']}³ voxels, {in_words(found['occupancy'])} of them filled"
        + (f"; {found['rejected']} could not be used." if found["rejected"] else "."),
        "Means over classes; intervals resample whole objects."
        + (
            " Aligned: the best of 48 orientations and all shifts of up to 10 %, as in the paper: "
            "an optimistic number, "
            "so everything beside it is aligned in the same way."
            if found["aligned"]
            else ""
        ),
    ]
    out = [_table(title, list(kinds.values()), rows, notes)]
    for kind, label in kinds.items():
        classes = list(scores["network"][kind]["classes"])
        rows = [
            _row(one, _photographed(scores[one][kind], classes)[1:], ours=one == "network") for one in _ordered(scores)
        ]
        head = ["mean over photographs", *classes]
        out.append(_table(f"{title}, {label[:-2]} over photographs and of each class", head, rows, [], closed=True))
    if "pix3d" in found:
        out.append(_pix3d(found["pix3d"]))
    return out


def _pix3d(scores: Mapping[str, Any]) -> Table:
    kinds = {"iou_boxed": ("IoU ↑", 3), "cd": ("Chamfer ↓", 4), "emd": ("EMD ↓", 4)}
    classes = list(scores["iou_boxed"]["classes"])
    rows = [
        {"name": label, "note": "", "cells": _photographed(scores[kind], classes, digits)}
        for kind, (label, digits) in kinds.items()
    ]
    note = (
        f"In bounding boxes, at the threshold that suits these pictures best ({scores['iou_threshold']}), as "
        "published: an optimistic number."
    )
    head = ["mean over classes", "mean over photographs", *classes]
    return _table("Pix3D’s own scores", head, rows, [note])


# ---- parts of a table ----------------------------------------------------------------------


def text(value: str, small: str = "") -> dict[str, str]:
    """One cell."""
    return {"text": value, "small": small}


def figure(one: Mapping[str, float] | float, digits: int = 3, sign: str = "") -> dict[str, str]:
    """A number over its interval; alone where there is none, or none that says anything: one shape has no spread."""
    form = f"{sign}.{digits}f"
    wide = isinstance(one, Mapping) and one["low"] < one["high"]
    interval = f"{one['low']:{form}} – {one['high']:{form}}" if isinstance(one, Mapping) and wide else ""
    return text(f"{centre(one):{form}}", interval)


def in_words(one: Mapping[str, float] | float) -> str:
    """A share with its interval inside a sentence."""
    cell = figure({name: 100 * share for name, share in one.items()} if isinstance(one, Mapping) else 100 * one, 1)
    return f"{cell['text']} %" + (f" ({cell['small']})" if cell["small"] else "")


def _photographed(score: Mapping[str, Any], classes: Sequence[str], digits: int = 3) -> list[dict[str, str]]:
    """Mean over classes, mean over photographs, every class."""
    means = [score["class_mean"], score["photograph_mean"]]
    return [figure(one, digits) for one in (*means, *(score["classes"][name] for name in classes))]


def _not_measured(title: str, found: Mapping[str, Any]) -> Table:
    """No table, but the reason."""
    return _table(title, [], [], [f"Not measured: {found['skipped']}."])


def _ordered(names: Iterable[str]) -> list[str]:
    """As in NAMES; files have them in the order of the alphabet."""
    return sorted(names, key=lambda name: (list(NAMES).index(name) if name in NAMES else len(NAMES), name))


def _scores(found: Mapping[str, Any] | None, columns: Sequence[tuple[str, str, int]]) -> list[dict[str, str]]:
    return [figure(found[key], digits) if found else NOTHING for key, _, digits in columns]


def _row(key: str, cells: list[dict[str, str]], *, ours: bool = False, note: str | None = None) -> dict[str, Any]:
    name, usual = NAMES.get(key, (key.replace("_", " "), ""))
    return {"name": name, "note": usual if note is None else note, "cells": cells, "ours": ours}


def _table(
    title: str,
    columns: Sequence[str],
    rows: list[dict[str, Any]],
    notes: list[str],
    *,
    closed: bool = False,
) -> Table:
    return {"title": title, "columns": list(columns), "rows": rows, "notes": notes, "closed": closed}
