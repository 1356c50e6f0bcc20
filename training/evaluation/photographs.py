"""A trained network judged on photographs of known objects, which it has never seen.

    python -m training evaluate-photographs --run runs/demo --photographs ikea.npz --shards ... -o ikea.json

Table 2 of Wu et al. 2016 is average precision at the resolution of the photographs' own voxels
(IKEA: 20^3), the mean over classes, each prediction aligned with the truth (training/metrics/alignment.py).
Here both, with and without alignment, for the network and for the baselines beside it:

    chance            a random number for every voxel; without alignment its precision is the occupancy
    mean_shape        the mean of the training shapes
    random_shape      a training shape drawn for each photograph
    nearest_pixels    the training shape whose picture is nearest to the photograph
    nearest_training  privileged: the training shape nearest to the truth, over the 48 orientations

At 32^3 (Pix3D) nothing is aligned, as in that set's own protocol (training/metrics/pix3d.py).
A network's R^3 probabilities become the set's voxels by the share of each that they cover.  Objects of
the sets fill their cube; where the training shapes fill only the middle of theirs (3DShapeNets': 24 of
30 voxels), that middle is what becomes the set's voxels, for the network and for the baselines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float32, UInt8

from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.photographs import Photographs, load_photographs
from pipeline.meshes.orient import ORIENTATIONS
from pipeline.pictures.at_object import cropped, window_around
from pipeline.progress import Log
from pipeline.seeds import generator
from training.data.pictures import normalised
from training.data.shapes import ShapeData
from training.evaluation import baselines
from training.inference.model import Model
from training.inference.predict import BATCH, Objects, chosen, mean_levels, truth
from training.inference.reconstruct import require_pictures
from training.metrics import alignment, intervals
from training.metrics import pix3d as pix3d_scores
from training.metrics import voxels as metrics
from training.metrics.alignment import Aligned, Field
from training.metrics.distances import iou_matrix
from training.metrics.voxels import Floats

ALIGNED_UP_TO = 20  # voxels a side: the IKEA set; alignment is not part of Pix3D's protocol
NEAREST = 4096  # training shapes among which the nearest to the truth is searched
PRIVILEGED = ("nearest_training",)


def evaluate_photographs(
    model: Model,
    path: Path,  # what `python -m pipeline photographs` wrote
    train: ShapeData | None,  # for the baselines; None leaves all but chance out
    threshold: int,  # level 1 ... 255 for IoU
    *,
    log: Log | None = None,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Scores with intervals, and for each photograph the arrays that a page shows; see docs/metrics.md."""
    photographs = load_photographs(path)
    _require_fit(model, photographs, path)
    if model.settings.crop != "none":
        photographs = dataclasses.replace(photographs, images=with_margin(photographs.images))
    truths, side = photographs.voxels, photographs.voxels.shape[1]
    frame = filled_side(train) if train is not None and len(train) else model.header.resolution
    fields = {"network": [to_side(field, side, frame) for field in network_fields(model, photographs.images)]}
    fields |= _others(photographs, train, frame, model.settings.seed)

    # Align every prediction where the protocol does so; the network's first, for it is what is waited for.
    aligned = {}
    for name, predictions in fields.items():
        if side <= ALIGNED_UP_TO:
            title = f"{path.stem}: {name.replace('_', ' ')}"
            aligned[name] = alignment.align_all(
                predictions, list(truths), title, threads=torch.get_num_threads(), log=log
            )
        else:
            plain = [alignment.average_precision(f, t) for f, t in zip(predictions, truths, strict=True)]
            aligned[name] = [Aligned(value, value, 0, (0, 0, 0)) for value in plain]

    cut = threshold / 255
    rows = {name: _rows(fields[name], found, truths, cut) for name, found in aligned.items()}
    scores: dict[str, Any] = {
        "photographs": len(truths),
        "objects": len(set(photographs.object)),
        "rejected": len(photographs.rejects),
        "voxels": side,
        "frame": frame,
        "aligned": side <= ALIGNED_UP_TO,
        "threshold": round(cut, 6),
        "occupancy": intervals.object_mean(truths.mean((1, 2, 3)), photographs.object, model.settings.seed).as_json(),
        "scores": {
            name: {"privileged": name in PRIVILEGED, **_summary(values, photographs, model.settings.seed)}
            for name, values in rows.items()
        },
    }
    if side > ALIGNED_UP_TO:
        official = pix3d_scores.scores(fields["network"], list(truths), model.settings.seed, log=log)
        scores["pix3d"] = _summary(official.rows, photographs, model.settings.seed)
        scores["pix3d"]["iou_threshold"] = official.threshold
    return scores, _arrays(photographs, fields["network"], aligned["network"], rows["network"], threshold)


