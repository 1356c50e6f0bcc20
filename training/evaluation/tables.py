"""Results for people: a short table for the terminal, and results.md with everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.formats.results import SURFACE, centre

SAMPLES = {
    "occupancy": ("occupancy", "{:.3f}"),
    "empty_rate": ("empty", "{:.1%}"),
    "pairwise_iou": ("IoU of two", "{:.3f}"),
    "diversity": ("diversity", "{:.3f}"),
    "largest_component": ("largest part", "{:.3f}"),
    "nearest_training": ("IoU with the nearest training shape", "{:.3f}"),
    "memorised": ("copies", "{:.1%}"),
}
MEANS = ("mean over classes", "mean over photographs")


def table(results: dict[str, Any]) -> str:
    """The results for a person at the terminal."""
    if "iou" not in results:
        return str(results["verdict"]["sentence"])
    lines = [f"{'held-out IoU':<18}{'mean':>7}   95 % interval"]
    rows = {"this network": results["iou"], **{name: one["iou"] for name, one in results["baselines"].items()}}
    lines += [f"{name.replace('_', ' '):<18}{_spread(one)}" for name, one in rows.items()]
    lines += [
        f"  {name:<16}{_spread(one['iou'])}, {one['shapes']} shapes, mean shape {interval(one['mean_shape'])}"
        for name, one in results["categories"].items()
    ]
    overfit, samples = results["overfit"], results["samples"]
    lines += [
        f"{'on training shapes':<18}{_spread(overfit['train_iou'])}, gap {interval(overfit['gap'])}",
        f"samples from the prior: occupancy {interval(samples['occupancy'])},"
        f" data {interval(samples['data_occupancy'])}; empty {interval(samples['empty_rate'], '{:.1%}')};"
        f" pairwise IoU {interval(samples['pairwise_iou'])}",
    ]
    return "\n".join(lines)


def markdown(results: dict[str, Any], name: str) -> str:
    """results.md: every table, each number with its 95 % interval; docs/metrics.md defines them."""
    parts = [f"# {name}", "", results["verdict"]["sentence"] + "."]
    for title, lines in (
        ("Reconstruction of held-out shapes", _reconstruction(results)),
        ("By category", _categories(results)),
        ("Surfaces", _surfaces(results)),
        ("Samples from the prior", _generation(results)),
        ("Classification by the discriminator's features", _classification(results)),
        *((f"Photographs: {one}", photographs(found)) for one, found in results.get("photographs", {}).items()),
    ):
        if lines:
            parts += ["", f"## {title}", "", *lines]
    return "\n".join([*parts, ""])


def interval(one: dict[str, float], form: str = "{:.3f}") -> str:
    """`0.452 (0.433 to 0.470)`."""
    return f"{form.format(centre(one))} ({form.format(one['low'])} to {form.format(one['high'])})"


def _spread(one: dict[str, float]) -> str:
    """The same in columns."""
    return f"{one['mean']:>7.3f}   {one['low']:.3f} to {one['high']:.3f}"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A markdown table."""
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def photographs(found: dict[str, Any]) -> list[str]:
    """One set of photographs: classes as columns, the network and what it is seen beside as rows."""
    if "skipped" in found:
        return [str(found["skipped"])]
    lines = [
        f"{found['photographs']} photographs of {found['objects']} objects at {found['voxels']}^3, "
        f"occupancy {interval(found['occupancy'])}."
    ]
    kinds = {
        "ap": "average precision",
        "ap_aligned": "average precision, aligned",
        "iou": "IoU",
        "iou_aligned": "IoU, aligned",
    }
    for kind, title in kinds.items():
        if kind.endswith("aligned") and not found["aligned"]:
            continue
        classes = list(found["scores"]["network"][kind]["classes"])
        lines += [
            "",
            *grid(
                [title, *classes, *MEANS],
                ([_named(name, scores), *_photographed(scores[kind])] for name, scores in found["scores"].items()),
            ),
        ]
    if "pix3d" in found:
        scores = found["pix3d"]
        classes = list(scores["iou_boxed"]["classes"])
        lines += [
            "",
            *grid(
                [f"Pix3D's own scores (IoU at {scores['iou_threshold']})", *classes, *MEANS],
                ([kind, *_photographed(scores[kind])] for kind in ("iou_boxed", "cd", "emd")),
            ),
        ]
    return lines


