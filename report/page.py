"""The story of one run on one page: what was built, what was lost, what was learned.

    report.html     style, scripts and pictures inside; works from a file, asks for nothing

Everything on it was read from files that the stages left, so the same run gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import markupsafe

from pipeline.atomic import write_text
from pipeline.formats.html import policy, template
from pipeline.formats.results import COLUMNS, MORE_COLUMNS, figure_at
from pipeline.progress import Log, progress
from pipeline.settings.report import Report
from report import dataset, experiment, gather
from report.gallery.build import read_asset as read_gallery_asset
from report.gallery.build import scene_bundle
from report.gather import ExperimentFacts
from report.glance import glance
from report.glossary import glossary
from report.tables import NOTHING, Table, figure, text

HOME = Path(__file__).parent / "templates"
_PACKAGES = ("numpy", "scipy", "h5py", "pillow", "jinja2")  # of this page; each training names its own


def write_page(output: Path, page: Path, settings: Report, *, log: Log | None = None) -> None:
    """Read what the stages left below `output` and publish one self-contained page."""
    runs = gather.experiments(output)
    sections = [experiment.section(facts) for facts in progress(runs, "report", unit="experiment", log=log)]
    style = read_asset("style.css")
    script = "\n".join([read_asset("page.js"), read_gallery_asset("unpack.js"), read_asset("shapes.js")])
    scene = scene_bundle()
    text = template(HOME).render(
        policy=policy(style, [text for text in (scene, script) if text]),
        style=markupsafe.Markup(style),
        script=markupsafe.Markup(script),
        scene=markupsafe.Markup(scene) if scene else None,
        title=settings.title,
        glance=glance(runs),
        glossary=glossary(),
        experiments=sections,
        comparison=comparison(runs),
        datasets=[dataset.section(facts) for facts in gather.datasets(output)],
        timings=gather.timings(output),
        versions=_versions(),
    )
    write_text(page, text)


def read_asset(file: str) -> str:
    """A file of the templates' folder that goes into the page."""
    return (HOME / file).read_text(encoding="utf-8")


def comparison(runs: Sequence[ExperimentFacts]) -> Table | None:
    """One column an experiment, one row a figure that any of them has; None where there is nothing to compare."""
    if len(runs) < 2:
        return None
    sets = sorted({name for run in runs for name in run.results.get("photographs", {})})
    scores = [(name, label, score) for name in sets for label, score in (("AP", "ap"), ("AP, aligned", "ap_aligned"))]
    photographs = [
        (f"{name}: {label} ↑", f"photographs.{name}.scores.network.{score}.class_mean", 3)
        for name, label, score in scores
    ]
    fixed = [(one.label, one.place, one.digits) for one in (*COLUMNS, *MORE_COLUMNS) if one.label]
    rows = (*fixed, *photographs)
    found = [(label, [figure_at(run.results, place) for run in runs], digits) for label, place, digits in rows]
    facts = [
        ("preset", [text(run.results.get("preset", "")) for run in runs]),
        ("samples seen", [text(f"{run.results['checkpoint']['samples']:,}") for run in runs]),
        ("alarms at the end", [text(", ".join(_raised(run.results)) or "none") for run in runs]),
    ]
    numbers = [
        (label, [NOTHING if one is None else figure(one, digits) for one in figures])
        for label, figures, digits in found
        if any(one is not None for one in figures)
    ]
    return {
        "title": "The experiments side by side",
        "columns": [run.name for run in runs],
        "rows": [{"name": label, "note": "", "cells": cells} for label, cells in facts + numbers],
        "notes": [
            "↑ more is better, ↓ less is better; below each number its 95 % interval (bootstrap over shapes). "
            "Baselines are in each experiment’s own tables."
        ],
    }


def _raised(results: dict[str, Any]) -> list[str]:
    last = {line["alarm"]: line["raised"] for line in results["figures"]["alarms"]}
    return sorted(name for name, raised in last.items() if raised)


def _versions() -> str:
    """What the page was made with."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return f"Python {platform.python_version()}, {', '.join(found)}, {platform.machine()}."
