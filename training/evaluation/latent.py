"""The codes of a trained encoder: a map of the shapes, and what lies between them.

    latent.npz          id, category, split (N,), code (N, Z) f4, pca (N, 2), tsne (N, 2) f4, umap (N, 2)
                        where the umap package is there, thumbnail (N, T, T, 3) u8 of the picture encoded
    interpolations.npz  ids (K, 2), image (K, 2, S, S, 3) u8, bits (K, steps, P / 8) u8, iou_ends (K, 2) f4;
                        sum_ids (A, 3), sum_image (A, 3, S, S, 3), sum_bits (A, 4, P / 8): the three
                        reconstructions a, b, c and the shape of the code a - b + c

Codes are posterior means of one picture a shape (k pictures for multi-view networks), chosen by
hash.  PCA: the first two principal components of the codes.  t-SNE: van der Maaten and Hinton 2008,
scikit-learn's, started from PCA.  Interpolation is linear in the codes and arithmetic adds them
(both in Wu et al. 2016, arXiv 1610.07584).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32, Int64, Shaped, UInt8
from PIL import Image
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from pipeline.conventions import Array
from training.data.shapes import ShapeData
from training.inference.model import Model
from training.inference.predict import (
    Objects,
    by_hash,
    chosen,
    codes_of,
    decode,
    neighbouring_views,
    pictures_of,
    truth,
)
from training.metrics import voxels as metrics

Arrays = dict[str, npt.NDArray[Any]]
Rows = Int64[Array, "K n"]  # n shapes that belong together
Codes = Float32[Array, "N Z"]
THUMBNAIL_PX = 40


def latent_map(model: Model, splits: dict[str, ShapeData], count: int) -> Arrays:
    """Codes and coordinates of at most `count` shapes, shared out among the splits by their sizes."""
    total = sum(map(len, splits.values()))
    tables = []
    for split, data in splits.items():
        objects = chosen(data, -(-count * len(data) // max(total, 1)), "latent map")
        views = neighbouring_views(data, objects, model.networks.coding.views)
        pictures = pictures_of(data, objects, views[:, 0])
        tables.append(
            {
                "id": np.array([data.records[i].shape_id for i in objects], np.str_),
                "category": np.array([data.records[i].category for i in objects], np.str_),
                "split": np.array([split] * len(objects), np.str_),
                "code": codes_of(model.networks, data, objects, views),
                "thumbnail": _thumbnails(pictures),
            }
        )
    out = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return out | coordinates(out["code"], model.settings.seed)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for scikit-learn: sums of many would come in another order on another machine.

    Without OMP_NUM_THREADS it counts the physical cores, and warns where a container hides them.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def coordinates(codes: Codes, seed: int) -> Arrays:
    """(N, 2) places of the codes on each map; zeros where there are too few codes for one."""
    with one_thread():
        return _coordinates(codes, seed)


def _coordinates(codes: Codes, seed: int) -> Arrays:
    out: Arrays = {"pca": principal(codes), "tsne": np.zeros((len(codes), 2), np.float32)}
    if len(codes) > 4 and np.ptp(codes, axis=0).any():
        perplexity = min(30.0, (len(codes) - 1) / 3)
        machine = TSNE(2, perplexity=perplexity, init="pca", random_state=seed % 2**31, n_jobs=1)
        out["tsne"] = machine.fit_transform(codes).astype(np.float32)
        if importlib.util.find_spec("umap"):
            from umap import UMAP

            out["umap"] = UMAP(random_state=seed % 2**31, n_jobs=1).fit_transform(codes).astype(np.float32)
    return out


def principal(codes: Codes) -> Float32[Array, "N 2"]:
    """(N, 2) the first two principal components; the largest coordinate of each is positive."""
    if len(codes) < 2:
        return np.zeros((len(codes), 2), np.float32)
    centred = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = np.zeros((len(codes), 2))
    count = min(2, len(values))
    found[:, :count] = left[:, :count] * values[:count]
    signs = np.sign(found[np.abs(found).argmax(0), [0, 1]])
    return np.asarray(found * np.where(signs == 0, 1, signs), np.float32)


def interpolations(model: Model, data: ShapeData, pairs: int, steps: int, threshold: int) -> Arrays:
    """Shapes between `pairs` pairs of held-out pictures, and `pairs` sums a - b + c of codes."""
    order = by_hash(data, "between")
    couples = np.array(_groups(order, data, pairs, 2), np.int64).reshape(-1, 2)
    triples = np.array(_groups(order[::-1], data, pairs, 3), np.int64).reshape(-1, 3)
    weights = np.linspace(0, 1, steps, dtype=np.float32)
    between = [(1 - w) * a + w * b for a, b in _codes(model, data, couples) for w in weights]
    sums = [code for a, b, c in _codes(model, data, triples) for code in (a, b, c, a - b + c)]
    shape = (-1, steps, data.resolution**3 // 8)
    bits, sum_bits = (decode(model.networks, codes, data.resolution) >= threshold for codes in (between, sums))
    ends = bits.reshape(-1, steps, data.resolution**3)[:, [0, -1]].reshape(-1, data.resolution**3)
    return {
        "ids": _ids(data, couples),
        "image": _pictures(model, data, couples),
        "bits": np.packbits(bits, axis=1).reshape(shape),
        "iou_ends": metrics.iou(ends, truth(data, couples.reshape(-1))).reshape(-1, 2).astype(np.float32),
        "sum_ids": _ids(data, triples),
        "sum_image": _pictures(model, data, triples),
        "sum_bits": np.packbits(sum_bits, axis=1).reshape(-1, 4, shape[2]),
    }


def _codes(model: Model, data: ShapeData, rows: Rows) -> Float32[Array, "K n Z"]:
    """(K, n, Z) for rows (K, n) of objects."""
    flat = rows.reshape(-1)
    codes = codes_of(model.networks, data, flat, neighbouring_views(data, flat, model.networks.coding.views))
    return codes.reshape(*rows.shape, model.networks.coding.latent)


def _pictures(model: Model, data: ShapeData, rows: Rows) -> UInt8[Array, "K n S S 3"]:
    flat = rows.reshape(-1)
    views = neighbouring_views(data, flat, model.networks.coding.views)[:, 0]
    return pictures_of(data, flat, views).reshape(*rows.shape, data.size_px, data.size_px, 3)


def _ids(data: ShapeData, rows: Rows) -> Shaped[Array, "K n"]:
    return np.array([data.records[i].shape_id for i in rows.reshape(-1)], np.str_).reshape(rows.shape)


def _groups(order: Objects, data: ShapeData, count: int, size: int) -> list[list[int]]:
    """`count` groups of shapes: the last of another category than the first, those between of the same, if any are."""
    out = []
    for number in range(count if len(order) else 0):
        start = number * size % len(order)
        group = [int(order[start])]
        rest = [int(i) for i in np.roll(order, -start)[1:]] or group
        for place in range(1, size):
            same = place < size - 1
            fitting = [i for i in rest if i not in group and (data.labels[i] == data.labels[group[0]]) == same]
            group.append((fitting or rest)[0])
        out.append(group)
    return out


def _thumbnails(pictures: UInt8[Array, "N S S 3"]) -> UInt8[Array, "N T T 3"]:
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    out = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in pictures]
    return np.array(out, np.uint8).reshape(-1, *size, 3)
