"""The map of the codes and what lies between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import _openmp_helpers

from pipeline.seeds import generator
from tests.training.tiny_world import settings
from training.data.shapes import ShapeData
from training.evaluation import latent
from training.inference.model import Model, load_model
from training.inference.predict import codes_of, decode, neighbouring_views
from training.loop import training_loop
from training.parallel import choose_device


@pytest.fixture(scope="module")
def model(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("run")
    training_loop(settings(samples=64), folder, [boxes])
    return load_model(folder, choose_device("cpu"))


def test_principal_components_of_a_line_and_a_plane() -> None:
    rng = generator(1, "pca")
    plane = rng.normal(size=(50, 2)) * (5, 1)
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    found = latent.principal((plane @ turned + 3).astype(np.float32))
    between = np.linalg.norm(plane[:, None] - plane, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found, axis=-1), between, atol=1e-4)
    assert found.var(0)[0] > found.var(0)[1]
    assert latent.principal(np.zeros((1, 6), np.float32)).tolist() == [[0, 0]]
    assert not latent.principal(np.ones((9, 6), np.float32)).any()


def test_clusters_stay_clusters_on_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody counts the machine's cores for it: in a container that cannot be done, which is a warning."""

    def counted(*_: object, **__: object) -> int:
        raise AssertionError("counted the cores")

    monkeypatch.setattr(_openmp_helpers, "cpu_count", counted)
    monkeypatch.setattr(_openmp_helpers, "_CPU_COUNTS", {})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    rng = generator(2, "tsne")
    codes = (rng.normal(size=(60, 8)) + 20 * (np.arange(60) % 2)[:, None]).astype(np.float32)
    places = latent.coordinates(codes, 1)["tsne"]
    assert np.array_equal(places, latent.coordinates(codes, 1)["tsne"])
    between = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag(np.full(60, np.inf))
    assert (between.argmin(1) % 2 == np.arange(60) % 2).all()


def test_the_map_shows_every_split_with_thumbnails(model: Model, boxes: Path) -> None:
    splits = {name: ShapeData.open([boxes], name) for name in ("train", "val", "test")}
    found = latent.latent_map(model, splits, 12)
    assert np.unique(found["split"], return_counts=True)[1].tolist() == [3, 6, 3]
    assert found["code"].shape == (12, 8) and found["pca"].shape == found["tsne"].shape == (12, 2)
    assert found["thumbnail"].shape == (12, 40, 40, 3) and np.ptp(found["thumbnail"]) > 50
    nothing = latent.latent_map(model, splits, 0)
    assert all(len(values) == 0 for values in nothing.values())


def test_interpolations_begin_and_end_at_the_reconstructions(model: Model, boxes: Path) -> None:
    data = ShapeData.open([boxes], "test")
    found = latent.interpolations(model, data, 3, 5, 100)
    assert found["bits"].shape == (3, 5, 512) and found["image"].shape == (3, 2, 32, 32, 3)
    rows = {record.shape_id: row for row, record in enumerate(data.records)}
    for ids, bits in zip(found["ids"], found["bits"], strict=True):
        objects = np.array([rows[shape_id] for shape_id in ids])
        assert data.labels[objects[0]] != data.labels[objects[1]]
        codes = codes_of(model.networks, data, objects, neighbouring_views(data, objects, 1))
        ends = np.packbits(decode(model.networks, list(codes), 16) >= 100, axis=1)
        assert np.array_equal(bits[[0, -1]], ends)


def test_sums_take_two_of_one_category_and_one_of_another(model: Model, boxes: Path) -> None:
    data = ShapeData.open([boxes], "test")
    found = latent.interpolations(model, data, 2, 3, 100)
    labels = {record.shape_id: label for record, label in zip(data.records, data.labels, strict=True)}
    for a, b, c in found["sum_ids"]:
        assert a != b and labels[a] == labels[b] != labels[c]
    assert found["sum_bits"].shape == (2, 4, 512)


def test_one_shape_is_enough(model: Model, boxes: Path) -> None:
    one = ShapeData.open([boxes], "test", categories=["box"])
    one.records, one.labels, one.voxels_bits = one.records[:1], one.labels[:1], one.voxels_bits[:1]
    found = latent.interpolations(model, one, 1, 3, 100)
    assert len(set(found["ids"][0])) == 1 and (found["bits"][0] == found["bits"][0, 0]).all()
