"""Line charts over samples seen, as numbers that the template writes down as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 36
LANE = 17  # height of an alarm's line above the chart


@dataclass(frozen=True)
class Curve:
    """One line; `x` are samples seen."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Alarm:
    """From the look that raised it to the one that cleared it; None: it never was."""

    name: str
    raised: int
    cleared: int | None


def chart(
    title: str,
    curves: Sequence[Curve],
    last: int,  # where the axis of samples ends
    *,
    alarms: Sequence[Alarm] = (),
    named: bool = False,  # write the alarms' names, each on a line of its own
    level: tuple[str, float] | None = None,  # a labelled horizontal line
    log: bool = False,
) -> dict[str, Any]:
    """Everything the template draws; places are pixels of a picture WIDTH wide."""
    values = [value for curve in curves for value in curve.y] + ([level[1]] if level else [])
    log = log and min(values) > 0 and max(values) > 10 * min(values)
    room = 0.1 * abs(min(values)) if min(values) == max(values) else 0.0  # a level line runs through the middle
    ticks = decades(min(values), max(values)) if log else round_steps(min(values) - room, max(values) + room, 5)
    low, high = (math.log10(end) if log else end for end in (ticks[0], ticks[-1]))
    lanes = sorted({alarm.name for alarm in alarms}) if named else []
    top = TOP + LANE * len(lanes)
    bottom = top + HEIGHT - TOP - BOTTOM

    def across(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * x / max(last, 1), 1)

    def up(y: float) -> float:
        return round(bottom - (bottom - top) * ((math.log10(y) if log else y) - low) / ((high - low) or 1), 1)

    return {
        "title": title,
        "alt": f"{title}: " + "; ".join(_in_words(curve) for curve in curves),
        "height": bottom + BOTTOM,
        "top": top,
        "bottom": bottom,
        "x_ticks": [(across(x), f"{int(x):,}") for x in round_steps(0, max(last, 1), 4) if x <= last],
        "y_ticks": [(up(y), number(y)) for y in ticks],
        "curves": [
            {
                "label": curve.label,
                "points": [(across(x), up(y)) for x, y in zip(curve.x, curve.y, strict=True)],
                "dots": len(curve.x) <= 40,
            }
            for curve in curves
        ],
        "level": (level[0], up(level[1])) if level else None,
        "alarms": [
            {
                "name": alarm.name,
                "words": in_words(alarm),
                "from": across(alarm.raised),
                "to": None if alarm.cleared is None else across(alarm.cleared),
                "width": round(across(last if alarm.cleared is None else alarm.cleared) - across(alarm.raised), 1),
                "y": TOP + LANE * lanes.index(alarm.name) if named else 0,
            }
            for alarm in alarms
        ],
        "named": named,
    }


def spans(lines: Sequence[dict[str, Any]]) -> list[Alarm]:
    """Alarms from the lines that say when each was raised and cleared, in the order in which they were raised."""
    open_ones: dict[str, int] = {}
    out = []
    for line in lines:
        if line["raised"]:
            open_ones.setdefault(line["alarm"], line["samples"])
        elif line["alarm"] in open_ones:
            out.append(Alarm(line["alarm"], open_ones.pop(line["alarm"]), line["samples"]))
    out += [Alarm(name, samples, None) for name, samples in open_ones.items()]
    return sorted(out, key=lambda alarm: (alarm.raised, alarm.name))


def in_words(alarm: Alarm) -> str:
    """One alarm as a line of text."""
    end = "still raised at the end" if alarm.cleared is None else f"cleared after {alarm.cleared:,}"
    return f"{alarm.name}: raised after {alarm.raised:,} samples, {end}"


def round_steps(low: float, high: float, about: int) -> list[float]:
    """About that many multiples of 1, 2 or 5 times a power of ten, from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * about >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 12) for place in range(first, max(last, first + 1) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten around two positive numbers."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """`0.25`, `1,000`: as short as it can be."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _in_words(curve: Curve) -> str:
    ends = f"{number(round(curve.y[0], 4))} after {curve.x[0]:,.0f} samples"
    return f"{curve.label} from {ends} to {number(round(curve.y[-1], 4))} after {curve.x[-1]:,.0f}"
