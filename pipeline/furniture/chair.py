"""Chairs: four legs, pedestal, sled or cantilever; solid, slatted, ladder, round or shell backs; arm rests or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look
from pipeline.furniture.parts import (
    Part,
    arch,
    bowed,
    box,
    cushion,
    ellipse,
    extrude,
    frustum,
    lathe,
    rectangle,
    tube,
)


@dataclass(frozen=True)
class Chair:
    """Metres and degrees; the seat is centred, the sitter looks to -z."""

    base: str  # legs, round_legs, star, disc, sled, cantilever
    back: str  # solid, slats, ladder, round, shell, padded
    arms: str  # none, open, closed, loop
    stretcher: str  # none, sides, ring
    padded_seat: bool
    width: float
    depth: float
    seat_height: float
    seat_thickness: float
    back_height: float
    back_thickness: float
    recline_deg: float
    sag: float
    leg: float
    taper: float
    splay: float
    arm_height: float
    arm_width: float
    slats: int
    spokes: int


def draw_parameters(draw: Draw) -> Chair:
    """One chair; pedestals and shells go together more often than with wooden slats."""
    base = draw.choose({"legs": 4, "round_legs": 2.5, "star": 1.3, "disc": 0.7, "sled": 1, "cantilever": 0.8})
    wooden = base in ("legs", "round_legs")
    back = draw.choose(
        {"solid": 2, "slats": 2.2, "ladder": 1.8, "round": 1.2, "shell": 1.2, "padded": 1.2}
        if wooden
        else {"solid": 1.5, "ladder": 0.3, "round": 0.5, "shell": 2.5, "padded": 2.5}
    )
    arms = draw.choose({"none": 5.5, "open": 2.5, "closed": 0.8, "loop": 1.2})
    seat_height, back_height = draw.between(0.42, 0.5), draw.between(0.38, 0.56)
    longest = seat_height + back_height
    return Chair(
        base=base,
        back=back,
        arms=arms,
        stretcher=draw.choose({"none": 3, "sides": 1.3, "ring": 1}) if wooden else "none",
        padded_seat=draw.chance(0.35),
        width=draw.between(0.43, 0.57),
        depth=draw.between(0.42, 0.53),
        seat_height=seat_height,
        seat_thickness=draw.stout(longest, 1.7, 2.9),
        back_height=back_height,
        back_thickness=draw.stout(longest, 1.4, 2.5),
        recline_deg=draw.between(2, 13),
        sag=draw.between(0.01, 0.08),
        leg=draw.stout(longest, 1.35, 2.1),
        taper=draw.between(0.65, 1.0),
        splay=draw.between(0.01, 0.07) if draw.chance(0.5) else 0.0,
        arm_height=draw.between(0.17, 0.27),
        arm_width=draw.stout(longest, 1.4, 2.3),
        slats=draw.whole(2, 5),
        spokes=draw.whole(4, 5),
    )


def draw_looks(draw: Draw, chair: Chair) -> dict[str, Look]:
    """Frame, seat, back and metal parts."""
    frame = look(
        draw,
        draw.choose(
            {"wood": 5, "paint": 1.5, "metal": 1} if "legs" in chair.base else {"metal": 4, "paint": 1, "wood": 1}
        ),
        "frame",
    )
    soft = look(draw, draw.choose({"fabric": 4, "leather": 1.5}), "pad")
    hard = (
        look(draw, "plastic" if chair.back == "shell" and draw.chance(0.6) else "wood", "seat")
        if draw.chance(0.5)
        else frame
    )
    shell = soft if chair.back == "padded" or (chair.back == "solid" and draw.chance(0.4)) else hard
    return {"frame": frame, "seat": shell if chair.back == "shell" else hard, "back": shell, "pad": soft}


def build(chair: Chair) -> list[Part]:
    """The parts of one chair."""
    return [*_seat(chair), *_base(chair), *_back(chair), *_arms(chair)]


def _seat(c: Chair) -> list[Part]:
    x, z = (-c.width / 2, c.width / 2), (-c.depth / 2, c.depth / 2)
    low = c.seat_height - c.seat_thickness
    board = extrude("seat", rectangle(x, z, 0.035, 2), "y", (low, c.seat_height), 0.006)
    if not c.padded_seat:
        return [board]
    pad = cushion(
        "pad",
        (x[0] + 0.012, x[1] - 0.012),
        (c.seat_height - 0.02, c.seat_height + 0.035),
        (z[0] + 0.01, z[1] - 0.03),
        0.028,
        0.015,
    )
    return [board, pad]


def _base(c: Chair) -> list[Part]:
    if c.base in ("legs", "round_legs"):
        return _legs(c)
    if c.base in ("star", "disc"):
        return _pedestal(c)
    return _runners(c)


def _legs(c: Chair) -> list[Part]:
    sides = 4 if c.base == "legs" else 12
    half = c.leg / 2
    x, z = c.width / 2 - half - 0.012, c.depth / 2 - half - 0.012
    top = c.seat_height - c.seat_thickness * 0.5
    parts = []
    for sx, sz in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        foot = (sx * (x + c.splay * 0.8), 0.0, sz * (z + c.splay))
        parts.append(frustum("frame", foot, (sx * x, top, sz * z), half * c.taper, half, sides))
    # Stretchers follow the splayed legs at their height.
    if c.stretcher != "none":
        thin, height = 0.36 * c.leg, 0.3 * c.seat_height
        out = c.splay * (1 - height / top)
        sx_, sz_ = x + 0.8 * out, z + out
        sides_at = [((-sx_, height, -sz_), (-sx_, height, sz_)), ((sx_, height, -sz_), (sx_, height, sz_))]
        lift = height + 0.05
        sides_at += (
            [((-sx_, lift, -sz_), (sx_, lift, -sz_)), ((-sx_, lift, sz_), (sx_, lift, sz_))]
            if c.stretcher == "ring"
            else [((-sx_, height, 0.0), (sx_, height, 0.0))]
        )
        parts += [tube("frame", ends, thin, 8) for ends in sides_at]
    return parts


def _pedestal(c: Chair) -> list[Part]:
    top, reach = c.seat_height - c.seat_thickness * 0.5, 0.46 * max(c.width, c.depth)
    column = lathe(
        "frame", [(c.leg * 0.75, 0.03), (c.leg * 0.6, 0.12), (c.leg * 0.5, top - 0.04), (c.leg * 1.3, top)], sides=14
    )
    if c.base == "disc":
        plate = lathe("frame", [(reach, 0.0), (reach, 0.018), (reach * 0.5, 0.035), (c.leg * 0.9, 0.06)], sides=24)
        return [plate, column]
    spokes = []
    for index in range(c.spokes):
        angle = 2 * np.pi * index / c.spokes + np.pi / 4
        tip = (reach * np.cos(angle), 0.03, reach * np.sin(angle))
        spokes.append(tube("frame", [(0.0, 0.075 + 0.002 * index, 0.0), tip], 0.42 * c.leg, 8))
        spokes.append(
            lathe("frame", [(0.3 * c.leg, 0.0), (0.42 * c.leg, 0.02), (0.3 * c.leg, 0.05)], (tip[0], tip[2]), 8)
        )
    return [column, *spokes]


def _runners(c: Chair) -> list[Part]:
    r = 0.5 * c.leg
    x, z, top = c.width / 2 - r - 0.01, c.depth / 2 - r - 0.015, c.seat_height - c.seat_thickness * 0.6
    front, rear = -z, z
    if c.base == "sled":
        path = [
            (x, top, front),
            (x, r + 0.03, front),
            (x, r, front + 0.03),
            (x, r, rear - 0.03),
            (x, r + 0.03, rear),
            (x, top, rear),
        ]
    else:  # the cantilever rises at the front only and lies on the floor behind
        path = [
            (x, top, rear * 0.7),
            (x, top, front + 0.04),
            (x, top - 0.04, front),
            (x, r + 0.04, front),
            (x, r, front + 0.04),
            (x, r, rear),
        ]
    side = tube("frame", path, r)
    bar = tube("frame", [(-x, r * 1.02, rear - 0.05), (x, r * 1.02, rear - 0.05)], r * 0.9)
    return [side, side.mirrored(), bar]


def _back(c: Chair) -> list[Part]:
    """Built upright on the rear edge of the seat, then reclined as a whole."""
    rear, low, high = c.depth / 2 - 0.006, c.seat_height - 0.6 * c.seat_thickness, c.seat_height + c.back_height
    z, half = (rear - c.back_thickness, rear), c.width / 2 - 0.008
    post = 0.5 * max(c.leg * 0.85, 0.9 * c.back_thickness)
    posts_x, mid_z = half - post - 0.01, (z[0] + z[1]) / 2
    parts: list[Part] = []
    if c.back == "solid":
        parts.append(extrude("back", arch((-half, half), (low, high), 0.2 * c.sag * 5 * c.width), "z", z, 0.008))
    elif c.back == "shell":
        parts.append(bowed("back", (-half, half), (low, high), (z[0] - c.sag, z[1] - c.sag), c.sag))
    elif c.back == "padded":
        parts += [
            box("frame", (-x - 0.012, -x + 0.012), (low, c.seat_height + 0.2), (mid_z - 0.013, mid_z + 0.013))
            for x in (-0.3 * half, 0.3 * half)
        ]
        parts.append(
            cushion(
                "pad",
                (-half, half),
                (c.seat_height + 0.06, high),
                (z[0] - 0.02, z[1] + 0.01),
                0.4 * c.back_thickness + 0.012,
            )
        )
    elif c.back == "round":
        hoop = c.back_height * 0.72
        parts += [
            frustum("frame", (x, low, mid_z), (x, high - 0.4 * hoop, mid_z), post, post * 0.9, 10)
            for x in (-0.62 * half, 0.62 * half)
        ]
        parts.append(extrude("back", ellipse((-half, half), (high - hoop, high), 22), "z", z, 0.01))
    else:
        parts += [frustum("frame", (x, low, mid_z), (x, high, mid_z), post, post * 0.85) for x in (-posts_x, posts_x)]
        parts += _slats(c, posts_x, z, high) if c.back == "slats" else _rungs(c, posts_x, z, high)
    return [part.rotated("x", c.recline_deg, (0, c.seat_height, rear)) for part in parts]


def _slats(c: Chair, half: float, z: tuple[float, float], high: float) -> list[Part]:
    """A top rail, a lower rail and upright slats between them."""
    mid, thick = (z[0] + z[1]) / 2, 0.32 * c.back_thickness
    rail = 0.14 * c.back_height + 0.02
    parts = [
        box(
            "back",
            (-half - 0.01, half + 0.01),
            (high - rail, high + 0.012),
            (mid - thick, mid + thick),
            0.005,
        ),
        box(
            "back", (-half, half), (c.seat_height + 0.05, c.seat_height + 0.09), (mid - 0.9 * thick, mid + 0.9 * thick)
        ),
    ]
    pitch = 2 * half / (c.slats + 1)
    width = min(0.5 * pitch, 0.055)
    for index in range(c.slats):
        x = -half + pitch * (index + 1)
        parts.append(
            box(
                "back",
                (x - width / 2, x + width / 2),
                (c.seat_height + 0.06, high - 0.5 * rail),
                (mid - 0.75 * thick, mid + 0.75 * thick),
            )
        )
    return parts


def _rungs(c: Chair, half: float, z: tuple[float, float], high: float) -> list[Part]:
    """Cross boards between the posts, slightly bowed."""
    mid, thick, count = (z[0] + z[1]) / 2, 0.34 * c.back_thickness, min(c.slats, 4)
    pitch = (high - c.seat_height - 0.08) / count
    board = 0.55 * pitch
    parts = []
    for index in range(count):
        top = high + 0.008 - pitch * index
        parts.append(bowed("back", (-half, half), (top - board, top), (mid - thick, mid + thick), 0.3 * c.sag))
    return parts


def _arms(c: Chair) -> list[Part]:
    if c.arms == "none":
        return []
    top, half = c.seat_height + c.arm_height, 0.5 * c.arm_width
    x, front = c.width / 2 - half + 0.014, -c.depth / 2 + 0.03
    behind = c.depth / 2 + np.tan(np.radians(c.recline_deg)) * c.arm_height - 0.4 * c.back_thickness
    low = c.seat_height - 0.55 * c.seat_thickness
    if c.arms == "loop":
        r = 0.42 * c.leg
        path = [
            (x, low, front + 0.05),
            (x, top - 0.04, front + 0.02),
            (x, top, front + 0.06),
            (x, top, behind - 0.06),
            (x, top - 0.04, behind - 0.02),
            (x, low, c.depth / 2 - 0.05),
        ]
        side = [tube("frame", path, r)]
    elif c.arms == "closed":
        side = [box("back", (x - half, x + half), (low, top), (front, behind), 0.008)]
    else:
        side = [
            box("frame", (x - half, x + half), (top - 0.8 * c.arm_width, top), (front - 0.01, behind), 0.006),
            frustum(
                "frame", (x, low, front + 0.05), (x, top - 0.3 * c.arm_width, front + 0.04), 0.42 * c.leg, 0.4 * c.leg
            ),
        ]
        if c.back in ("round", "padded"):
            side.append(
                frustum(
                    "frame",
                    (x, low, c.depth / 2 - 0.05),
                    (x, top - 0.3 * c.arm_width, behind - 0.04),
                    0.42 * c.leg,
                    0.4 * c.leg,
                )
            )
    return side + [part.mirrored() for part in side]
