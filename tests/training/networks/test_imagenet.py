"""Encoders that begin with ImageNet's weights, tested with random ones in the layout that torchvision documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from pipeline.errors import UserError
from tests.training.networks.test_networks import count_parameters
from tests.training.tiny_world import fixed, settings
from training.data.shapes import ShapeData
from training.inference.export import export
from training.inference.model import Model, load_model, networks_of
from training.inference.reconstruct import reconstruct
from training.loop import build
from training.networks.checkpoint import Header
from training.networks.encoders import ImageNetEncoder
from training.networks.imagenet import Body, begin_with
from training.run.files import identity

CPU = torch.device("cpu")
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
# https://pytorch.org/vision/stable/models.html, with the classifier of 1,000 classes.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


def layout(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state dict."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    last, expansion = 64, 4 if kind == "resnet50" else 1
    for stage, blocks in enumerate(BLOCKS[kind]):
        inner = 64 * 2**stage
        outer = inner * expansion
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}"
            kernels = ((inner, last, 1), (inner, inner, 3), (outer, inner, 1))
            for n, (out, into, side) in enumerate(
                kernels if expansion == 4 else ((inner, last, 3), (inner, inner, 3)), start=1
            ):
                shapes |= {f"{at}.conv{n}.weight": (out, into, side, side), **norm(f"{at}.bn{n}", out)}
            if last != outer:
                shapes |= {f"{at}.downsample.0.weight": (outer, last, 1, 1), **norm(f"{at}.downsample.1", outer)}
            last = outer
    return shapes | {"fc.weight": (1000, last), "fc.bias": (1000,)}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def weights(kind: str) -> dict[str, torch.Tensor]:
    """Random ones, with variances above 0."""
    source = fixed()
    found: dict[str, torch.Tensor] = {}
    for name, shape in layout(kind).items():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(7)
        else:
            value = torch.randn(shape, generator=source)
            found[name] = value.abs() + 0.5 if name.endswith("running_var") else value * 0.05
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagenet") / "resnet18.pth"
    torch.save(weights("resnet18"), path)
    return path


@pytest.mark.parametrize("kind", BLOCKS)
def test_names_shapes_and_counts_are_the_published_ones(kind: str) -> None:
    shapes, fc = layout(kind), sum(int(np.prod(layout(kind)[f"fc.{part}"])) for part in ("weight", "bias"))
    with torch.device("meta"):
        body = Body(kind, 1.0)
    assert count_parameters(body) + fc == PUBLISHED[kind]
    ours = {name: tuple(value.shape) for name, value in body.state_dict().items()}
    theirs = {name: shape for name, shape in shapes.items() if not name.startswith("fc.") and shape}
    assert ours.keys() == theirs.keys()
    assert {n: s[1:] if "running" in n else s for n, s in ours.items()} == theirs


def oracle(images: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, 512) what torchvision's resnet18 has before its classifier, for pictures in [0, 1]."""

    def bn(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias)

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean[:, None, None]) / deviation[:, None, None]
    x = F.max_pool2d(F.relu(bn(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), "bn1")), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(bn(F.conv2d(x, w[f"{at}.conv1.weight"], stride=stride, padding=1), f"{at}.bn1"))
            y = bn(F.conv2d(y, w[f"{at}.conv2.weight"], padding=1), f"{at}.bn2")
            if stride == 2:
                x = bn(F.conv2d(x, w[f"{at}.downsample.0.weight"], stride=2), f"{at}.downsample.1")
            x = F.relu(x + y)
    return x.mean((2, 3))


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_encoder_begins_as_the_network_of_the_file(wrapped: bool, file: Path, tmp_path: Path, boxes: Path) -> None:
    """Features in use are those of the published network for pictures normalised as it wants them."""
    found, path = weights("resnet18"), file
    if wrapped:
        path = tmp_path / "weights.safetensors"
        save_file(found, path)
    experiment = settings(encoder="resnet18", encoder_width=1, encoder_weights=str(path), warm_start={"autoencode": 0})
    networks, average = build(experiment, ShapeData.open([boxes], "train"), CPU)
    images = torch.rand(2, 3, 64, 64, generator=fixed())
    for made in (networks.E, average.networks.E):
        assert isinstance(made, ImageNetEncoder)
        with torch.no_grad():
            features = made.body.eval()(images * 2 - 1)[1].mean((2, 3))
        torch.testing.assert_close(features, oracle(images, found), rtol=1e-3, atol=1e-4)


