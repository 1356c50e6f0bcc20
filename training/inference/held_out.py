"""What an exported model was measured on, kept beside its weights, so that every copy can be checked.

    held-out.npz        id, category (N,), image (N, S, S, 3) u8, truth (N, R^3 / 8) u8 packed bits,
                        threshold u8, iou (N,) f4: what the model made of each picture when exported

The rows are those of predictions.npz: one picture, chosen by hash, of every held-out shape.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.npz import write_npz
from training.inference.model import Model
from training.inference.reconstruct import reconstruct
from training.metrics import voxels as metrics

HELD_OUT = "held-out.npz"
TOLERANCE = 0.005  # other processors round otherwise, which moves a few voxels of some shapes


@dataclass(frozen=True)
class Checked:
    """Mean IoU over N held-out shapes: as stated, and as this copy makes it on this machine."""

    shapes: int
    stated: float
    found: float

    @property
    def same(self) -> bool:
        return abs(self.stated - self.found) <= TOLERANCE


def write_held_out(model: Model, predictions: Path, folder: Path) -> list[Path]:
    """Write held-out.npz from predictions.npz; nothing for models that one picture is not enough for."""
    takes_one_picture = model.networks.reads_pictures and model.networks.coding.views == 1
    if not takes_one_picture or not predictions.exists():
        return []
    with np.load(predictions, allow_pickle=False) as known:
        write_npz(folder / HELD_OUT, **{k: known[k] for k in ("id", "category", "image", "truth", "threshold", "iou")})
    return [folder / HELD_OUT]


def check(model: Model, folder: Path) -> Checked:
    """Reconstruct every picture of the folder again; a UserError where the folder has none."""
    path = folder / HELD_OUT
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            images, truth, threshold, iou = (file[name] for name in ("image", "truth", "threshold", "iou"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            "there is nothing to check this model against",
            where=str(path),
            got=str(error),
            wanted=f"a folder of `python -m training export`, made of an evaluated run; it holds {HELD_OUT}",
            do="evaluate the run (`snakemake evaluate_all`) and export it again",
        ) from error
    answers = np.unpackbits(truth, axis=1, count=model.header.resolution**3).astype(bool)
    levels = np.stack([reconstruct(model, [image]) for image in images]).reshape(answers.shape)
    found = metrics.iou(levels >= threshold, answers)
    return Checked(len(images), float(iou.mean()), float(found.mean()))
