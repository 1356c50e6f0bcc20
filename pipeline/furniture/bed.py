"""Beds: single, double, bunk, canopy, day bed; headboards of five kinds, foot boards, drawers, blankets, pillows."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look, look
from pipeline.furniture.parts import Part, Span, arch, box, cushion, extrude, frustum, tube


@dataclass(frozen=True)
class Bed:
    """Metres; the head is at +z, the feet point to -z."""

    form: str  # single, double, canopy, bunk_left, bunk_right, daybed_left, daybed_right (ladder or board at -x, +x)
    head: str  # solid, slats, arch, padded, none
    foot: str  # none, low, slats
    under: str  # open, drawers, box
    blanket: str  # none, half, full
    legs: str  # square, round
    width: float
    length: float
    base_height: float
    rail: float
    mattress: float
    head_height: float
    head_thickness: float
    foot_height: float
    post: float
    tall: float
    pillow_depth: float
    fold: float


def draw_parameters(draw: Draw) -> Bed:
    """One bed."""
    form = draw.choose(
        {
            "double": 4,
            "single": 3,
            "canopy": 1,
            "bunk_left": 0.5,
            "bunk_right": 0.5,
            "daybed_left": 0.5,
            "daybed_right": 0.5,
        }
    )
    width = draw.between(1.35, 1.9) if form in ("double", "canopy") else draw.between(0.85, 1.2)
    return Bed(
        form=form,
        head=draw.choose({"solid": 3, "slats": 2, "arch": 2, "padded": 2, "none": 0.8 if form != "canopy" else 0.01}),
        foot=draw.choose({"none": 4, "low": 2.5, "slats": 1.5}),
        under=draw.choose({"open": 3, "drawers": 1.3, "box": 1.5}) if not form.startswith("bunk") else "open",
        blanket=draw.choose({"none": 1.2, "half": 2, "full": 2}),
        legs=draw.choose({"square": 3, "round": 1.5}),
        width=width,
        length=draw.between(1.88, 2.15),
        base_height=draw.between(0.2, 0.38),
        rail=draw.between(0.08, 0.19),
        mattress=draw.between(0.15, 0.28),
        head_height=draw.between(0.3, 0.75),
        head_thickness=draw.stout(2.1, 1.1, 1.9),
        foot_height=draw.between(0.1, 0.35),
        post=draw.stout(2.1, 1.15, 1.8),
        tall=draw.between(1.5, 1.95),
        pillow_depth=draw.between(0.3, 0.45),
        fold=draw.between(0.35, 0.7),
    )


def draw_looks(draw: Draw, bed: Bed) -> dict[str, Look]:
    """Frame, mattress, blanket, pillows and the headboard's upholstery."""
    frame = look(draw, draw.choose({"wood": 5, "paint": 2, "metal": 0.7}), "frame")
    return {
        "frame": frame,
        "head": look(draw, draw.choose({"fabric": 3, "leather": 1}), "head") if bed.head == "padded" else frame,
        "front": look(draw, "paint", "front") if draw.chance(0.3) else frame,
        "mattress": look(draw, "linen", "mattress"),
        "blanket": look(draw, draw.choose({"fabric": 3, "linen": 1}), "blanket"),
        "pillow": look(draw, "linen", "pillow"),
    }


def build(bed: Bed) -> list[Part]:
    """The parts of one bed; left forms are drawn as right ones and mirrored."""
    parts = _bunk(bed) if bed.form.startswith("bunk") else _single(bed)
    return [part.mirrored() for part in parts] if bed.form.endswith("_left") else parts


def _single(bed: Bed) -> list[Part]:
    z = _ends(bed)
    parts = [*_frame(bed), *_bedding(bed, bed.base_height + bed.rail), *_head(bed, z[1]), *_foot(bed, z[0])]
    if bed.form == "canopy":
        parts += _canopy(bed)
    if bed.form.startswith("daybed"):
        parts += _side_back(bed)
    return parts


def _ends(b: Bed) -> Span:
    return -b.length / 2, b.length / 2


