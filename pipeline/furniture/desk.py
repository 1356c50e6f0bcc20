"""Desks: drawers left, right or on both sides, legs, panels or frames, modesty panel, hutch, monitor shelf, L-shape."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look
from pipeline.furniture.parts import Part, Span, box, extrude, frustum, rectangle, tube


@dataclass(frozen=True)
class Desk:
    """Metres; whoever works at the desk sits at -z; left is -x, right is +x."""

    drawers: str  # none, left, right, both
    side: str  # legs, panel, frame: what carries a side without drawers
    upper: str  # none, hutch, shelf
    modesty: bool
    wing: str  # none, left, right: the short leg of an L, towards -z
    slim_drawer: bool
    length: float
    depth: float
    height: float
    thickness: float
    leg: float
    pedestal: float
    drawer_count: int
    modesty_height: float
    upper_height: float
    upper_depth: float
    wing_reach: float
    overhang: float


def draw_parameters(draw: Draw) -> Desk:
    """One desk."""
    length = draw.between(1.15, 1.6)
    drawers = draw.choose({"none": 1.5, "left": 2, "right": 2, "both": 2.5})
    return Desk(
        drawers=drawers,
        side=draw.choose({"legs": 2, "panel": 2.5, "frame": 1}),
        upper=draw.choose({"none": 6, "hutch": 1.6, "shelf": 1}),
        modesty=draw.chance(0.5 if drawers != "none" else 0.85),  # else it would be a table
        wing=draw.choose({"none": 9, "left": 0.45, "right": 0.45}),
        slim_drawer=draw.chance(0.35),
        length=length,
        depth=draw.between(0.55, 0.78),
        height=draw.between(0.71, 0.79),
        thickness=draw.stout(length, 1.3, 2.1),
        leg=draw.stout(length, 1.35, 2.0),
        pedestal=draw.between(0.3, 0.46),
        drawer_count=draw.whole(2, 4),
        modesty_height=draw.between(0.25, 0.6),
        upper_height=draw.between(0.3, 0.6),
        upper_depth=draw.between(0.2, 0.32),
        wing_reach=draw.between(0.35, 0.65),
        overhang=draw.between(0.008, 0.05),
    )


def draw_looks(draw: Draw, desk: Desk) -> dict[str, Look]:
    """Top, body, drawer fronts, legs and handles."""
    body = look(draw, draw.choose({"wood": 5, "paint": 2}), "body")
    metal = look(draw, "metal", "metal")
    return {
        "top": look(draw, draw.choose({"wood": 4, "paint": 1}), "top") if draw.chance(0.4) else body,
        "body": body,
        "front": look(draw, draw.choose({"wood": 2, "paint": 2}), "front") if draw.chance(0.35) else body,
        "leg": metal if desk.side == "frame" or draw.chance(0.3) else body,
        "handle": metal,
    }


def build(desk: Desk) -> list[Part]:
    """The parts of one desk."""
    x, z = (-desk.length / 2, desk.length / 2), (-desk.depth / 2, desk.depth / 2)
    parts = [extrude("top", rectangle(x, z, 0.02, 1), "y", (desk.height - desk.thickness, desk.height), 0.006)]
    for side in ("left", "right"):
        support = _chest(desk) if desk.drawers in (side, "both") else _support(desk)
        parts += support if side == "right" else [part.mirrored() for part in support]
    if desk.modesty:
        low = desk.height - desk.thickness - desk.modesty_height
        rear = z[1] - desk.overhang - 0.03
        parts.append(
            box(
                "body",
                (x[0] + 0.05, x[1] - 0.05),
                (low, desk.height - 0.5 * desk.thickness),
                (rear - 0.6 * desk.leg, rear),
            )
        )
    if desk.slim_drawer:
        parts += _slim(desk)
    if desk.wing != "none":
        wing = _wing(desk)
        parts += wing if desk.wing == "right" else [part.mirrored() for part in wing]
    return parts + _upper(desk)


def _under(d: Desk) -> float:
    return d.height - 0.5 * d.thickness


def _chest(d: Desk) -> list[Part]:
    """A pedestal of drawers on the +x side; the fronts face the sitter."""
    x = (d.length / 2 - d.overhang - d.pedestal, d.length / 2 - d.overhang)
    z = (-d.depth / 2 + d.overhang + 0.03, d.depth / 2 - d.overhang)
    parts = [
        box("body", x, (0.04, _under(d)), z),
        box("leg", (x[0] + 0.03, x[1] - 0.03), (0.0, 0.06), (z[0] + 0.04, z[1] - 0.03)),
    ]
    top, low = d.height - d.thickness - 0.015, 0.065
    pitch = (top - low) / d.drawer_count
    return parts + [
        part
        for index in range(d.drawer_count)
        for part in _drawer(
            (x[0] + 0.012, x[1] - 0.012), (low + pitch * index + 0.007, low + pitch * (index + 1) - 0.007), z[0]
        )
    ]


def _drawer(x: Span, y: Span, face: float) -> list[Part]:
    middle, height = (x[0] + x[1]) / 2, (y[0] + y[1]) / 2
    grip = min(0.07, 0.3 * (x[1] - x[0]))
    return [
        box("front", x, y, (face - 0.02, face + 0.01), 0.004),
        box("handle", (middle - grip, middle + grip), (height - 0.011, height + 0.011), (face - 0.045, face - 0.012)),
    ]


def _support(d: Desk) -> list[Part]:
    """What carries the +x side without drawers."""
    x, z, half = d.length / 2 - d.overhang, d.depth / 2 - d.overhang, 0.5 * d.leg
    if d.side == "panel":
        return [box("body", (x - d.leg, x), (0.0, _under(d)), (-z, z), 0.005)]
    if d.side == "frame":
        r, at = 0.8 * half, x - half
        path = [(at, _under(d), -z + r), (at, r, -z + r), (at, r, z - r), (at, _under(d), z - r)]
        return [tube("leg", path, r, 4 if d.leg > 0.06 else 10)]
    return [
        frustum("leg", (x - half, 0.0, sz * (z - half)), (x - half, _under(d), sz * (z - half)), half * 0.8, half)
        for sz in (-1, 1)
    ]


def _slim(d: Desk) -> list[Part]:
    """A flat drawer under the middle of the top."""
    half = 0.24 if d.drawers == "both" else 0.3
    half = min(half, d.length / 2 - d.pedestal - 0.08)
    top = d.height - d.thickness
    face = -d.depth / 2 + d.overhang + 0.045
    body = box("body", (-half, half), (top - 0.1, _under(d) - 0.004), (face, d.depth / 2 - 0.12))
    return [body, *_drawer((-half + 0.006, half - 0.006), (top - 0.092, top - 0.012), face)]


def _wing(d: Desk) -> list[Part]:
    """The short leg of an L on the +x side, carried at its end."""
    x = (d.length / 2 - 0.46, d.length / 2 - 0.003)
    front = -d.depth / 2
    z = (front - d.wing_reach, front + 0.06)
    end = box("body", (x[0] + 0.03, x[1] - 0.02), (0.0, _under(d) - 0.006), (z[0] + 0.02, z[0] + 0.02 + d.leg))
    return [box("top", x, (d.height - d.thickness + 0.002, d.height - 0.002), z, 0.006), end]


def _upper(d: Desk) -> list[Part]:
    """Shelves above the rear of the top."""
    if d.upper == "none":
        return []
    board = 0.8 * d.thickness
    x, rear = d.length / 2 - 0.02, d.depth / 2 - 0.008
    z, low = (rear - d.upper_depth, rear), d.height - 0.012
    high = d.height + (d.upper_height if d.upper == "hutch" else 0.16)
    parts = [
        box("body", (sx * x - (board if sx > 0 else 0), sx * x + (0 if sx > 0 else board)), (low, high), z)
        for sx in (-1, 1)
    ]
    parts.append(
        box("top", (-x - 0.01, x + 0.01), (high - 0.01, high - 0.01 + board), (z[0] - 0.01, z[1] + 0.004), 0.004)
    )
    if d.upper == "hutch":
        middle = d.height + 0.52 * d.upper_height
        parts.append(box("body", (-x + 0.01, x - 0.01), (middle, middle + board), (z[0] + 0.012, z[1] - 0.006)))
        parts.append(box("body", (-x + 0.006, x - 0.006), (low, high), (rear - 0.045, rear - 0.012)))
        parts.append(box("body", (-0.5 * board, 0.5 * board), (low, high), (z[0] + 0.008, z[1] - 0.02)))
    return parts