@torch.no_grad()
def network_fields(model: Model, images: UInt8[Array, "N S S 3"]) -> Float32[Array, "N R R R"]:
    """(N, R, R, R) probabilities for photographs (N, S, S, 3), one picture each: `Networks.answer`."""
    networks, out = model.networks, []
    for start in range(0, len(images), BATCH):
        pictures = torch.from_numpy(images[start : start + BATCH]).to(networks.device)[:, None]
        out.append(networks.answer(normalised(pictures))[:, 0].float().cpu().numpy())
    return np.concatenate(out)


def with_margin(images: UInt8[Array, "N S S 3"]) -> UInt8[Array, "N S S 3"]:
    """Photographs that end at the box of their object, with the margin that pictures cropped at alpha have."""
    size_px = images.shape[1]
    window = window_around(0, 0, size_px, size_px)
    return np.stack([cropped(image, window, size_px) for image in images])


def filled_side(train: ShapeData) -> int:
    """Side, in voxels, of the middle cube that the training shapes fill: the median of their longest extents."""
    known = chosen(train, NEAREST, "filled side")
    grids = truth(train, known).reshape(len(known), *(train.resolution,) * 3)
    extents = [
        max(int(np.ptp(np.flatnonzero(grid.any(axis=others)))) + 1 for others in ((1, 2), (0, 2), (0, 1)))
        for grid in grids
        if grid.any()
    ]
    side = int(np.median(extents)) if extents else train.resolution
    return min(train.resolution, side + (train.resolution - side) % 2)  # the middle of an even grid is even


def to_side(field: Field, side: int, frame: int | None = None) -> Float32[Array, "{side} {side} {side}"]:
    """The middle (frame)^3 of (R, R, R) -> (side)^3: each new voxel is the mean over the volume that it covers."""
    old = len(field) if frame is None else frame
    if len(field) == old == side:
        return np.ascontiguousarray(field, np.float32)
    # Overlap of new cell i with old cell j, both as intervals of the frame's [0, 1].
    cells = np.arange(len(field)) - (len(field) - old) / 2
    low = np.maximum(np.arange(side)[:, None] / side, cells / old)
    high = np.minimum(np.arange(1, side + 1)[:, None] / side, (cells + 1) / old)
    share = np.maximum(high - low, 0) * side
    return np.asarray(np.einsum("ia,jb,kc,abc->ijk", share, share, share, field, optimize=True), np.float32)


def _require_fit(model: Model, photographs: Photographs, path: Path) -> None:
    require_pictures(model)
    if photographs.images.shape[1] != model.header.size_px:
        raise UserError(
            "the photographs have another size than the network's pictures",
            where=str(path),
            got=f"{photographs.images.shape[1]} px",
            wanted=f"{model.header.size_px} px",
            do="make them again with `python -m pipeline photographs` and that size_px",
        )