def _frame(b: Bed) -> list[Part]:
    half, (foot, head) = b.width / 2, _ends(b)
    top = b.base_height + b.rail
    if b.under == "box":
        return [
            box("front", (-half + 0.02, half - 0.02), (0.05, top), (foot + 0.012, head - 0.012), 0.012),
            box("frame", (-half + 0.07, half - 0.07), (0.0, 0.08), (foot + 0.07, head - 0.07)),
        ]
    parts = [box("frame", (-half, half), (b.base_height, top), (foot, head), 0.01)]
    if b.under == "drawers":
        parts += _drawers(b, half, foot, head)
    inset, r = 0.5 * b.post + 0.015, 0.5 * b.post
    sides = 4 if b.legs == "square" else 12
    for sx in (-1, 1):
        for z in (foot + inset, head - inset):
            parts.append(
                frustum(
                    "frame",
                    (sx * (half - inset), 0.0, z),
                    (sx * (half - inset), b.base_height + 0.4 * b.rail, z),
                    r * 0.85,
                    r,
                    sides,
                )
            )
    return parts


def _drawers(b: Bed, half: float, foot: float, head: float) -> list[Part]:
    """A chest below the frame with two drawer fronts on each long side."""
    low, high = 0.04, b.base_height + 0.02
    z = (foot + 0.17, head - 0.17)
    parts = [box("frame", (-half + 0.05, half - 0.05), (low, high), z)]
    middle = (z[0] + z[1]) / 2
    for sx in (-1, 1):
        x = (half - 0.08, half - 0.032)
        for span in ((z[0] + 0.02, middle - 0.012), (middle + 0.012, z[1] - 0.02)):
            front = box("front", x, (low + 0.02, high - 0.035), span, 0.006)
            parts.append(front if sx > 0 else front.mirrored())
    return parts


def _bedding(b: Bed, base: float, pillows: bool = True) -> list[Part]:
    half, (foot, head) = b.width / 2, _ends(b)
    x, top = (-half + 0.035, half - 0.035), base + b.mattress
    parts = [cushion("mattress", x, (base - 0.05, top), (foot + 0.045, head - 0.05), 0.05)]
    if b.blanket != "none":
        end = head - b.pillow_depth - 0.12 if b.blanket == "full" else foot + b.fold * b.length
        parts.append(
            cushion("blanket", (x[0] - 0.022, x[1] + 0.022), (base + 0.03, top + 0.03), (foot + 0.02, end), 0.04)
        )
    if not pillows:
        return parts
    count = 2 if b.width > 1.3 else 1
    width = min(0.66, (b.width - 0.16) / count)
    for index in range(count):
        x_mid = (index - (count - 1) / 2) * (width + 0.04)
        pillow = cushion(
            "pillow",
            (x_mid - width / 2, x_mid + width / 2),
            (top - 0.03, top + 0.1),
            (head - 0.09 - b.pillow_depth, head - 0.09),
            0.055,
            0.02,
        )
        parts.append(pillow.rotated("x", -9, (x_mid, top, head - 0.09 - b.pillow_depth)))
    return parts


def _head(b: Bed, rear: float) -> list[Part]:
    if b.head == "none":
        return []
    half, top = b.width / 2 + 0.012, b.base_height + b.rail + b.mattress + b.head_height
    z = (rear - 0.02, rear - 0.02 + b.head_thickness)
    low = 0.0 if b.under != "open" else b.base_height * 0.5
    if b.head == "slats":
        return _grille(b, half, low, top, z, 6 if b.width > 1.3 else 4)
    if b.head == "padded":
        parts = [box("frame", (-half + 0.02, half - 0.02), (low, top - 0.05), (z[0] + 0.01, z[1] - 0.01))]
        return [
            *parts,
            cushion("head", (-half, half), (b.base_height + b.rail, top), (z[0] - 0.04, z[1] + 0.004), 0.04),
        ]
    outline = arch((-half, half), (low, top), 0.28 * b.head_height if b.head == "arch" else 0.012)
    return [extrude("head", outline, "z", z, 0.012)]


def _grille(b: Bed, half: float, low: float, top: float, z: Span, count: int) -> list[Part]:
    """Two posts, a top and a lower rail, upright bars."""
    mid, r = (z[0] + z[1]) / 2, 0.5 * b.head_thickness
    base = b.base_height + b.rail
    parts = [
        frustum(
            "frame",
            (sx * (half - r), 0.0, mid),
            (sx * (half - r), top, mid),
            r * 0.97,
            r * 0.9,
            4 if b.legs == "square" else 12,
        )
        for sx in (-1, 1)
    ]
    rail = max(0.1, 0.16 * (top - base))
    parts.append(
        box("frame", (-half + r, half - r), (top - 0.02 - rail, top - 0.02), (mid - 0.6 * r, mid + 0.6 * r), 0.006)
    )
    parts.append(box("frame", (-half + r, half - r), (base + 0.01, base + 0.07), (mid - 0.55 * r, mid + 0.55 * r)))
    pitch = 2 * (half - r) / (count + 1)
    for index in range(count):
        x = -half + r + pitch * (index + 1)
        parts.append(
            box(
                "frame",
                (x - 0.2 * pitch, x + 0.2 * pitch),
                (base + 0.03, top - 0.5 * rail),
                (mid - 0.45 * r, mid + 0.45 * r),
            )
        )
    return parts


