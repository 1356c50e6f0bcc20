"""Bookcases: cases, frames, stepped and ladder forms; shelves, columns, backs, doors, crowns, plinths, feet, books."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look, plain
from pipeline.furniture.parts import Part, Span, box, frustum, tube

BOOK_COLOURS = ((142, 48, 44), (44, 74, 110), (58, 96, 66), (206, 182, 130), (58, 54, 58), (188, 116, 50))


@dataclass(frozen=True)
class Bookcase:
    """Metres; the open side faces -z."""

    form: str  # case, frame, stepped, tapered
    back: bool
    doors: str  # none, low, tall
    base: str  # plinth, feet, flush
    crown: bool
    shelves: int  # compartments one above the other
    columns: int
    width: float
    height: float
    depth: float
    board: float
    foot: float
    crown_height: float
    overhang: float
    unevenness: float
    fill: float
    book_height: float
    book_seed: int


def draw_parameters(draw: Draw) -> Bookcase:
    """One bookcase."""
    form = draw.choose({"case": 6, "frame": 1.3, "stepped": 1.0, "tapered": 0.8})
    height = draw.between(1.2, 2.1) if form != "tapered" else draw.between(1.5, 2.0)
    width = draw.between(0.6, 1.35) if form != "tapered" else draw.between(0.6, 0.9)
    longest = max(height, width)
    shelves = max(2, round(height / draw.between(0.34, 0.48)))
    books = draw.chance(0.55)
    return Bookcase(
        form=form,
        back=draw.chance(0.75) and form in ("case", "stepped"),
        doors=draw.choose({"none": 4, "low": 1.6, "tall": 0.5}) if form == "case" else "none",
        base=draw.choose({"plinth": 3, "feet": 2, "flush": 2}),
        crown=draw.chance(0.4) and form == "case",
        shelves=min(shelves, 6),
        columns=1 if width < 0.8 or form == "tapered" else draw.whole(1, 3 if width > 1.05 else 2),
        width=width,
        height=height,
        depth=draw.between(0.3, 0.45),
        board=draw.stout(longest, 1.15, 1.8),
        foot=draw.between(0.05, 0.14),
        crown_height=draw.between(0.03, 0.08),
        overhang=draw.between(0.015, 0.05),
        unevenness=draw.between(0.0, 0.22),
        fill=draw.between(0.3, 0.85) if books else 0.0,
        book_height=draw.between(0.6, 0.85),
        book_seed=draw.whole(0, 2**31),
    )


def draw_looks(draw: Draw, case: Bookcase) -> dict[str, Look]:
    """Body, back, doors and book colours."""
    body = look(draw, draw.choose({"wood": 5, "paint": 2.5}), "body")
    metal = look(draw, "metal", "metal")
    books = {f"book{index}": plain(colour, f"book{index}") for index, colour in enumerate(BOOK_COLOURS)}
    return {
        "body": body,
        "post": metal if case.form == "frame" and draw.chance(0.6) else body,
        "back": look(draw, draw.choose({"paint": 1, "wood": 1}), "back") if draw.chance(0.4) else body,
        "door": look(draw, draw.choose({"paint": 1, "wood": 1}), "door") if draw.chance(0.3) else body,
        "metal": metal,
        **books,
    }


def build(case: Bookcase) -> list[Part]:
    """The parts of one bookcase."""
    parts = {"case": _case, "stepped": _stepped, "frame": _frame, "tapered": _tapered}[case.form](case)
    if case.fill > 0:
        parts += _books(case)
    return parts


def _bottom(c: Bookcase) -> float:
    return c.foot if c.base != "flush" else 0.0


def _levels(c: Bookcase) -> list[float]:
    """Heights of the boards' lower sides, bottom to top; compartments differ a little."""
    rng = np.random.Generator(np.random.Philox(key=[c.book_seed, 1]))
    share = 1 + c.unevenness * rng.uniform(-1, 1, c.shelves)
    if c.doors == "low":
        share[0] *= 1.35
    steps = np.concatenate([[0], np.cumsum(share / share.sum())])
    return [float(level) for level in _bottom(c) + steps * (c.height - _bottom(c) - c.board)]


def _column_edges(c: Bookcase) -> list[float]:
    """Centres of the uprights, left to right."""
    half = c.width / 2 - c.board / 2
    return [float(x) for x in np.linspace(-half, half, c.columns + 1)]


