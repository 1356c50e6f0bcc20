"""What the discriminator has learned, judged by a linear classifier on its features.

Table 1 of Wu et al. 2016 (arXiv 1610.07584): the activations of the discriminator's second to fourth
convolution, max-pooled with kernels 8, 4 and 2 and put side by side, feed a linear SVM.  At 64^3
and full width 128 @ 16^3, 256 @ 8^3 and 512 @ 4^3 give 2^3 cells each, 7,168 numbers; at other
resolutions the kernels are those that leave 2^3 cells (4, 2 and 1 at 32^3: 3,584 numbers).

The SVM is scikit-learn's, one against one, on the matrix of inner products, which costs the same
for any number of features; its C is chosen on validation shapes.  Beside it, on the same shapes:
the most frequent category, an SVM on the voxels themselves, and one on the features of a
discriminator with random weights.  The paper's protocol trains the networks on ShapeNet and the
SVM on ModelNet's training shapes: name that data set in `evaluation.classify_on`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32, Shaped
from sklearn.svm import SVC

from pipeline.conventions import Array
from pipeline.errors import UserError
from training.data.batches import unpack_bits
from training.data.shapes import ShapeData
from training.inference.model import Model, networks_of
from training.inference.predict import BATCH
from training.metrics import intervals
from training.networks import checkpoint
from training.networks.build import initialise
from training.networks.codes import REAL
from training.networks.volumes import Discriminator

CELLS = 2  # along each side, of every layer
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # candidates for C
Features = Float32[Array, "N F"]
Names = Shaped[Array, " N"]  # of categories


def classify(model: Model, train: ShapeData, tuning: ShapeData | None, test: ShapeData) -> dict[str, Any]:
    """Accuracy on `test` of SVMs trained on `train`, with intervals over shapes; or why there is none.

    `tuning` chooses C; None, or no shapes, leaves it at 1.
    """
    categories = sorted({record.category for record in train.records})
    known = {record.category for record in test.records}
    if len(categories) < 2:
        return {"skipped": f"{len(categories)} category; at least two are needed"}
    if not known:
        return {"skipped": "no test shapes"}
    discriminator = load_discriminator(model)
    ways: dict[str, Callable[[ShapeData], Features]] = {"voxels": voxels_of}
    if discriminator is not None:
        random = networks_of(model.settings, model.header)
        # Weights of another seed than the run's: what the architecture gives without any learning.
        initialise(random, model.settings.seed + 1, he=random.he)
        assert random.D is not None
        blank = random.D.requires_grad_(False).eval().to(next(discriminator.parameters()).device)
        ways |= {
            "random_weights": lambda data: features(blank, data),
            "discriminator": lambda data: features(discriminator, data),
        }

    sets = [train, test] if tuning is None or not len(tuning) else [train, test, tuning]
    labels = [np.array([record.category for record in data.records]) for data in sets]
    names, counts = np.unique(labels[0], return_counts=True)
    scores: dict[str, Any] = {"majority": _accuracy(labels[1] == names[counts.argmax()], model)}
    for name, of in ways.items():
        rows = [of(data) for data in sets]
        predicted, penalty = svm(rows[0], labels[0], rows[1], *((rows[2], labels[2]) if len(sets) > 2 else ()))
        right = predicted == labels[1]
        scores[name] = {**_accuracy(right, model), "numbers": rows[0].shape[1], "C": penalty}
    return {
        "categories": categories,
        "shapes": {"train": len(train), "tuning": 0 if tuning is None else len(tuning), "test": len(test)},
        # A category without a training shape cannot be named: those test shapes count as wrong.
        "unseen": sum(record.category not in categories for record in test.records),
        "accuracy": scores,
    }


def classify_shards(model: Model, shards: Sequence[Path]) -> dict[str, Any]:
    """The same on all shapes of any data sets, with their own splits (ModelNet: the official ones)."""
    train, val, test = (ShapeData.open(shards, split) for split in ("train", "val", "test"))
    if train.resolution != model.header.resolution:
        raise UserError(
            "the shapes to classify have another resolution than the run",
            where=str(shards[0]),
            got=f"{train.resolution}^3",
            wanted=f"{model.header.resolution}^3",
            do="make them with the same `voxels.resolution`",
        )
    return {**classify(model, train, val, test), "measured_on": "test"}


def load_discriminator(model: Model) -> Discriminator | None:
    """D of the model's checkpoint; None for runs without one and for exported models, which leave it out."""
    device = next(model.networks.parameters()).device
    networks = networks_of(model.settings, model.header)
    if networks.D is None:
        return None
    _, tensors = checkpoint.load(model.path, device)
    prefix = "networks.D."
    if not any(name.startswith(prefix) for name in tensors):
        return None
    checkpoint.load_weights(networks.D, tensors, prefix, model.path)
    return networks.D.to(device).requires_grad_(False).eval()


@torch.no_grad()
def features(discriminator: Discriminator, data: ShapeData) -> Features:
    """(N, F) pooled activations of layers 2-4 of every shape, as for real shapes."""
    device = next(discriminator.parameters()).device
    out = []
    for start in range(0, len(data), BATCH):
        bits = torch.from_numpy(data.voxels_bits[start : start + BATCH]).to(device)
        layers = discriminator.features(unpack_bits(bits).float(), REAL)[1:]
        pooled = [F.adaptive_max_pool3d(x.float(), min(CELLS, x.shape[-1])).flatten(1) for x in layers]
        out.append(torch.cat(pooled, 1).cpu().numpy())
    width = len(out[0][0]) if out else 0
    return np.concatenate(out) if out else np.zeros((0, width), np.float32)


def voxels_of(data: ShapeData) -> Features:
    """(N, P) the occupancy itself."""
    return np.unpackbits(data.voxels_bits, axis=1, count=data.resolution**3).astype(np.float32)


def svm(
    train: Features,
    labels: Names,
    test: Float32[Array, "M F"],
    tuning: Float32[Array, "T F"] | None = None,  # C is the smallest of the best on these; without them it is 1
    tuning_labels: Shaped[Array, " T"] | None = None,
) -> tuple[Shaped[Array, " M"], float]:
    """Labels of `test`, and the C they took."""
    # One scale for all features keeps their proportions and makes C mean the same for every kind of feature.
    scale = float(np.sqrt(np.square(train).sum(1).mean())) or 1.0
    train = train / scale
    inner = (train @ train.T).astype(np.float64)
    machines = {
        penalty: SVC(kernel="precomputed", C=penalty).fit(inner, labels)
        for penalty in (PENALTIES if tuning is not None else (1.0,))
    }
    best = 1.0
    if tuning is not None:
        products = ((tuning / scale) @ train.T).astype(np.float64)
        right = {c: float((m.predict(products) == tuning_labels).mean()) for c, m in machines.items()}
        best = max(machines, key=lambda c: (right[c], -c))
    return machines[best].predict(((test / scale) @ train.T).astype(np.float64)), best


def _accuracy(right: Bool[Array, " N"], model: Model) -> dict[str, float]:
    return intervals.bootstrap(right.astype(np.float64), model.settings.seed).as_json()