def _foot(b: Bed, front: float) -> list[Part]:
    if b.foot == "none":
        return []
    half, top = b.width / 2 + 0.01, b.base_height + b.rail + b.foot_height
    z = (front + 0.018 - b.head_thickness * 0.9, front + 0.018)
    if b.foot == "slats":
        return _grille(b, half, 0.0, top + 0.12, z, 5)
    return [extrude("head", arch((-half, half), (b.base_height * 0.4, top), 0.02), "z", z, 0.012)]


def _canopy(b: Bed) -> list[Part]:
    """Four posts and a frame of rails above the bed."""
    half, (foot, head) = b.width / 2 - 0.3 * b.post, _ends(b)
    r = 0.46 * b.post
    z = (foot + 0.3 * b.post, head - 0.3 * b.post)
    parts = [
        frustum(
            "frame",
            (sx * half, 0.0, end),
            (sx * half, b.tall, end),
            r * 1.04,
            r * 0.96,
            4 if b.legs == "square" else 12,
        )
        for sx in (-1, 1)
        for end in z
    ]
    level = b.tall - 1.2 * r
    rails = [((-half, level, end), (half, level, end)) for end in z] + [
        ((sx * half, level - 0.004, z[0]), (sx * half, level - 0.004, z[1])) for sx in (-1, 1)
    ]
    return parts + [tube("frame", rail, 0.85 * r, 8) for rail in rails]


def _side_back(b: Bed) -> list[Part]:
    """A day bed has a board along its +x side."""
    half, (foot, head) = b.width / 2, _ends(b)
    top = b.base_height + b.rail + b.mattress + 0.7 * b.head_height
    return [
        box(
            "head",
            (half - 0.02, half - 0.022 + b.head_thickness),
            (b.base_height * 0.6, top),
            (foot + 0.03, head - 0.008),
            0.012,
        )
    ]


def _bunk(b: Bed) -> list[Part]:
    """Two berths in one frame of posts, a ladder at +x, a guard rail above."""
    half, (foot, head) = b.width / 2, _ends(b)
    r, top = 0.5 * b.post, b.tall
    z = (foot + r + 0.01, head - r - 0.01)
    parts = [
        frustum("frame", (sx * (half - r), 0.0, end), (sx * (half - r), top, end), r, r * 0.96)
        for sx in (-1, 1)
        for end in z
    ]
    upper = top - 0.35 - b.mattress
    for base in (b.base_height, upper):
        parts.append(
            box("frame", (-half + 0.012, half - 0.012), (base, base + b.rail), (foot + 0.02, head - 0.02), 0.008)
        )
        parts += _bedding(b, base + b.rail)
        for end in z:
            parts.append(
                box(
                    "head",
                    (-half + r, half - r),
                    (base + b.rail - 0.03, base + b.rail + b.mattress + 0.16),
                    (end - 0.4 * r, end + 0.4 * r),
                )
            )
    guard = upper + b.rail + b.mattress + 0.1
    for sx in (-1, 1):
        stop = z[1] if sx < 0 else z[1] - 0.62
        parts.append(
            box("frame", (sx * (half - r) - 0.35 * r, sx * (half - r) + 0.35 * r), (guard, guard + 0.09), (z[0], stop))
        )
    parts += _ladder(half - 0.015, z[1] - 0.38, upper + 0.8 * b.rail, 0.42 * r)
    return parts


def _ladder(x: float, z: float, top: float, r: float) -> list[Part]:
    rails = [tube("frame", [(x + 0.16, 0.0, z + dz), (x, top, z + dz)], r, 8) for dz in (-0.19, 0.19)]
    rungs = []
    for index in range(4):
        share = (index + 0.9) / 4.4
        at = x + 0.16 * (1 - share)
        rungs.append(tube("frame", [(at, share * top, z - 0.19), (at, share * top, z + 0.19)], 0.8 * r, 8))
    return rails + rungs
