"""Pictures of several experiments side by side, for a document: curves, held-out shapes, samples, photographs.

    python -m benchmarks.study.pictures --output-dir results/real-chairs --experiments balanced mean-3 -o docs/img/study

writes ``<prefix>-curves.svg``, ``<prefix>-shapes.png``, ``<prefix>-samples.png`` and, where photographs
were evaluated, ``<prefix>-photographs.png``.  Shapes are picked by rank under the first experiment and
photographs under the one judged, from the best to the worst; samples are the first. Nothing is chosen by eye.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image, ImageDraw, ImageFont

from pipeline.atomic import atomic_path, write_text
from pipeline.conventions import Grid, unpack_grid
from pipeline.errors import UserError, run_command
from pipeline.pictures.voxel_view import BLUE, GREY, draw_voxels
from pipeline.progress import say
from report import charts, gather

TILE, GAP, LABEL, HEAD = 112, 4, 18, 20
SHAPES, SAMPLES, PHOTOGRAPHS = 6, 5, 4  # rows of shapes and samples; photographs at either end
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#777", "#000")
CURVES = len(COLOURS)
Tile = tuple[Image.Image, str]  # and what is written under it


def main() -> int:
    """Draw the experiments that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.pictures", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results")
    parser.add_argument("--experiments", nargs="+", required=True, help="names; the first ranks the shapes")
    parser.add_argument("--samples-of", nargs="+", help="experiments whose samples are drawn; left out: the same")
    parser.add_argument("--photographs-of", help="experiment whose photographs are drawn; left out: the first")
    parser.add_argument("--category", help="photographs of this category only")
    parser.add_argument("-o", "--output", type=Path, required=True, help="prefix of the files to write")
    arguments = parser.parse_args()
    files = write_study(
        arguments.output_dir,
        arguments.experiments,
        arguments.output,
        sampled=arguments.samples_of,
        judged=arguments.photographs_of,
        category=arguments.category,
    )
    say(f"study: {', '.join(str(path) for path in files)}")
    return 0


def write_study(
    output: Path,
    experiments: Sequence[str],
    prefix: Path,
    *,
    sampled: Sequence[str] | None = None,  # experiments whose samples are drawn; None: the same
    judged: str | None = None,  # the experiment whose photographs are drawn; None: the first
    category: str | None = None,  # limits the photographs
) -> list[Path]:
    """Publish the pictures; returns the files."""

    def folders(names: Sequence[str]) -> list[Path]:
        return [output / "runs" / name for name in names]

    runs = folders(experiments)
    (photographed,) = folders([judged or experiments[0]])
    parts = ("curves.svg", "shapes.png", "samples.png", "photographs.png")
    files = [prefix.with_name(f"{prefix.name}-{part}") for part in parts]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    drawn = curves(runs), shapes(runs), samples(folders(sampled or experiments))
    write_text(files[0], drawn[0])
    for picture, path in zip(drawn[1:], files[1:], strict=False):
        _save(picture, path)
    if not (photographed / "photographs.npz").exists():
        return files[:-1]
    _save(photographs(photographed, category), files[-1])
    return files


def curves(runs: Sequence[Path]) -> str:
    """SVG: IoU on validation shapes over samples seen, a line for each run that looked at any."""
    lines = []
    for run in runs:
        looks = gather.read_json(run / "results.json")["figures"]["looks"]
        looks = [line for line in looks if line.get("iou") is not None]
        if looks:
            lines.append(charts.Curve(run.name, [x["samples"] for x in looks], [x["iou"] for x in looks]))
    if not lines:
        raise UserError(
            "none of these experiments has reconstructed anything",
            got=", ".join(r.name for r in runs),
            do="name at least one with an encoder",
        )
    if len(lines) > CURVES:
        raise UserError(f"at most {CURVES} curves can be told apart", got=str(len(lines)), do="name fewer experiments")
    last = max(int(line.x[-1]) for line in lines)
    chart = charts.chart("IoU of one picture's reconstruction, validation shapes", lines, last)
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return page.get_template("curves.svg").render(c=chart, colours=COLOURS) + "\n"