def _others(photographs: Photographs, train: ShapeData | None, frame: int, seed: int) -> dict[str, list[Field]]:
    """What each baseline says of every photograph."""
    truths, side = photographs.voxels, photographs.voxels.shape[1]
    noise = [generator(seed, "chance", name).random((side,) * 3, np.float32) for name in photographs.picture]
    if train is None or not len(train):
        return {"chance": noise}

    def shapes(places: Objects) -> list[Field]:
        grid = (train.resolution,) * 3
        return [to_side(truth(train, np.array([i]))[0].reshape(grid).astype(np.float32), side, frame) for i in places]

    mean = mean_levels(train, np.arange(len(train))).reshape((train.resolution,) * 3)
    drawn = [int(generator(seed, "random shape", name).integers(0, len(train))) for name in photographs.picture]
    return {
        "chance": noise,
        "mean_shape": [to_side((mean / 255).astype(np.float32), side, frame)] * len(truths),
        "random_shape": shapes(np.array(drawn)),
        "nearest_pixels": shapes(baselines.PictureBank(train).nearest(photographs.images)),
        "nearest_training": shapes(_nearest_to_truth(photographs, train, shapes)),
    }


def _nearest_to_truth(photographs: Photographs, train: ShapeData, shapes: Callable[[Objects], list[Field]]) -> Objects:
    """(N,) the training shape with the highest IoU with the truth in any of its 48 orientations."""
    known = chosen(train, NEAREST, "nearest training shape")
    packed = np.stack([np.packbits(field.reshape(-1) >= 0.5) for field in shapes(known)])
    found: dict[str, int] = {}
    for name, grid in zip(photographs.object, photographs.voxels, strict=True):
        if name not in found:
            turned = [np.packbits(alignment.oriented(grid, n).reshape(-1)) for n in range(len(ORIENTATIONS))]
            found[name] = int(known[iou_matrix(np.stack(turned), packed).max(0).argmax()])
    return np.array([found[name] for name in photographs.object], np.int64)


def _rows(fields: list[Field], aligned: list[Aligned], truths: Bool[Array, "N R R R"], cut: float) -> dict[str, Floats]:
    """(N,) every score of every photograph."""
    flat = truths.reshape(len(truths), -1)
    moved = [alignment.apply(field, found) for field, found in zip(fields, aligned, strict=True)]
    return {
        "ap": np.array([found.plain for found in aligned]),
        "ap_aligned": np.array([found.best for found in aligned]),
        "iou": metrics.iou(np.stack([f.reshape(-1) for f in fields]) >= cut, flat),
        "iou_aligned": metrics.iou(np.stack([f.reshape(-1) for f in moved]) >= cut, flat),
    }


def _summary(rows: dict[str, Floats], photographs: Photographs, seed: int) -> dict[str, Any]:
    """Mean over classes, mean over photographs, and each class; whole objects are resampled."""
    objects, categories = np.array(photographs.object), np.array(photographs.category)
    members = {str(name): categories == name for name in np.unique(categories)}
    return {
        score: {
            "class_mean": intervals.class_mean(values, photographs.object, photographs.category, seed).as_json(),
            "photograph_mean": intervals.object_mean(values, photographs.object, seed).as_json(),
            "classes": {
                name: intervals.object_mean(values[here], objects[here].tolist(), seed).as_json()
                for name, here in members.items()
            },
        }
        for score, values in rows.items()
    }


def _arrays(
    photographs: Photographs, fields: list[Field], aligned: list[Aligned], rows: dict[str, Floats], threshold: int
) -> dict[str, npt.NDArray[Any]]:
    """One row a photograph, sorted by average precision after alignment, worst first."""
    order = np.argsort(rows["ap_aligned"], kind="stable")
    levels = np.stack([metrics.quantise(field).reshape(-1) for field in fields])
    moved = [metrics.quantise(alignment.apply(f, found)).reshape(-1) for f, found in zip(fields, aligned, strict=True)]
    return {
        "picture": np.array(photographs.picture)[order],
        "category": np.array(photographs.category)[order],
        "object": np.array(photographs.object)[order],
        "image": photographs.images[order],
        "truth": np.packbits(photographs.voxels.reshape(len(levels), -1), axis=1)[order],
        "levels": levels[order],
        "aligned_levels": np.stack(moved)[order],
        "orientation": np.array([found.orientation for found in aligned], np.uint8)[order],
        "shift": np.array([found.shift for found in aligned], np.int8)[order],
        "threshold": np.array(threshold, np.uint8),
        **{name: values[order].astype(np.float32) for name, values in rows.items()},
    }