def test_weights_under_a_key_are_found(file: Path, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": torch.load(file, weights_only=True)}, tmp_path / "w.pth")
    body = Body("resnet18", 1.0)
    begin_with(body, tmp_path / "w.pth")
    last = "layer4.1.bn2.running_var"
    assert torch.equal(body.state_dict()[last][0], weights("resnet18")[last])


class Touch:
    """What a pickle could do to whoever opens it."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_what_does_not_fit_is_named_and_nothing_is_run(file: Path, tmp_path: Path) -> None:
    body, found, path = Body("resnet18", 1.0), weights("resnet18"), tmp_path / "w.pth"
    wrong = {
        "no layer1.0.conv1.weight": {k: v for k, v in found.items() if k != "layer1.0.conv1.weight"},
        "layer1.2.conv1.weight, which it has not": {**found, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)},
        r"conv1.weight\n  got: \(64, 3, 3, 3\)": {**found, "conv1.weight": torch.zeros(64, 3, 3, 3)},
        "bn1.bias\n  got: numbers that are not finite": {**found, "bn1.bias": torch.full((64,), torch.nan)},
        "something else than tensors": {"state_dict": {"lr": 0.1}},
    }
    for message, values in wrong.items():
        torch.save(values, path)
        with pytest.raises(UserError, match=message):
            begin_with(body, path)
    torch.save({"conv1.weight": Touch(tmp_path / "touched")}, path)
    whole = file.read_bytes()
    broken = [path.read_bytes(), whole[:1000], whole[: len(whole) // 2], whole[7:], b"", b"not", b"\x80\x02}q\x00"]
    for name in ("w.pth", "w.safetensors"):
        for content in broken:
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match="cannot read encoder_weights"):
                begin_with(body, tmp_path / name)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(UserError, match="cannot read encoder_weights"):
        begin_with(body, tmp_path / "absent.pth")


def test_another_content_is_another_training_and_another_place_is_not(boxes: Path, tmp_path: Path) -> None:
    found = {}
    for name, content in (("a.pth", b"one"), ("b.pth", b"one"), ("c.pth", b"two")):
        (tmp_path / name).write_bytes(content)
        changed = settings(encoder="resnet18", encoder_width=1, encoder_weights=str(tmp_path / name))
        found[name] = identity(changed, [boxes])
    assert found["a.pth"] == found["b.pth"] != found["c.pth"]
    with pytest.raises(UserError, match="cannot read encoder_weights"):
        identity(changed.model_copy(update={"encoder_weights": str(tmp_path / "absent")}), [boxes])


def test_an_exported_network_needs_the_file_no_more(tmp_path: Path) -> None:
    experiment = settings(encoder="resnet18", encoder_width=1, encoder_weights=str(tmp_path / "gone" / "w.pth"))
    header = Header("0" * 12, experiment.model_dump(mode="json"), 32, 16, ["box"], samples=8, loop={})
    networks = networks_of(experiment, header).eval()
    networks.D = None  # as in every model
    model = Model(tmp_path, header, experiment, networks)
    export(model, tmp_path / "share", onnx=False)
    again = load_model(tmp_path / "share", CPU)
    assert again.settings.encoder_weights == "w.pth"
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(reconstruct(again, [picture]), reconstruct(model, [picture]))


def test_weights_need_an_encoder_of_their_layout() -> None:
    for changes in ({}, {"encoder": "resnet", "encoder_width": 1}, {"encoder": "resnet18", "encoder_width": 0.5}):
        with pytest.raises(ValueError, match="encoder_weights need an encoder of their layout"):
            settings(**{**changes, "encoder_weights": "w.pth"})