def _photographed(score: dict[str, Any]) -> list[str]:
    """The classes of one score in the order of their names, and both means."""
    classes = [score["classes"][name] for name in sorted(score["classes"])]
    return [interval(one) for one in (*classes, score["class_mean"], score["photograph_mean"])]


def _reconstruction(results: dict[str, Any]) -> list[str]:
    if "iou" not in results:
        return []
    rows = [["this network", interval(results["iou"]), ""]]
    rows += [
        [_named(name, one), interval(one["iou"]), interval(results["margin"][name], "{:+.3f}")]
        for name, one in results["baselines"].items()
    ]
    rows.append(["this network, threshold 0.4 (R2N2)", interval(results["r2n2"]["iou"]), ""])
    rows.append(["this network, mean over categories (R2N2)", interval(results["r2n2"]["category_mean"]), ""])
    rows += [[f"this network, {count} pictures", interval(one), ""] for count, one in results["iou_by_views"].items()]
    overfit = results["overfit"]
    rows.append(["this network, median", interval(results["median_iou"]), ""])
    rows.append([f"this network on {overfit['train_shapes']} training shapes", interval(overfit["train_iou"]), ""])
    rows.append(["the gap to training shapes", interval(overfit["gap"]), ""])
    return grid([f"IoU on {results['measured_on']} shapes", "mean", "the network's margin"], rows)


def _categories(results: dict[str, Any]) -> list[str]:
    if "categories" not in results:
        return []
    others = list(results["baselines"])
    return grid(
        ["category", "shapes", "this network", *(name.replace("_", " ") for name in others)],
        (
            [name, str(one["shapes"]), interval(one["iou"]), *(interval(one[other]) for other in others)]
            for name, one in results["categories"].items()
        ),
    )


def _surfaces(results: dict[str, Any]) -> list[str]:
    if "surface" not in results:
        return []
    surface = results["surface"]
    rows = [(_named(name), found) for name, found in surface["scores"].items()]
    rows += [(f"this network, {name} ({one['shapes']} shapes)", one) for name, one in surface["categories"].items()]
    return grid(
        [f"{surface['shapes']} shapes", *(score.title for score in SURFACE.values())],
        (
            [name, *(interval(found[kind], f"{{:.{score.digits}f}}") for kind, score in SURFACE.items())]
            for name, found in rows
        ),
    )


def _generation(results: dict[str, Any]) -> list[str]:
    samples, found = results["samples"], results["generation"]
    lines = grid(
        ["", f"{samples['count']} samples", "data"],
        (
            [title, *(interval(samples[key], form) if key in samples else "" for key in (name, f"data_{name}"))]
            for name, (title, form) in SAMPLES.items()
        ),
    )
    if "skipped" in found:
        return [*lines, "", str(found["skipped"])]
    head = ["set", *(f"{title}, {kind}" for kind in ("IoU", "Chamfer") for title in ("MMD", "COV", "1-NNA")), "JSD"]
    rows = [
        [
            _named(name),
            *(
                interval(one[kind][score], "{:.4f}" if (kind, score) == ("chamfer", "mmd") else "{:.3f}")
                for kind in ("iou", "chamfer")
                for score in ("mmd", "cov", "one_nna")
            ),
            interval(one["jsd"]),
        ]
        for name, one in found.items()
    ]
    return [*lines, "", *grid(head, rows)]


def _classification(results: dict[str, Any]) -> list[str]:
    found = results.get("classification")
    if found is None or "skipped" in found:
        return [] if found is None else [str(found["skipped"])]
    unseen = f", {found['unseen']} of categories without training shapes" if found["unseen"] else ""
    return grid(
        [
            f"{found['shapes']['test']} {found['measured_on']} shapes{unseen}, {len(found['categories'])} categories",
            "accuracy",
            "numbers",
            "C",
        ],
        (
            [name.replace("_", " "), interval(one), str(one.get("numbers", "")), str(one.get("C", ""))]
            for name, one in found["accuracy"].items()
        ),
    )


def _named(name: str, one: dict[str, Any] | None = None) -> str:
    plain = "this network" if name == "network" else name.replace("_", " ")
    return f"{plain} (privileged)" if one and one.get("privileged") else plain
