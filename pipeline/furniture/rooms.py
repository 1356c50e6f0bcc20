"""Room-like pictures: a camera inside a box of a room, a ray a pixel, patterned surfaces, things on the walls.

They stand behind the furniture where no photographs are at hand.  Floors, walls and what
hangs on them have edges and textures of their own, so that no network can tell an object
from its background by flatness alone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from pipeline import seeds
from pipeline.atomic import atomic_path
from pipeline.conventions import Image, Ints
from pipeline.furniture import surfaces
from pipeline.furniture.surfaces import Floats, Paint
from pipeline.progress import Log, progress, say

SAMPLES = 2
"""Rays along each side of a pixel."""
FLOOR, CEILING, BACK, LEFT, RIGHT = range(5)


@dataclass(frozen=True)
class _Panel:
    """A rectangle on a surface: a window, a door, a picture, a rug, a shelf, a cupboard."""

    surface: int
    u: tuple[float, float]
    v: tuple[float, float]
    border: float
    frame: Floats
    paint: Paint
    glow: float = 1.0
    round: bool = False


@dataclass(frozen=True)
class _Room:
    """Metres: x across, y up, z away from the camera, which stands at the origin of x and z."""

    half_width: float
    height: float
    depth: float
    eye: tuple[float, float]  # x, y
    yaw_deg: float
    pitch_deg: float
    zoom: float
    paints: tuple[Paint, ...]  # one a surface
    panels: tuple[_Panel, ...]
    skirting: tuple[float, Floats]
    lights: Floats  # (L, 5): x, y, z, strength, reach
    ambient: float
    tint: Floats


def room_picture(seed: int, index: int, size_px: int) -> Image:
    """(S, S, 3) sRGB picture of one room; equal arguments give equal bytes."""
    return _picture(seeds.generator(seed, "room", index), size_px, size_px)


def write_rooms(
    seed: int, count: int, folder: Path, size_px: int = 160, log: Log | None = None, *, broken: bool = False
) -> None:
    """Write `count` pictures ``room_00000.jpg`` ... into `folder`, each whole or absent, the same bytes every time.

    As in real collections, not all are alike: of every 16 one is wide and one tall, one of the first
    two dozen is greyscale.
    broken : beside them lies one file that no reader can open (``room_broken.jpg``), as broken meshes lie among
        the generated ones.
    """
    for index in progress(range(count), "rooms", unit="picture", log=log):
        height, width = _size(index, size_px)
        picture = Pillow.fromarray(_picture(seeds.generator(seed, "room", index), height, width))
        out = io.BytesIO()
        (picture.convert("L") if index == GREY else picture).save(out, format="JPEG", quality=88)
        _write(Path(folder) / f"room_{index:05d}.jpg", out.getvalue())
    if broken:
        _write(Path(folder) / BROKEN, b"\xff\xd8\xff\xe0 this picture was cut off while it was copied")
    say(f"rooms: {count} pictures, {size_px} px" + (", and one that cannot be read" if broken else ""))


GREY, BROKEN = 11, "room_broken.jpg"


def _size(index: int, size_px: int) -> tuple[int, int]:
    """(height, width) in pixels."""
    if index % 16 == 5:
        return size_px, size_px * 4 // 3
    return (size_px * 3 // 2, size_px) if index % 16 == 9 else (size_px, size_px)


def _write(path: Path, payload: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(payload)


def _picture(rng: np.random.Generator, height: int, width: int) -> Image:
    room = _draw_room(rng)
    # Cast one ray a sample and find the wall it meets.
    rays = _rays(room, height * SAMPLES, width * SAMPLES)
    surface, point = _hit(room, rays)
    # Paint the surfaces, then what lies or hangs on them, then the light.
    u, v = _surface_coordinates(surface, point)
    colours = _paint(room, surface, u, v)
    colours *= _light(room, surface, point)[:, None] * room.tint
    # Average the samples and finish as a camera does: vignette, grain, a little blur now and then.
    samples = colours.reshape(height, SAMPLES, width, SAMPLES, 3)
    # Adding whole planes is several times faster than a mean over two short axes.
    picture: Floats = np.zeros((height, width, 3), dtype=np.float32)
    for row, column in np.ndindex(SAMPLES, SAMPLES):
        picture += samples[:, row, :, column] / SAMPLES**2
    return _develop(rng, picture)


# ---------------------------------------------------------------- what is in the room


def _colour(rng: np.random.Generator, low: float, high: float, chroma: float) -> Floats:
    """A colour of a lightness in [low, high] and at most this far from grey."""
    colour: Floats = np.clip(rng.uniform(low, high) + rng.uniform(-chroma, chroma, 3), 5, 250)
    return colour


def _wood(rng: np.random.Generator) -> Floats:
    tone = np.array([[200, 155, 105], [150, 100, 60], [95, 62, 42], [215, 190, 150], [170, 160, 150]])[rng.integers(5)]
    colour: Floats = np.clip(tone * rng.uniform(0.75, 1.15) + rng.uniform(-10, 10, 3), 5, 250)
    return colour


def _draw_room(rng: np.random.Generator) -> _Room:
    half, height, depth = rng.uniform(1.4, 3.2), rng.uniform(2.3, 3.2), rng.uniform(2.6, 6.0)
    floor = surfaces.FLOORS[rng.integers(len(surfaces.FLOORS))]
    wall = surfaces.WALLS[rng.integers(len(surfaces.WALLS))](rng, _colour(rng, 130, 240, 18))
    accent = surfaces.WALLS[rng.integers(len(surfaces.WALLS))](rng, _colour(rng, 90, 235, 34))
    ceiling = surfaces.plaster(rng, _colour(rng, 190, 245, 8))
    base = _wood(rng) if floor is surfaces.boards else _colour(rng, 80, 225, 20)
    back = accent if rng.random() < 0.45 else wall
    lights = np.stack(
        [
            rng.uniform(-half, half, 2),
            rng.uniform(0.7, 1, 2) * height,
            rng.uniform(0.2, 0.95, 2) * depth,
            rng.uniform(0.3, 1.1, 2),
            rng.uniform(0.8, 2.4, 2),
        ],
        axis=1,
    ).astype(np.float32)
    return _Room(
        half_width=half,
        height=height,
        depth=depth,
        eye=(float(rng.uniform(-0.6, 0.6) * half), float(rng.uniform(1.0, 1.8))),
        yaw_deg=float(rng.normal(0, 16)),
        pitch_deg=float(rng.uniform(-34, 4)),
        zoom=float(rng.uniform(0.75, 1.6)),
        paints=(floor(rng, base), ceiling, back, wall, wall),
        panels=tuple(_draw_panels(rng, half, height, depth)),
        skirting=(float(rng.uniform(0.05, 0.16)), _wood(rng) if rng.random() < 0.4 else _colour(rng, 170, 245, 10)),
        lights=lights,
        ambient=float(rng.uniform(0.65, 1.0)),
        tint=np.clip(1 + rng.normal(0, 0.03, 3) + rng.uniform(-0.5, 1) * np.array([0.08, 0.0, -0.1]), 0.8, 1.2),
    )


def _draw_panels(rng: np.random.Generator, half: float, height: float, depth: float) -> list[_Panel]:
    """Rugs first, then a few things on each wall, the larger ones behind."""
    panels = [_rug(rng, half, depth) for _ in range(rng.integers(0, 3))]
    for surface, span in ((BACK, (-half, half)), (LEFT, (0.4, depth)), (RIGHT, (0.4, depth))):
        for kind in rng.permutation(["window", "door", "cupboard", "shelf", "picture", "picture"])[
            : rng.integers(1, 5)
        ]:
            panels.append(_wall_panel(rng, str(kind), surface, span, height))
    return panels


def _rug(rng: np.random.Generator, half: float, depth: float) -> _Panel:
    wide, long = rng.uniform(0.8, 1.6 * half), rng.uniform(0.8, 0.8 * depth)
    x, z = rng.uniform(-half, half - 0.4), rng.uniform(0.5, max(0.6, depth - long))
    make = (surfaces.stripes, surfaces.pattern, surfaces.carpet, surfaces.tiles)[rng.integers(4)]
    return _Panel(
        FLOOR,
        (x, x + wide),
        (z, z + long),
        rng.uniform(0, 0.12),
        _colour(rng, 30, 220, 50),
        make(rng, _colour(rng, 40, 220, 60)),
        round=bool(rng.random() < 0.25),
    )


def _wall_panel(rng: np.random.Generator, kind: str, surface: int, span: tuple[float, float], height: float) -> _Panel:
    """Sizes as in houses; a panel may be cut by a corner, as it may in a photograph."""
    wide, low, high = {
        "window": (rng.uniform(0.7, 1.8), rng.uniform(0.7, 1.0), rng.uniform(1.9, 2.3)),
        "door": (rng.uniform(0.7, 1.0), 0.0, rng.uniform(1.95, 2.1)),
        "cupboard": (rng.uniform(0.5, 1.8), 0.0, rng.uniform(0.7, 2.0)),
        "shelf": (rng.uniform(0.5, 1.6), rng.uniform(1.0, 1.6), rng.uniform(1.65, 2.2)),
        "picture": (rng.uniform(0.25, 0.9), rng.uniform(1.1, 1.4), rng.uniform(1.55, 2.0)),
    }[kind]
    at = rng.uniform(span[0] - 0.3 * wide, span[1] - 0.7 * wide)
    dark = _wood(rng) if rng.random() < 0.6 else _colour(rng, 20, 245, 15)
    paint = {
        "window": lambda: _panes(rng),
        "door": lambda: surfaces.stripes(rng, dark * 0.95) if rng.random() < 0.3 else _fields(rng, dark),
        "cupboard": lambda: _fields(rng, dark),
        "shelf": lambda: _shelves(rng),
        "picture": lambda: _art(rng),
    }[kind]()
    frame = dark * 0.8 if kind in ("door", "cupboard") else dark
    glow = float(rng.uniform(1.1, 1.7)) if kind == "window" else 1.0
    upright = (low, min(high, height - 0.1))
    return _Panel(surface, (at, at + wide), upright, rng.uniform(0.02, 0.07), frame, paint, glow)


def _panes(rng: np.random.Generator) -> Paint:
    """Sky over greenery or roofs, behind glazing bars."""
    sky, land, bars = _colour(rng, 190, 245, 25), _colour(rng, 50, 150, 45), _colour(rng, 30, 245, 10)
    pitch, horizon, salt = rng.uniform(0.3, 0.7, 2), rng.uniform(0.9, 1.7), int(rng.integers(1 << 20))

    def paint(u: Floats, v: Floats) -> Floats:
        hills = horizon + 0.35 * surfaces.smooth_noise(u * 3, u * 0, salt)
        speckle = 0.8 + 0.4 * surfaces.smooth_noise(u * 12, v * 12, salt)
        view = np.where((v < hills)[:, None], land * speckle[:, None], sky)
        bar = ((u / pitch[0]) % 1 < 0.07) | ((v / pitch[1]) % 1 < 0.07)
        return np.where(bar[:, None], bars, view).astype(np.float32)

    return paint


def _fields(rng: np.random.Generator, base: Floats) -> Paint:
    """Panelled doors: recessed fields and a handle."""
    pitch = rng.uniform(0.3, 0.8, 2)
    grain = surfaces.boards(rng, base)

    def paint(u: Floats, v: Floats) -> Floats:
        a, b = (u / pitch[0]) % 1, (v / pitch[1]) % 1
        edge = np.minimum(np.minimum(a, 1 - a) * pitch[0], np.minimum(b, 1 - b) * pitch[1])
        shade = np.where(edge < 0.008, 0.45, np.where((edge > 0.06) & (edge < 0.075), 0.65, 1.0))
        knob = (np.abs(a - 0.85) < 0.03) & (np.abs(b - 0.5) < 0.08)
        return (grain(u, v) * np.where(knob, 0.4, shade)[:, None]).astype(np.float32)

    return paint


def _shelves(rng: np.random.Generator) -> Paint:
    """Rows of books and gaps."""
    row, thick, salt = rng.uniform(0.25, 0.4), rng.uniform(0.025, 0.06), int(rng.integers(1 << 20))
    board = _wood(rng)

    def paint(u: Floats, v: Floats) -> Floats:
        level, book = v / row, u / thick
        cells = [surfaces.noise(book, level, salt + channel) for channel in range(4)]
        colours = np.stack([30 + 190 * cell for cell in cells[:3]], axis=1)
        tall = (level % 1) < 0.55 + 0.4 * cells[3]
        dark = np.where((cells[3] > 0.12) & tall, 1.0, 0.0)[:, None]
        colours = colours * dark + board * 0.35 * (1 - dark)
        return np.where(((level % 1) < 0.08)[:, None], board, colours).astype(np.float32)

    return paint


def _art(rng: np.random.Generator) -> Paint:
    """A picture: blobs of four colours."""
    colours = np.stack([_colour(rng, 30, 235, 80) for _ in range(4)])
    scale, salt = rng.uniform(2, 9, 2), int(rng.integers(1 << 20))

    def paint(u: Floats, v: Floats) -> Floats:
        field = surfaces.smooth_noise(u * scale[0], v * scale[1], salt) + 0.3 * surfaces.smooth_noise(
            u * 25, v * 25, salt
        )
        return colours[np.clip(field * 3.2, 0, 3).astype(np.int64)]

    return paint


# ---------------------------------------------------------------- how it is seen


def _rays(room: _Room, rows: int, columns: int) -> Floats:
    """(N, 3) directions, row 0 on top; x right, y up, z into the room."""
    scale = 2 / (min(rows, columns) * room.zoom)
    y, x = np.meshgrid(
        (rows / 2 - 0.5 - np.arange(rows)) * scale, (np.arange(columns) + 0.5 - columns / 2) * scale, indexing="ij"
    )
    yaw, pitch = np.radians([room.yaw_deg, room.pitch_deg])
    up = y * np.cos(pitch) + np.sin(pitch)
    ahead = np.cos(pitch) - y * np.sin(pitch)
    rays = np.stack([x * np.cos(yaw) + ahead * np.sin(yaw), up, ahead * np.cos(yaw) - x * np.sin(yaw)], axis=-1)
    return rays.reshape(-1, 3).astype(np.float32)


def _hit(room: _Room, rays: Floats) -> tuple[Ints, Floats]:
    """Which surface each ray meets first, and where."""
    x, y = room.eye
    dx, dy, dz = (np.where(np.abs(part) < 1e-6, np.float32(1e-6), part) for part in rays.T)
    far = np.float32(1e6)
    distance = np.stack(
        [
            np.where(dy < 0, -y / dy, far),
            np.where(dy > 0, (room.height - y) / dy, far),
            np.where(dz > 0, room.depth / dz, far),
            np.where(dx < 0, (-room.half_width - x) / dx, far),
            np.where(dx > 0, (room.half_width - x) / dx, far),
        ]
    )
    surface = distance.argmin(axis=0)
    point = rays * distance.min(axis=0)[:, None] + np.array([x, y, 0], dtype=np.float32)
    return surface, point


def _surface_coordinates(surface: Ints, point: Floats) -> tuple[Floats, Floats]:
    """Metres on the surface: floor and ceiling (x, z), back wall (x, y), side walls (z, y)."""
    u = np.where(surface >= LEFT, point[:, 2], point[:, 0])
    return u, np.where(surface <= CEILING, point[:, 2], point[:, 1])


def _paint(room: _Room, surface: Ints, u: Floats, v: Floats) -> Floats:
    colours = np.empty((len(u), 3), dtype=np.float32)
    high, skirting = room.skirting
    for number, paint in enumerate(room.paints):
        rows = np.flatnonzero(surface == number)
        a, b = u[rows], v[rows]
        here = paint(a, b)
        if number >= BACK:
            here[b < high] = skirting
        for panel in room.panels:
            if panel.surface == number:
                _paint_panel(panel, a, b, here)
        colours[rows] = here
    return colours


def _paint_panel(panel: _Panel, u: Floats, v: Floats, colours: Floats) -> None:
    """Paint one rectangle (or ellipse) with its frame, and a soft shadow below it on a wall."""
    (u0, u1), (v0, v1) = panel.u, panel.v
    if panel.surface != FLOOR:
        colours[(u > u0 + 0.02) & (u < u1 + 0.05) & (v > v0 - 0.06) & (v < v1)] *= 0.72
    rows = np.flatnonzero((u > u0) & (u < u1) & (v > v0) & (v < v1))
    a, b = u[rows], v[rows]
    if panel.round:
        inside = np.hypot((2 * a - u0 - u1) / (u1 - u0), (2 * b - v0 - v1) / (v1 - v0)) < 1
        rows, a, b = rows[inside], a[inside], b[inside]
    edge = np.minimum(np.minimum(a - u0, u1 - a), np.minimum(b - v0, v1 - b)) < panel.border
    colours[rows] = np.where(edge[:, None], panel.frame, panel.paint(a, b) * np.float32(panel.glow))


def _light(room: _Room, surface: Ints, point: Floats) -> Floats:
    """(N,) brightness: ambient, pools of lamp light, darker edges between the surfaces."""
    light = np.full(len(point), room.ambient, dtype=np.float32)
    for x, y, z, strength, reach in room.lights:
        away = ((point - np.array([x, y, z], dtype=np.float32)) ** 2).sum(axis=1)
        light += strength / (1 + away / reach**2)
    # Corners get less light: the distance to the second and third nearest surfaces.
    walls = np.stack(
        [
            point[:, 1],
            room.height - point[:, 1],
            room.depth - point[:, 2],
            point[:, 0] + room.half_width,
            room.half_width - point[:, 0],
        ]
    )
    walls[surface, np.arange(len(surface))] = np.inf
    light *= 1 - 0.35 * np.exp(-np.maximum(walls.min(axis=0), 0) / 0.25)
    return light / np.float32(1.25) * np.where(surface == CEILING, np.float32(0.92), np.float32(1))


def _develop(rng: np.random.Generator, picture: Floats) -> Image:
    height, width, _ = picture.shape
    row, column = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    picture = picture * (1 - rng.uniform(0, 0.25) * (row**2 + column**2))[..., None].astype(np.float32)
    if rng.random() < 0.4:
        picture = (
            picture + np.roll(picture, 1, axis=0) + np.roll(picture, 1, axis=1) + np.roll(picture, (1, 1), (0, 1))
        ) / 4
    picture = picture + rng.uniform(1.5, 7) * rng.standard_normal((height, width, 1), dtype=np.float32)
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    return np.asarray(np.clip(picture + 0.5 * grain, 0, 255).astype(np.uint8))
