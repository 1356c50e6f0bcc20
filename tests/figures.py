"""Walks through results.json: which numbers have an interval, and which have none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def figures(value: Any) -> Iterator[dict[str, float]]:
    """Every figure with an interval in a tree of results."""
    if isinstance(value, dict):
        if {"low", "high"} <= set(value):
            yield value
        for inner in value.values():
            yield from figures(inner)


def bare_numbers(value: Any, place: str = "") -> Iterator[str]:
    """Where in a tree of results numbers without an interval lie; whole numbers count something and have none."""
    if isinstance(value, dict):
        inside = {key for key in value if {"low", "high"} <= set(value) and key in ("mean", "value", "low", "high")}
        for key in value.keys() - inside:
            yield from bare_numbers(value[key], f"{place}.{key}" if place else key)
    elif isinstance(value, float):
        yield place
