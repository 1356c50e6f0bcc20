"""Pictures of the page, each returned as a ``data:`` address so that the page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image

matplotlib.use("Agg")  # no display on a node; before pyplot is imported
import matplotlib.pyplot as plt  # noqa: E402

from report.voxel_view import draw_voxels  # noqa: E402

Curve = tuple[str, Sequence[float], Sequence[float]]  # label, samples seen, values


def data_address(image: Image.Image, kind: str = "PNG", quality: int = 85) -> str:
    """A picture as text that an <img> can show."""
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.convert("RGB").save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "PNG", optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photograph(pixels: npt.NDArray[np.uint8], size_px: int = 128) -> str:
    """One training view, enlarged without smoothing tricks."""
    return data_address(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC), "JPEG", 90)


def voxels(grid: npt.NDArray[np.bool_], size_px: int = 128, colour: tuple[int, int, int] | None = None) -> str:
    """One shape as shaded cubes."""
    picture = draw_voxels(grid, size_px, colour) if colour else draw_voxels(grid, size_px)
    return data_address(picture.quantize(64))


def contact_sheet(path: Path, width_px: int = 1500) -> str:
    """A contact sheet scaled to the page."""
    with Image.open(path) as sheet:
        sheet.thumbnail((width_px, 20_000))
        return data_address(sheet, "JPEG", 82)


def curves(lines: Sequence[Curve], ylabel: str, *, marks: Sequence[tuple[str, float]] = (), log: bool = False) -> str:
    """A line plot over samples seen; `marks` are labelled horizontal lines."""
    figure, axes = plt.subplots(figsize=(5.6, 3.2), dpi=110)
    for label, x, y in lines:
        axes.plot(x, y, label=label, linewidth=1.6)
    for label, value in marks:
        axes.axhline(value, linestyle="--", linewidth=1, color="#888")
        axes.annotate(label, (1.0, value), xycoords=("axes fraction", "data"), fontsize=7, color="#666",
                      ha="right", va="bottom")  # fmt: skip
    axes.set_xlabel("samples seen")
    axes.set_ylabel(ylabel)
    if log:
        axes.set_yscale("symlog")
    axes.grid(alpha=0.25)
    if len(lines) > 1:
        axes.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return data_address(Image.open(buffer))