def shapes(runs: Sequence[Path]) -> Image.Image:
    """Held-out shapes by rank, one a row: picture, truth, and every run's answer with its IoU."""
    tables = [gather.arrays(run / "predictions.npz") for run in runs]
    first = tables[0]
    rows = []
    for rank in np.linspace(len(first["id"]) - 1, 0, min(SHAPES, len(first["id"]))).round().astype(int):
        shape = first["id"][rank]
        tiles: list[Tile] = [
            (_picture(first["image"][rank]), str(first["category"][rank])),
            (draw_voxels(_packed(first["truth"][rank]), TILE, GREY), ""),
        ]
        for table in tables:
            row = int(np.flatnonzero(table["id"] == shape)[0])
            answer = _cut(table["levels"][row], int(table["threshold"]))
            tiles.append((draw_voxels(answer, TILE, BLUE), f"IoU {table['iou'][row]:.2f}"))
        rows.append(tiles)
    return _sheet(["picture", "true voxels", *(run.name for run in runs)], rows)


def samples(runs: Sequence[Path]) -> Image.Image:
    """The first samples of every run, a column each, with the IoU of the nearest training shape."""
    columns: list[list[Tile]] = []
    for run in runs:
        table = gather.arrays(run / "samples.npz")
        columns.append(
            [
                (draw_voxels(_packed(bits), TILE, BLUE), f"nearest {nearest:.2f}")
                for bits, nearest in zip(table["bits"][:SAMPLES], table["nearest_iou"][:SAMPLES], strict=True)
            ]
        )
    return _sheet([run.name for run in runs], list(zip(*columns, strict=True)))


def photographs(run: Path, category: str | None) -> Image.Image:
    """The best photographs of the first set and the worst, two a row: crop, truth, and the aligned answer."""
    found = gather.arrays(run / "photographs.npz")
    name = str(found["sets"][0])
    table = {key.removeprefix(f"{name}/"): value for key, value in found.items() if key.startswith(f"{name}/")}
    members = np.arange(len(table["ap"])) if category is None else np.flatnonzero(table["category"] == category)
    if not len(members):
        raise UserError(
            "there are no photographs of this category",
            got=str(category),
            wanted=", ".join(sorted(set(table["category"].tolist()))),
        )
    order = members[np.argsort(-table["ap_aligned"][members], kind="stable")]
    ends = min(PHOTOGRAPHS, (len(order) + 1) // 2)
    rows = [
        _photograph(table, int(good)) + _photograph(table, int(bad))
        for good, bad in zip(order[:ends], order[::-1][:ends], strict=True)
    ]
    return _sheet(["best", "truth", "answer, aligned", "worst", "truth", "answer, aligned"], rows)


def _photograph(table: dict[str, Any], row: int) -> list[Tile]:
    truth, answer = _packed(table["truth"][row]), _cut(table["aligned_levels"][row], int(table["threshold"]))
    caption = f"AP {table['ap'][row]:.2f}, aligned {table['ap_aligned'][row]:.2f}"
    return [
        (_picture(table["image"][row]), str(table["category"][row])),
        (draw_voxels(truth, TILE, GREY), ""),
        (draw_voxels(answer, TILE, BLUE), caption),
    ]


def _packed(bits: Any) -> Grid:
    return unpack_grid(bits, round((8 * len(bits)) ** (1 / 3)))


def _cut(levels: Any, threshold: int) -> Grid:
    return np.asarray(levels >= threshold).reshape((round(len(levels) ** (1 / 3)),) * 3)


def _picture(pixels: Any) -> Image.Image:
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BICUBIC)


def _sheet(heads: Sequence[str], rows: Sequence[Sequence[Tile]]) -> Image.Image:
    font = ImageFont.load_default(size=12)
    step_x, step_y = TILE + 2 * GAP, TILE + LABEL + GAP
    canvas = Image.new("RGB", (len(heads) * step_x, HEAD + len(rows) * step_y), "white")
    draw = ImageDraw.Draw(canvas)
    for column, head in enumerate(heads):
        draw.text((column * step_x + 2, 3), head, fill="#222", font=font)
        for line, tiles in enumerate(rows):
            tile, caption = tiles[column]
            canvas.paste(tile, (column * step_x, HEAD + line * step_y))
            draw.text((column * step_x + 2, HEAD + line * step_y + TILE + 1), caption, fill="#444", font=font)
    return canvas


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
