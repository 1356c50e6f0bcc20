"""Tables: rectangular, round or oval tops on four legs, a pedestal, trestles, panels or an X; aprons, shelves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.conventions import Floats
from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look
from pipeline.furniture.parts import Part, box, ellipse, extrude, frustum, lathe, rectangle, tube


@dataclass(frozen=True)
class Table:
    """Metres; the long side runs along x."""

    top: str  # rectangle, rounded, round, oval
    base: str  # legs, round_legs, pedestal, twin, trestle, panels, cross
    shelf: bool
    apron: bool
    length: float
    depth: float
    height: float
    thickness: float
    leg: float
    taper: float
    splay: float
    inset: float
    apron_height: float
    shelf_height: float
    corner: float
    bulb: float


def draw_parameters(draw: Draw) -> Table:
    """One table: dining, coffee or side table."""
    kind = draw.choose({"dining": 3.5, "coffee": 2, "side": 1})
    top = draw.choose({"rectangle": 4, "rounded": 2, "round": 2, "oval": 1.5})
    length = draw.between(*{"dining": (1.2, 1.6), "coffee": (0.8, 1.05), "side": (0.52, 0.72)}[kind])
    height = draw.between(*{"dining": (0.7, 0.78), "coffee": (0.42, 0.52), "side": (0.48, 0.6)}[kind])
    if top == "round":
        length = min(length, 1.3)
    depth = length if top == "round" else length * draw.between(0.56, 0.82)
    bases = {
        "legs": 4,
        "round_legs": 2,
        "pedestal": 2.4 if top in ("round", "oval") else 0.7,
        "trestle": 1.0,
        "panels": 1.0,
        "cross": 0.8,
    }
    if top in ("round", "oval"):
        bases["panels"] = bases["trestle"] = 0.25
    if length > 1.2 and top != "round":
        bases["twin"] = 1.0
    base = draw.choose(bases)
    longest = max(length, height)
    return Table(
        top=top,
        base=base,
        shelf=draw.chance(0.45 if kind != "dining" else 0.1) and base in ("legs", "round_legs", "panels"),
        apron=draw.chance(0.5) and base in ("legs", "round_legs") and top in ("rectangle", "rounded"),
        length=length,
        depth=depth,
        height=height,
        thickness=draw.stout(longest, 1.5, 2.5),
        leg=draw.stout(longest, 1.5, 2.5),
        taper=draw.between(0.6, 1.0),
        splay=draw.between(0.02, 0.1) if draw.chance(0.4) else 0.0,
        inset=draw.between(0.015, 0.09),
        apron_height=draw.between(0.06, 0.12),
        shelf_height=draw.between(0.25, 0.5),
        corner=draw.between(0.03, 0.16),
        bulb=draw.between(0.8, 1.7),
    )


def draw_looks(draw: Draw, table: Table) -> dict[str, Look]:
    """Top and base, alike or not."""
    top = look(draw, draw.choose({"wood": 6, "stone": 1, "paint": 1.2, "plastic": 0.6}), "top")
    if draw.chance(0.5):
        return {"top": top, "base": top}
    return {"top": top, "base": look(draw, draw.choose({"wood": 3, "metal": 2, "paint": 2}), "base")}


def build(table: Table) -> list[Part]:
    """The parts of one table."""
    parts = [extrude("top", _outline(table), "y", (table.height - table.thickness, table.height), 0.008)]
    parts += {
        "legs": _legs,
        "round_legs": _legs,
        "pedestal": _pedestal,
        "twin": _twin,
        "trestle": _trestle,
        "panels": _panels,
        "cross": _cross,
    }[table.base](table)
    if table.shelf:
        parts.append(_shelf(table))
    return parts


def _outline(t: Table) -> Floats:
    x, z = (-t.length / 2, t.length / 2), (-t.depth / 2, t.depth / 2)
    if t.top in ("round", "oval"):
        return ellipse(x, z, 32)
    return rectangle(x, z, t.corner if t.top == "rounded" else 0.0, 4)


def _shelf(t: Table) -> Part:
    """A board that reaches the middle of the legs or panels at its height."""
    level = t.shelf_height * t.height
    (x, z), out = _corner(t), t.splay * (1 - level / _under(t))
    if t.base == "panels":
        x, z, out = _panel(t)[0] - 0.5 * t.leg, 0.9 * _panel(t)[1], 0.0
    span = (level - 0.8 * t.thickness, level)
    if t.top in ("round", "oval") and t.base != "panels":
        # The legs stand on the diagonals of the ellipse.
        x, z = 1.43 * (x + out), 1.43 * (z + out)
        return extrude("top", ellipse((-x, x), (-z, z), 32), "y", span, 0.006)
    return extrude("top", rectangle((-x - out, x + out), (-z - out, z + out)), "y", span, 0.006)


def _corner(t: Table) -> tuple[float, float]:
    """Where the legs stand; under a round top, well inside its edge."""
    share = 0.66 if t.top in ("round", "oval") else 1.0
    margin = t.inset + 0.5 * t.leg
    if t.top == "rounded":
        margin += 0.25 * t.corner
    return share * (t.length / 2 - margin), share * (t.depth / 2 - margin)


def _under(t: Table) -> float:
    return t.height - 0.6 * t.thickness


def _legs(t: Table) -> list[Part]:
    (x, z), half, sides = _corner(t), 0.5 * t.leg, 4 if t.base == "legs" else 14
    parts = [
        frustum(
            "base",
            (sx * (x + t.splay), 0.0, sz * (z + t.splay)),
            (sx * x, _under(t), sz * z),
            half * t.taper,
            half,
            sides,
        )
        for sx in (-1, 1)
        for sz in (-1, 1)
    ]
    if t.apron:
        y = (t.height - t.thickness - t.apron_height, _under(t) - 0.004)
        thin = 0.3 * t.leg
        parts += [box("base", (-x, x), y, (sz * z - thin, sz * z + thin)) for sz in (-1, 1)]
        parts += [box("base", (sx * x - thin, sx * x + thin), (y[0] + 0.003, y[1] - 0.003), (-z, z)) for sx in (-1, 1)]
    return parts


def _column(t: Table, x: float, reach: float) -> list[Part]:
    """A turned column on a disc."""
    r = 0.62 * t.leg
    high = _under(t)
    profile = [
        (r * 1.15, 0.03),
        (r * 0.8, 0.14 * high),
        (r * t.bulb, 0.35 * high),
        (r * 0.75, 0.62 * high),
        (r * 1.1, 0.85 * high),
        (max(2.2 * r, 0.3 * reach), high),
    ]
    plate = [(reach, 0.0), (reach, 0.022), (0.55 * reach, 0.05), (r, 0.09)]
    return [lathe("base", plate, (x, 0.0), 24), lathe("base", profile, (x, 0.0), 16)]


def _pedestal(t: Table) -> list[Part]:
    return _column(t, 0.0, 0.31 * min(t.length, t.depth) + 0.06)


def _twin(t: Table) -> list[Part]:
    x, reach = 0.28 * t.length, 0.3 * t.depth
    beam = tube("base", [(-x, 0.4 * t.height, 0.0), (x, 0.4 * t.height, 0.0)], 0.3 * t.leg, 8)
    return [*_column(t, -x, reach), *_column(t, x, reach), beam]


def _trestle(t: Table) -> list[Part]:
    """An A-shaped stand at each end and a beam between them."""
    x, z = 0.36 * t.length, 0.5 * t.depth - t.inset - 0.05
    half, parts = 0.5 * t.leg, []
    for sx in (-1, 1):
        parts += [
            frustum("base", (sx * x, 0.0, sz * z), (sx * x, _under(t), sz * 0.3 * z), half, half * 0.98)
            for sz in (-1, 1)
        ]
        parts.append(
            box(
                "base",
                (sx * x - 0.8 * half, sx * x + 0.8 * half),
                (0.28 * t.height, 0.28 * t.height + t.leg),
                (-0.72 * z, 0.72 * z),
            )
        )
    middle = 0.28 * t.height + 0.5 * t.leg
    return [*parts, box("base", (-x, x), (middle - 0.7 * half, middle + 0.7 * half), (-0.7 * half, 0.7 * half))]


def _panel(t: Table) -> tuple[float, float]:
    """Outer x of the upright boards and half their width."""
    share = 0.62 if t.top in ("round", "oval") else 1.0
    return share * (t.length / 2 - t.inset), share * (t.depth / 2 - t.inset)


def _panels(t: Table) -> list[Part]:
    """Two upright boards."""
    x, z = _panel(t)
    ends = [(-x, -x + t.leg), (x - t.leg, x)]
    return [box("base", end, (0.0, _under(t)), (-z, z), 0.006) for end in ends]


def _cross(t: Table) -> list[Part]:
    """An X of two bars at each end, or under the middle of a round top."""
    high, half = _under(t), 0.5 * t.leg
    if t.top == "round":
        r = 0.32 * t.length
        bars = []
        for index in range(3):
            angle = np.pi * index / 3 + 0.3
            x, z = r * np.cos(angle), r * np.sin(angle)
            bars.append(frustum("base", (x, 0.0, z), (-x * 0.8, high, -z * 0.8), half * 0.9, half, 10))
        return bars
    x, z = 0.36 * t.length, 0.38 * t.depth
    return [
        frustum("base", (sx * x, 0.0, sz * z), (sx * x + 0.25 * sz * half, high, -sz * z), half, half * 0.97)
        for sx in (-1, 1)
        for sz in (-1, 1)
    ]
