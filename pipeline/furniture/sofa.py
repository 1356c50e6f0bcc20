"""Sofas: one to three seats, corner and chaise forms; box, sloped or rolled arms or none; legs, plinth or runners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look
from pipeline.furniture.parts import Part, box, cushion, extrude, frustum, tube


@dataclass(frozen=True)
class Sofa:
    """Metres and degrees; the back is at +z, the sitters look to -z."""

    form: str  # straight, chaise_left (-x), chaise_right (+x), corner_left, corner_right
    arms: str  # box, sloped, rolled, none
    back: str  # cushions, solid, low
    feet: str  # tapered, block, plinth, runners
    seats: int
    pillows: int
    seat_width: float
    seat_depth: float
    seat_height: float
    cushion_height: float
    back_height: float
    back_thickness: float
    arm_width: float
    arm_height: float
    recline_deg: float
    foot_height: float
    foot: float
    reach: float


def draw_parameters(draw: Draw) -> Sofa:
    """One sofa."""
    form = draw.choose(
        {"straight": 6, "chaise_left": 0.7, "chaise_right": 0.7, "corner_left": 0.5, "corner_right": 0.5}
    )
    seats = int(draw.choose({"1": 1, "2": 2, "3": 2})) if form == "straight" else draw.whole(2, 3)
    seat_width = draw.between(0.55, 0.78)
    longest = seats * seat_width + 0.3
    return Sofa(
        form=form,
        arms=draw.choose({"box": 4, "sloped": 2, "rolled": 2, "none": 1.2 if form == "straight" else 0.4}),
        back=draw.choose({"cushions": 4, "solid": 2, "low": 1.2}),
        feet=draw.choose({"tapered": 3, "block": 2, "plinth": 2, "runners": 1}),
        seats=seats,
        pillows=draw.whole(0, 3) if draw.chance(0.6) else 0,
        seat_width=seat_width,
        seat_depth=draw.between(0.55, 0.74),
        seat_height=draw.between(0.36, 0.48),
        cushion_height=draw.between(0.11, 0.19),
        back_height=draw.between(0.28, 0.52),
        back_thickness=draw.between(0.14, 0.27),
        arm_width=draw.between(0.1, 0.26),
        arm_height=draw.between(0.12, 0.28),
        recline_deg=draw.between(2, 14),
        foot_height=draw.between(0.06, 0.19),
        foot=draw.stout(longest, 1.1, 1.7),
        reach=draw.between(0.5, 0.85),
    )


def draw_looks(draw: Draw, sofa: Sofa) -> dict[str, Look]:
    """Body, cushions, pillows and feet."""
    body = look(draw, draw.choose({"fabric": 4, "leather": 1.6}), "body")
    seat = look(draw, "fabric", "cushion") if draw.chance(0.25) else body
    return {
        "body": body,
        "cushion": seat,
        "pillow": look(draw, "fabric", "pillow"),
        "foot": look(draw, draw.choose({"wood": 2, "metal": 1}), "foot"),
    }


def build(sofa: Sofa) -> list[Part]:
    """The parts of one sofa; left forms are drawn as right ones and mirrored."""
    parts = [*_body(sofa), *_seats(sofa), *_backrest(sofa), *_arms(sofa), *_feet(sofa), *_pillows(sofa)]
    if sofa.form.endswith(("_left", "_right")):
        parts += _extension(sofa)
    return [part.mirrored() for part in parts] if sofa.form.endswith("_left") else parts


def _half(s: Sofa) -> float:
    return s.seats * s.seat_width / 2


def _depth(s: Sofa) -> tuple[float, float]:
    total = s.seat_depth + s.back_thickness
    return -total / 2, total / 2


def _back_rise(s: Sofa) -> float:
    """How far the back stands above the seat."""
    return s.back_height * (0.6 if s.back == "low" else 1.0)


def _body(s: Sofa) -> list[Part]:
    front, rear = _depth(s)
    low = s.foot_height if s.feet != "plinth" else 0.03
    return [
        box(
            "body",
            (-_half(s) - 0.01, _half(s) + 0.01),
            (low, s.seat_height - s.cushion_height + 0.02),
            (front + 0.015, rear - 0.015),
            0.015,
        )
    ]


def _seats(s: Sofa) -> list[Part]:
    front, rear = _depth(s)
    parts = []
    for index in range(s.seats):
        left = -_half(s) + index * s.seat_width
        last = index == s.seats - 1
        # The cushion of a chaise runs on to its end.
        start = front - s.reach if last and s.form.startswith("chaise") else front
        parts.append(
            cushion(
                "cushion",
                (left + 0.005, left + s.seat_width - 0.005),
                (s.seat_height - s.cushion_height, s.seat_height),
                (start, rear - s.back_thickness + 0.03),
                0.045,
                0.02,
            )
        )
    return parts


def _backrest(s: Sofa) -> list[Part]:
    _, rear = _depth(s)
    high = s.seat_height + _back_rise(s)
    half, thick = _half(s), s.back_thickness
    low = s.seat_height - s.cushion_height - 0.04
    if s.back != "cushions":
        back = cushion("body", (-half - 0.006, half + 0.006), (low, high), (rear - thick, rear), 0.06)
        return [back.rotated("x", s.recline_deg * 0.5, (0, low, rear))]
    board = box("body", (-half - 0.006, half + 0.006), (low, high - 0.06), (rear - 0.45 * thick, rear), 0.02)
    parts = [board]
    for index in range(s.seats):
        left = -half + index * s.seat_width
        pad = cushion(
            "cushion",
            (left + 0.008, left + s.seat_width - 0.008),
            (s.seat_height - 0.02, high),
            (rear - thick - 0.05, rear - 0.35 * thick),
            0.06,
        )
        parts.append(pad.rotated("x", s.recline_deg, (0, s.seat_height, rear - 0.4 * thick)))
    return parts


def _arms(s: Sofa) -> list[Part]:
    if s.arms == "none":
        return []
    front, rear = _depth(s)
    x = (_half(s) - 0.008, _half(s) + s.arm_width)
    low = s.foot_height + 0.01 if s.feet != "plinth" else 0.02
    top = s.seat_height + min(s.arm_height, 0.85 * _back_rise(s))
    if s.arms == "box":
        side = [cushion("body", x, (low, top), (front - 0.01, rear - 0.006), 0.03)]
    elif s.arms == "sloped":
        outline = np.array(
            [
                [front - 0.012, low],
                [rear - 0.006, low],
                [rear - 0.006, top + 0.1],
                [rear - 0.35, top + 0.06],
                [front - 0.012, top - 0.05],
            ]
        )
        side = [extrude("body", outline, "x", x, 0.02)]
    else:
        roll = max(0.5 * s.arm_width, 0.07)
        middle = x[0] + roll + 0.01
        side = [
            box(
                "body",
                (x[0], x[0] + max(0.75 * s.arm_width, 0.08)),
                (low, top - 0.5 * roll),
                (front + 0.004, rear - 0.008),
                0.015,
            ),
            tube("body", [(middle, top - roll, front - 0.012), (middle, top - roll, rear - 0.02)], roll, 16),
        ]
    return side + [part.mirrored() for part in side]


def _feet(s: Sofa) -> list[Part]:
    front, rear = _depth(s)
    x = _half(s) + (0.4 * s.arm_width if s.arms != "none" else -0.06)
    ends = (front + 0.09, rear - 0.09)
    if s.feet == "plinth":
        return [box("foot", (-x, x), (0.0, 0.05), (ends[0] - 0.04, ends[1] + 0.04))]
    if s.feet == "runners":
        r = 0.4 * s.foot
        return [
            tube(
                "foot",
                [
                    (sx * x, s.foot_height + 0.03, ends[0]),
                    (sx * x, r, ends[0]),
                    (sx * x, r, ends[1]),
                    (sx * x, s.foot_height + 0.03, ends[1]),
                ],
                r,
                8,
            )
            for sx in (-0.9, 0.9)
        ]
    half, low = 0.5 * s.foot, 0.5 if s.feet == "tapered" else 0.97
    sides = 10 if s.feet == "tapered" else 4
    return [
        frustum("foot", (sx * x, 0.0, z), (sx * x, s.foot_height + 0.03, z), half * low, half, sides)
        for sx in (-1, 1)
        for z in ends
    ]


def _extension(s: Sofa) -> list[Part]:
    """The long leg of an L on the +x side: a chaise, or a corner with a back of its own along +x."""
    front, _ = _depth(s)
    right = _half(s)
    x = (right - s.seat_width + 0.004, right - 0.004)
    end, join = front - s.reach, front + 0.1
    low = s.foot_height if s.feet != "plinth" else 0.02
    top = s.seat_height - s.cushion_height + 0.015
    parts = [box("body", x, (low, top), (end + 0.02, join), 0.015)]
    if s.form.startswith("corner"):
        parts.append(
            cushion(
                "cushion",
                (x[0], x[1] + 0.01),
                (s.seat_height - s.cushion_height, s.seat_height - 0.004),
                (end, front + 0.02),
                0.045,
                0.02,
            )
        )
        high = s.seat_height + 0.96 * _back_rise(s)
        parts.append(
            cushion(
                "body",
                (right - 0.02, right + max(s.arm_width, 0.14) + 0.01),
                (low + 0.006, high),
                (end - 0.01, front + 0.3),
                0.05,
            )
        )
    half = 0.5 * s.foot
    if s.feet != "plinth":
        parts += [
            frustum("foot", (fx, 0.0, end + 0.1), (fx, s.foot_height + 0.03, end + 0.1), half * 0.7, half, 8)
            for fx in (x[0] + 0.08, x[1] - 0.08)
        ]
    else:
        parts.append(box("foot", (x[0] + 0.03, x[1] - 0.03), (0.0, 0.04), (end + 0.07, join)))
    return parts


def _pillows(s: Sofa) -> list[Part]:
    """Loose pillows that lean against the back."""
    _, rear = _depth(s)
    parts = []
    for index in range(min(s.pillows, s.seats)):
        side = 0.36 - 0.03 * index
        x = (-1, 1, 0)[index] * (_half(s) - 0.26)
        z = rear - s.back_thickness - 0.05
        pillow = cushion(
            "pillow",
            (x - side / 2, x + side / 2),
            (s.seat_height - 0.01, s.seat_height + side),
            (z - 0.1, z + 0.02),
            0.055,
        )
        parts.append(pillow.rotated("x", 18, (x, s.seat_height, z)))
    return parts
