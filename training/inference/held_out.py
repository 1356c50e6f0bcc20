"""What an exported model was measured on, kept beside its weights, so that every copy can be checked.

    held-out.npz        id, category (N,), image (N, S, S, 3) u8, truth (N, R^3 / 8) u8 packed bits,
                        threshold u8, iou (N,) f4: what the model made of each picture when exported

The rows are those of predictions.npz: one picture, chosen by hash, of every held-out shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.npz import write_npz
from pipeline.formats.zipped import damage_as
from training.inference.model import Model
from training.inference.reconstruct import reconstruct_each
from training.metrics import voxels as metrics

HELD_OUT, PREDICTIONS = "held-out.npz", "predictions.npz"  # of an exported folder, of a run
TOLERANCE = 0.005  # other processors round otherwise, which moves a few voxels of some shapes
FEWEST, MOST = 8, 256  # pictures that another one can be compared with


@dataclass(frozen=True)
class Checked:
    """Mean IoU over N held-out shapes: as stated, and as this copy makes it on this machine."""

    shapes: int
    stated: float
    found: float

    @property
    def same(self) -> bool:
        return abs(self.stated - self.found) <= TOLERANCE


def write_held_out(model: Model, run: Path, folder: Path) -> list[Path]:
    """Write held-out.npz of a run's or an exported folder's pictures; nothing where one picture is not enough."""
    path = path_of(run)
    if path is None or not (model.networks.reads_pictures and model.networks.coding.views == 1):
        return []
    write_npz(folder / HELD_OUT, **read_held_out(path))
    return [folder / HELD_OUT]


def known_pictures(run: Path) -> UInt8[Array, "N S S 3"] | None:
    """Up to MOST held-out pictures of a run or an exported folder, spread evenly; None where there are too few."""
    path = path_of(run)
    if path is None:
        return None
    try:
        images: UInt8[Array, "N S S 3"] = read_held_out(path)["image"]
    except UserError:  # `check` tells it; a photograph can be reconstructed without
        return None
    if len(images) < FEWEST:
        return None
    return images[np.arange(min(len(images), MOST)) * len(images) // min(len(images), MOST)]


def path_of(run: Path) -> Path | None:
    """The file that holds the held-out pictures of a run or an exported folder."""
    return next((path for name in (HELD_OUT, PREDICTIONS) if (path := run / name).is_file()), None)


def read_held_out(path: Path) -> dict[str, Array]:
    """The members of held-out.npz that this module describes, from it or from predictions.npz."""

    def unreadable(problem: str) -> UserError:
        return UserError(
            "there is nothing to check this model against",
            where=str(path),
            got=problem,
            wanted=f"a folder of `python -m training export`, made of an evaluated run; it holds {HELD_OUT}",
            do="evaluate the run (`snakemake evaluate_all`) and export it again",
        )

    with (
        damage_as(unreadable),
        open(path, "rb") as opened,
        np.load(opened, allow_pickle=False) as file,
    ):
        return {name: file[name] for name in ("id", "category", "image", "truth", "threshold", "iou")}


def check(model: Model, folder: Path) -> Checked:
    """Reconstruct every picture of the folder again; a UserError where the folder has none."""
    kept = read_held_out(folder / HELD_OUT)
    images, truth, threshold, iou = (kept[name] for name in ("image", "truth", "threshold", "iou"))
    answers = np.unpackbits(truth, axis=1, count=model.header.resolution**3).astype(bool)
    levels = reconstruct_each(model, images).reshape(answers.shape)
    found = metrics.iou(levels >= threshold, answers)
    return Checked(len(images), float(iou.mean()), float(found.mean()))
