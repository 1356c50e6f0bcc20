"""``snakemake --rulegraph | python -m pipeline.workflow.rulegraph``: the rules as an SVG picture, without Graphviz.

Layers by the longest way from the sources, top to bottom; the order inside a layer by the
mean place of the neighbours, swept a few times (Sugiyama, Tagawa and Toda 1981); lines that
pass a layer get a place in it.  Edges that a longer way implies are left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from pipeline.errors import UserError, run_command

Edge = tuple[str, str]

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 118, 30, 18, 40, 12  # px
# By what a rule makes: background and border.
COLOURS = {
    "sources": ("#e8eef7", "#5b7db1"),
    "shapes": ("#e9f4ea", "#4f9a5b"),
    "learning": ("#fdf0e2", "#cf8531"),
    "pages": ("#f3eaf6", "#9360a8"),
}
KINDS = {
    "sources": ("generate", "rooms", "fetch", "fetch_backgrounds", "backgrounds", "index"),
    "learning": ("train", "evaluate"),
    "pages": ("sheet", "gallery", "report", "audit"),
}
_SWEEPS = 8


def main() -> int:
    """Read Graphviz' dot language on stdin, write SVG on stdout."""
    edges = rules(sys.stdin.read())
    if not edges:
        raise UserError(
            "there is no rule graph on the standard input",
            do="snakemake --rulegraph | python -m pipeline.workflow.rulegraph > rulegraph.svg",
        )
    print(svg(edges))
    return 0


def rules(dot: str) -> set[Edge]:
    """Edges between rules; the index rules of single data sets become one, targets without commands none."""
    names = {n: re.sub(r"^index_.*", "index", name) for n, name in re.findall(r'(\d+)\[label = "(\w+)', dot)}
    found = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot)}
    return {(a, b) for a, b in found if b not in ("all", "samples") and not b.endswith("_all") and a != b}


def reduced(edges: set[Edge]) -> set[Edge]:
    """Without the edges that a longer way implies."""
    return {(a, b) for a, b in edges if not any(_reaches(c, b, edges) for x, c in edges if x == a and c != b)}


def _reaches(start: str, end: str, edges: set[Edge]) -> bool:
    return start == end or any(_reaches(b, end, edges) for a, b in edges if a == start)


def layers(edges: set[Edge]) -> dict[str, int]:
    """The longest way from a source to each rule, in edges."""
    depth = {name: 0 for edge in edges for name in edge}
    for _ in depth:
        for a, b in sorted(edges):
            depth[b] = max(depth[b], depth[a] + 1)
    # A source stands just above what needs it.
    for name in depth:
        if not any(b == name for _, b in edges):
            depth[name] = min(depth[b] for a, b in edges if a == name) - 1
    return depth


def svg(edges: set[Edge]) -> str:
    """The picture."""
    edges = reduced(edges)
    depth = layers(edges)
    pieces = _cut(edges, depth)
    place = _places(pieces, depth)
    columns = max(place.values()) + 1
    rows = max(depth.values()) + 1
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * GAP_X
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * GAP_Y

    def corner(name: str) -> tuple[float, float]:
        return MARGIN + place[name] * (WIDTH + GAP_X), MARGIN + depth[name] * (HEIGHT + GAP_Y)

    lines = []
    for a, b in sorted(pieces):
        (x0, y0), (x1, y1) = corner(a), corner(b)
        # A line passes the layer of a place that it only goes through.
        y0 = y0 + HEIGHT
        through = f" v{HEIGHT}" if "|" in b else ""
        x0, x1, middle = x0 + WIDTH / 2, x1 + WIDTH / 2, (y0 + y1) / 2
        lines.append(
            f'<path d="M{x0:.0f},{y0:.0f} C{x0:.0f},{middle:.0f} {x1:.0f},{middle:.0f} {x1:.0f},{y1:.0f}{through}"/>'
        )
    boxes = []
    for name in sorted(name for edge in edges for name in edge):
        fill, border = COLOURS[_kind(name)]
        x, y = corner(name)
        box = (
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{fill}" stroke="{border}"/>'
            f'<text x="{x + WIDTH / 2:.0f}" y="{y + HEIGHT / 2 + 4:.0f}">{name.replace("_", " ")}</text>'
        )
        if box not in boxes:
            boxes.append(box)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="12.5" text-anchor="middle">',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            '<g fill="none" stroke="#9aa3ad" stroke-width="1.6">',
            *lines,
            "</g>",
            '<g fill="#1c2733">',
            *boxes,
            "</g>",
            "</svg>",
        ]
    )


def _kind(name: str) -> str:
    return next((kind for kind, names in KINDS.items() if name in names), "shapes")


def _cut(edges: set[Edge], depth: dict[str, int]) -> set[Edge]:
    """Every edge as pieces from one layer to the next; `depth` learns the layers of the places between."""
    pieces = set()
    for a, b in edges:
        way = [a, *(f"{a}|{b}|{layer}" for layer in range(depth[a] + 1, depth[b])), b]
        depth |= {name: depth[a] + number for number, name in enumerate(way)}
        pieces |= set(zip(way, way[1:]))
    return pieces


def _places(pieces: set[Edge], depth: dict[str, int]) -> dict[str, float]:
    """Column of every rule and of every place that a line passes, in box widths from the left."""
    rows = [sorted(name for name in depth if depth[name] == row) for row in range(max(depth.values()) + 1)]
    place = {name: float(number) for row in rows for number, name in enumerate(row)}
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {name: _mean([place[o] for o in _neighbours(name, pieces)], place[name]) for name in row}
            for number, name in enumerate(sorted(row, key=lambda name: (wanted[name], name))):
                place[name] = float(number)
    widest = max(map(len, rows))
    return {name: place[name] + (widest - len(row)) / 2 for row in rows for name in row}


def _neighbours(name: str, pieces: Iterable[Edge]) -> list[str]:
    return [b if a == name else a for a, b in pieces if name in (a, b)]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


if __name__ == "__main__":
    sys.exit(run_command(main))