def _tops(c: Bookcase) -> list[int]:
    """How many compartments each column has; a stepped case loses one a column to the right."""
    if c.form != "stepped" or c.columns == 1:
        return [c.shelves] * c.columns
    return [max(1, c.shelves - index * max(1, c.shelves // (c.columns + 1))) for index in range(c.columns)]


def _case(c: Bookcase) -> list[Part]:
    levels, edges, half = _levels(c), _column_edges(c), c.board / 2
    z = (-c.depth / 2, c.depth / 2)
    parts = [box("body", (x - half, x + half), (_bottom(c), c.height - 0.004), z) for x in (edges[0], edges[-1])]
    parts += [
        box("body", (x - half, x + half), (levels[0] + 0.01, c.height - 0.01), (z[0] + 0.012, z[1] - 0.014))
        for x in edges[1:-1]
    ]
    for index, level in enumerate(levels):
        outer = index in (0, len(levels) - 1)
        front = z[0] - 0.004 if outer else z[0] + 0.006
        across = (edges[0] - 0.9 * half, edges[-1] + 0.9 * half)
        parts.append(box("body", across, (level, level + c.board), (front, z[1] - 0.01)))
    if c.back:
        upright = (levels[0] + 0.008, c.height - 0.02)
        parts.append(box("back", (edges[0], edges[-1]), upright, (z[1] - 0.7 * c.board - 0.006, z[1] - 0.004)))
    if c.crown:
        out = c.width / 2 + c.overhang
        parts.append(
            box(
                "body",
                (-out, out),
                (c.height - 0.012, c.height + c.crown_height),
                (z[0] - c.overhang, z[1] + 0.004),
                0.012,
            )
        )
    return parts + _base(c, c.width / 2) + _doors(c, levels, edges)


def _base(c: Bookcase, half: float) -> list[Part]:
    z = (-c.depth / 2 + 0.03, c.depth / 2 - 0.02)
    if c.base == "plinth":
        return [box("body", (-half + 0.02, half - 0.02), (0.0, c.foot + 0.012), z)]
    if c.base == "feet":
        r, x = 0.5 * c.board + 0.008, half - 0.05
        return [
            frustum("post", (sx * x, 0.0, end), (sx * x, c.foot + 0.012, end), 0.75 * r, r, 10)
            for sx in (-1, 1)
            for end in (z[0] + 0.02, z[1] - 0.02)
        ]
    return []


def _doors(c: Bookcase, levels: list[float], edges: list[float]) -> list[Part]:
    """A door in front of every column, over the lowest or over most compartments."""
    if c.doors == "none":
        return []
    top = levels[1] if c.doors == "low" else levels[max(1, c.shelves - 1)]
    front = -c.depth / 2
    parts = []
    for left, right in zip(edges, edges[1:]):
        pairs = [(left, (left + right) / 2), ((left + right) / 2, right)] if right - left > 0.5 else [(left, right)]
        for index, (x0, x1) in enumerate(pairs):
            parts.append(
                box(
                    "door",
                    (x0 + 0.006, x1 - 0.006),
                    (levels[0] + 0.01, top + 0.6 * c.board),
                    (front - 0.018, front + 0.016),
                    0.004,
                )
            )
            knob = x1 - 0.05 if index == 0 and len(pairs) == 2 else x0 + 0.05
            middle = (levels[0] + top) / 2 + 0.03
            parts.append(
                box(
                    "metal", (knob - 0.011, knob + 0.011), (middle - 0.06, middle + 0.06), (front - 0.045, front - 0.01)
                )
            )
    return parts


def _stepped(c: Bookcase) -> list[Part]:
    """Columns of falling height."""
    levels, edges, tops, half = _levels(c), _column_edges(c), _tops(c), c.board / 2
    z = (-c.depth / 2, c.depth / 2)
    parts = []
    for index, x in enumerate(edges):
        tall = max(tops[max(index - 1, 0)], tops[min(index, c.columns - 1)])
        parts.append(box("body", (x - half, x + half), (_bottom(c), levels[tall] + c.board - 0.004), z))
    for index, count in enumerate(tops):
        span = (edges[index] - 0.3 * half, edges[index + 1] + 0.3 * half)
        parts += [
            box("body", span, (level, level + c.board), (z[0] + 0.006 + 0.002 * index, z[1] - 0.014))
            for level in levels[: count + 1]
        ]
        if c.back:
            upright = (levels[0] + 0.01, levels[count] + 0.01)
            parts.append(box("back", span, upright, (z[1] - 0.7 * c.board - 0.006, z[1] - 0.004 - 0.002 * index)))
    return parts + _base(c, c.width / 2)


def _frame(c: Bookcase) -> list[Part]:
    """Shelves between four slender posts, open on all sides."""
    r = 0.5 * max(c.board, 0.035)
    x, z = c.width / 2 - r, c.depth / 2 - r
    parts = [
        frustum("post", (sx * x, 0.0, sz * z), (sx * x, c.height + 0.02, sz * z), r, r * 0.98)
        for sx in (-1, 1)
        for sz in (-1, 1)
    ]
    parts += [box("body", (-x, x), (level, level + c.board), (-z - 0.4 * r, z + 0.4 * r)) for level in _levels(c)]
    levels = _levels(c)
    return parts + [
        tube("post", [(sx * x, levels[0], -z), (sx * x, levels[-1], z)], 0.35 * r, 8)
        for sx in (-1, 1)
        if c.columns == 1
    ]


def _depth_at(c: Bookcase, level: float) -> float:
    """A tapered case is shallower towards its top."""
    return c.depth * (1.25 - 0.7 * level / c.height) if c.form == "tapered" else c.depth


def _tapered(c: Bookcase) -> list[Part]:
    """A ladder case: two leaning side frames, shelves that get shallower upwards."""
    rear, half = c.depth / 2, 0.5 * max(c.board, 0.04)
    x = c.width / 2 - half
    low, high = rear - _depth_at(c, 0.0), rear - _depth_at(c, c.height)
    parts = []
    for sx in (-1, 1):
        parts.append(frustum("post", (sx * x, 0.0, rear - half), (sx * x, c.height, rear - half), half, half * 0.98))
        parts.append(
            frustum("post", (sx * x, 0.0, low + half), (sx * x, c.height - 0.03, high + half), half, half * 0.98)
        )
    for level in _levels(c):
        front = rear - _depth_at(c, level)
        parts.append(box("body", (-x, x), (level, level + c.board), (front + 0.004, rear - 0.006)))
    return parts


def _books(c: Bookcase) -> list[Part]:
    """Rows of books from the left of each compartment; some lie flat, some compartments stay empty."""
    rng = np.random.Generator(np.random.Philox(key=[c.book_seed, 0]))
    levels, edges, half = _levels(c), _column_edges(c), c.board / 2
    hidden = {"none": 0, "low": 1, "tall": c.shelves - 1}[c.doors]
    parts: list[Part] = []
    for column, count in enumerate(_tops(c)):
        for row in range(hidden, count):
            if rng.random() > c.fill + 0.15:
                continue
            x = (edges[column] + half + 0.006, edges[column + 1] - half - 0.006)
            room = levels[row + 1] - levels[row] - c.board
            rear = c.depth / 2 - (0.7 * c.board + 0.02 if c.back else 0.03)
            depth = min(0.24, 0.78 * _depth_at(c, levels[row + 1]))
            parts += _row(c, rng, x, levels[row] + c.board - 0.003, room, (rear - depth, rear))
    return parts


def _row(c: Bookcase, rng: np.random.Generator, x: Span, floor: float, room: float, z: Span) -> list[Part]:
    """Upright books; neighbours differ in height, depth and colour."""
    parts, at = [], x[0]
    end = x[0] + (x[1] - x[0]) * c.fill * rng.uniform(0.7, 1.15)
    while at < min(end, x[1]) - 0.05:
        thick = rng.uniform(0.035, 0.08)
        tall = room * c.book_height * rng.uniform(0.78, 1.08)
        deep = rng.uniform(0.0, 0.03)
        slot = f"book{rng.integers(len(BOOK_COLOURS))}"
        if at + thick > x[1]:
            break
        parts.append(
            box(slot, (at, at + thick - 0.003), (floor, floor + min(tall, 0.93 * room)), (z[0] + deep, z[1] - 0.006))
        )
        at += thick
    return parts
