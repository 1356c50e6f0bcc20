"""Figures of an evaluation: `results.json`, which docs/metrics.md defines.

A figure is {mean, low, high}, or {value, low, high} where it is no mean; a bare number where an
older evaluation left it without an interval.
"""

from __future__ import annotations

from typing import Any


def figure_at(results: dict[str, Any], place: str) -> Any | None:
    """What lies at a place like `generation.network.jsd`; None where this run has no such thing."""
    found: Any = results
    for key in place.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found


def centre(figure: Any) -> float:
    """The number of a figure without its interval."""
    if isinstance(figure, dict):
        return float(figure["mean"] if "mean" in figure else figure["value"])
    return float(figure)
