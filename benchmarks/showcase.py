"""One picture of a run: views of held-out shapes, their true voxels, and what the network makes of one view.

    python -m benchmarks.showcase --output-dir results --experiment demo -o docs/img/demo.png

For each category the shape of median IoU is shown, not the best one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from pipeline.atomic import atomic_path
from pipeline.conventions import Array, unpack_grid
from pipeline.errors import UserError, run_command
from pipeline.pictures.bank import open_bank
from pipeline.pictures.voxel_view import BLUE, GREY, draw_voxels
from pipeline.progress import say
from pipeline.shards import open_shard

TILE, GAP, LABEL, HEAD = 112, 4, 18, 22
VIEWS = 3  # further views beside the one the network gets
COLUMNS = ("the picture it gets", *["other views"] * VIEWS, "true voxels", "its answer")


def main() -> int:
    """Draw the picture that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.showcase", description=__doc__)
    parser.add_argument("--output-dir", type=Path, required=True, help="the run's folder, e.g. results")
    parser.add_argument("--experiment", required=True, help="name of an evaluated experiment")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the PNG to write")
    arguments = parser.parse_args()
    draw_picture(arguments.output_dir, arguments.experiment, arguments.output)
    say(f"picture: {arguments.output}")
    return 0


def draw_picture(output: Path, experiment: str, path: Path) -> None:
    """Publish the picture of one evaluated experiment, two categories a row."""
    table = _predictions(output / "runs" / experiment / "predictions.npz")
    rows = [_median_row(table, str(category)) for category in sorted(set(table["category"].tolist()))]
    strips = [_strip(output, table, row) for row in rows]
    width, height = strips[0].size
    lines = (len(strips) + 1) // 2
    canvas = Image.new("RGB", (2 * width + 4 * GAP, HEAD + lines * (height + GAP)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for number, strip in enumerate(strips):
        left, top = (number % 2) * (width + 4 * GAP), HEAD + (number // 2) * (height + GAP)
        canvas.paste(strip, (left, top))
        for column in (0, 1, len(COLUMNS) - 2, len(COLUMNS) - 1):
            draw.text((left + column * (TILE + GAP) + 2, 4), COLUMNS[column], fill="#444", font=font)
    with atomic_path(path) as temporary:
        canvas.save(temporary, "PNG", optimize=True)


def _predictions(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise UserError(
            "there are no predictions to show",
            where=str(path),
            got=str(error),
            do="run `snakemake --cores 2 evaluate_all` first",
        ) from error


def _median_row(table: dict[str, Array], category: str) -> int:
    members = np.flatnonzero(table["category"] == category)  # already sorted by IoU
    return int(members[len(members) // 2])


def _strip(output: Path, table: dict[str, Array], row: int) -> Image.Image:
    """One shape: the input, other views, the truth, the answer, and a caption."""
    shape_id, shown = str(table["id"][row]), int(table["view"][row])
    views = _views_of(output, shape_id)
    others = [(shown + (k + 1) * len(views) // (VIEWS + 1)) % len(views) for k in range(VIEWS)]
    resolution = round(table["levels"].shape[1] ** (1 / 3))
    truth = unpack_grid(table["truth"][row], resolution)
    answer = (table["levels"][row] >= table["threshold"]).reshape((resolution,) * 3)
    tiles = [
        Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.BICUBIC)
        for pixels in (table["image"][row], *(views[v] for v in others))
    ]
    tiles += [draw_voxels(truth, TILE, GREY), draw_voxels(answer, TILE, BLUE)]
    strip = Image.new("RGB", (len(tiles) * (TILE + GAP), TILE + LABEL), "white")
    for column, tile in enumerate(tiles):
        strip.paste(tile, (column * (TILE + GAP), 0))
    caption = f"{table['category'][row]}: IoU {table['iou'][row]:.2f}, the median of its category"
    ImageDraw.Draw(strip).text((2, TILE + 1), caption, fill="#444", font=ImageFont.load_default(size=12))
    return strip


def _views_of(output: Path, shape_id: str) -> UInt8[Array, "V S S 3"]:
    """The stored views of one shape."""
    folder, behind = output / "shards" / shape_id.split("/")[0], output / "backgrounds" / "bank.npz"
    bank = open_bank(behind) if behind.is_file() else None  # which shards of the storage `layers` need
    for entry in json.loads((folder / "index.json").read_text(encoding="utf-8"))["shards"]:
        with open_shard(folder / entry["file"]) as shard:
            for row, record in enumerate(shard.records):
                if record.shape_id == shape_id:
                    return np.asarray(shard.images(row, bank))
    raise UserError(
        "a predicted shape is in no shard",
        where=str(folder),
        got=shape_id,
        do="evaluate again: the shards have changed since",
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
