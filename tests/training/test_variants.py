"""Every preset of the table trains from config.yaml by its name, and no network moves another."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from pipeline.errors import UserError
from pipeline.settings.config import Config, json_schema, load
from pipeline.settings.parse import parse
from pipeline.settings.training import Experiment, Preset
from pipeline.settings.training_presets import PRESETS
from tests.training.run.test_step import batch
from tests.training.tiny_world import fixed, settings, write_world
from training.data.shapes import ShapeData
from training.inference.model import load_model
from training.inference.predict import predict, truth
from training.loop import training_loop
from training.metrics import voxels as metrics
from training.networks import codes, losses
from training.networks.build import Networks
from training.networks.layers import Convolution, SpectralNorm
from training.run.files import read_metrics
from training.run.step import Step, uses_bf16

RESOLUTIONS = {"small": 32, "somtambe": 32}  # kernel 3 without padding leaves nothing of 16^3


def from_config(preset: str, **changes: object) -> Experiment:
    """The preset as an entry of config.yaml names it, at a tiny width; several views stay several."""
    entry = {
        "datasets": ["boxes"],
        "preset": preset,
        "samples": 200,
        "batch": 4,
        "threads": 1,
        "device": "cpu",
        "latent": 8,
        "width": 0.0625,
        "encoder_width": 0.0625,
        "validate_every": 100,
        "checkpoint_every": 100,
        "log_every": 20,
        **({"views_per_shape": 2} if PRESETS[preset].get("views_per_shape", 1) > 1 else {}),
        **changes,
    }
    config = parse(Config, {"datasets": {"boxes": {"source": "procedural"}}, "experiments": {preset: entry}}, "test")
    return config.experiments[preset]


@pytest.fixture(scope="module")
def worlds(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Indexes of boxes by their voxels a side."""
    return {16: boxes, 32: write_world(tmp_path_factory.mktemp("boxes32"), resolution=32)}


def test_the_table_and_the_type_name_the_same_presets() -> None:
    assert set(typing.get_args(Preset)) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_its_own_json(preset: str) -> None:
    one = Experiment(datasets=("a",), preset=preset)  # type: ignore[arg-type]
    assert Experiment.model_validate_json(one.model_dump_json()) == one
    assert one.model_dump().items() >= PRESETS[preset].items()
    assert Experiment.model_validate({"datasets": ["a"], "preset": preset, "batch": 7}).batch == 7


@pytest.mark.parametrize("steps", [6, pytest.param(50, marks=(pytest.mark.slow, pytest.mark.campaign))])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_with_finite_numbers(
    preset: str, steps: int, worlds: dict[int, Path], tmp_path: Path
) -> None:
    samples = 4 * steps
    experiment = from_config(preset, samples=samples, validate_every=samples // 2, log_every=8)
    result = training_loop(experiment, tmp_path, [worlds[RESOLUTIONS.get(preset, 16)]])
    assert (result["step"], result["rollbacks"], result["preset"]) == (steps, 0, preset)
    values = [value for line in read_metrics(tmp_path) for value in line.values() if isinstance(value, float)]
    assert len(values) > 2 * steps and all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("resolution", [32, 64])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_steps_at_both_resolutions_and_moves_only_its_own(preset: str, resolution: int) -> None:
    """(1) D's step leaves E and G and their gradients, (2) E's step moves E alone, (3) G's step moves G alone."""
    experiment = from_config(preset, adversarial_every=1)
    networks = Networks(experiment, size_px=64, resolution=resolution, categories=2).train()
    step, data = Step.of(experiment, networks), batch(2, experiment.views_per_shape, 64, resolution)
    present = [name for name in "EGD" if getattr(networks, name) is not None]

    def moved_by(act: Callable[[], object]) -> set[str]:
        before = {name: [p.detach().clone() for p in getattr(networks, name).parameters()] for name in present}
        act()
        return {
            name
            for name in present
            if any(not torch.equal(a, b) for a, b in zip(getattr(networks, name).parameters(), before[name]))
        }

    fake = networks.G(torch.randn(2, 8, generator=fixed()), 1).sigmoid()
    assert moved_by(lambda: step.discriminator_step(data["voxels"], fake.detach(), 0, data["labels"])) == {"D"}
    assert all(p.grad is None for name in present for p in getattr(networks, name).parameters())
    if networks.E is not None:
        assert moved_by(lambda: step.encoder_step(data, 0)) == {"E"}
        assert all(p.grad is None for p in networks.E.parameters())
        assert networks.G.first.weight.grad is not None  # waits for (3)
    assert moved_by(lambda: step.generator_step(fake, 0, data["labels"])) == {"G"}
    assert networks.D is not None and all(p.grad is None for p in (*networks.D.parameters(), *networks.G.parameters()))
    assert all(math.isfinite(value) for value in step(data, 1).numbers().values())


VARIANTS: list[dict[str, object]] = [
    {"soft_labels": True, "preset": "paper-3dvaegan"},
    {"prior": "narrow", "preset": "paper-3dgan"},
    {"prior": "normal", "preset": "paper-3dgan"},
    {"bias": True, "leak": 0.1, "reconstruction": "dice", "clip_norm": 1.0},
    {"schedule": "milestones", "milestones": (40,), "milestone_networks": ("D",), "warmup_samples": 16},
    {"colour_jitter": 0.2, "erase": 0.5},
    {"precision": "bf16"},
    {"encoder": "paper", "adversarial": "lsgan"},
    {"warm_start": {"autoencode": 0.3, "encode": 0.3}, "mask_weight": 1.0, "camera_weight": 1.0},
    {"r1_gamma": 0.1, "discriminator_shift": 2, "minibatch_deviation": True, "discriminator_init": "he"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_argument_trains(changes: dict[str, object], boxes: Path, tmp_path: Path) -> None:
    experiment = from_config(**{"preset": "demo", "samples": 40, "adversarial_every": 1, **changes})  # type: ignore[arg-type]
    training_loop(experiment, tmp_path, [boxes])
    values = [value for line in read_metrics(tmp_path) for value in line.values() if isinstance(value, float)]
    assert len(values) > 10 and all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("encoder", ["paper", "strided", "deep", "resnet", "resnet18"])
def test_mask_supervision_tells_the_encoder_where_the_object_is(encoder: str) -> None:
    """Its loss falls down its gradient, which reaches the first layer; nothing else changes."""
    experiment, data = from_config("demo", encoder=encoder, mask_weight=1.0), batch()
    networks = Networks(experiment, size_px=32, resolution=16).train()

    def loss() -> torch.Tensor:
        marks = networks.encode_fully(data["images"]).marks
        assert marks is not None
        return losses.mask_bce(marks, data["masks"].flatten(0, 1).to(marks.dtype)).mean()

    wanted = loss().detach()
    torch.testing.assert_close(Step.of(experiment, networks).encoder_step(data, 0)["mask"], wanted)
    networks.double()
    assert networks.E is not None
    weights, start = list(networks.E.parameters()), loss()
    gradients = torch.autograd.grad(start, weights, allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            weight.data -= 1e-6 * gradient
    assert loss() < start
    networks = Networks(from_config("demo", encoder=encoder, mask_weight=1.0), size_px=32, resolution=16).eval()
    plain = Networks(from_config("demo", encoder=encoder), size_px=32, resolution=16).state_dict()
    with_mask = networks.state_dict()
    assert set(with_mask) - set(plain) == {"E.mask.weight", "E.mask.bias"}
    assert all(torch.equal(plain[name], with_mask[name]) for name in plain)
    assert networks.E is not None
    (gradient,) = torch.autograd.grad(
        networks.E(torch.ones(1, 3, 32, 32))[1].sum(),
        next(parameter for name, parameter in networks.named_parameters() if name.startswith("E.")),
    )
    assert gradient.abs().sum() > 0


def test_mask_supervision_needs_pictures() -> None:
    for changes in ({"encoder_input": "projections"}, {"preset": "paper-3dgan"}):
        with pytest.raises(ValueError, match="mask_weight needs an encoder of pictures"):
            settings(mask_weight=1.0, **changes)


def test_the_page_for_those_who_come_from_elsewhere_names_keys_that_exist() -> None:
    """Its example is a valid experiment; every key of its column exists in some section of config.yaml."""
    text = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    example = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    for entry in yaml.safe_load(example)["experiments"].values():
        assert parse(Experiment, entry, "docs/presets.md").preset == "peers-3dvaegan"
    rows = [line.split("|")[2] for line in text.split("## Arguments")[1].split("##")[0].splitlines() if "|" in line]
    keys = {key for row in rows for code in re.findall(r"`([^`]+)`", row) for key in re.findall(r"^\w+(?=:|$)", code)}
    known = json_schema()
    assert len(keys) > 20 and [key for key in sorted(keys) if f'"{key}"' not in known] == []


def test_every_entry_of_the_table_of_variants_is_valid_and_every_preset_is_there() -> None:
    config = load(Path(__file__).parents[2] / "presets" / "variants.yaml")
    assert {experiment.preset for experiment in config.experiments.values()} == set(PRESETS)
    assert set(PRESETS) <= set(config.experiments)


def test_bf16_is_chosen_where_it_pays() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert not uses_bf16("auto", cpu, 64) and not uses_bf16("auto", cuda, 32)
    assert uses_bf16("bf16", cpu, 32)


@pytest.mark.parametrize("emulated_only", [False, True])
def test_a_gpu_that_only_emulates_bf16_is_not_given_it(emulated_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch calls bf16 supported on GPUs without it too, where it is slower than float32."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or not emulated_only
    )
    assert uses_bf16("auto", torch.device("cuda"), 64) is not emulated_only


@pytest.mark.parametrize(("portable", "wanted"), [(False, "meta"), (True, "cpu")])
def test_noise_is_drawn_on_the_device_and_portable_noise_on_the_cpu(
    portable: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def source(seed: int, step: int, purpose: str, device: torch.device) -> torch.Generator:
        drawn.append(device.type)
        return fixed()

    monkeypatch.setattr(codes, "source_of_noise", source)
    found = codes.noise(1, 2, "prior", (3, 4), torch.device("meta"), portable=portable)
    assert (found.shape, found.device.type, drawn) == ((3, 4), "meta", [wanted])


def test_bf16_is_for_the_networks_alone() -> None:
    """Convolutions give bf16; weights, statistics, singular values and all that a loss is made of are float32."""
    experiment = settings(precision="bf16", adversarial_every=1, discriminator_norm=True, mask_weight=1.0)
    networks = Networks(experiment, size_px=32, resolution=16).train()
    convolved, judged = set(), set()
    for module in networks.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose3d | Convolution):
            module.register_forward_hook(lambda _, __, out: convolved.add(out.dtype))
        if isinstance(module, SpectralNorm):
            module.register_forward_hook(lambda _, __, out: judged.add(out.dtype))
    step = Step.of(experiment, networks)
    generate, judge, encode = step._generate, step._judge, networks.encode_fully

    def noted(act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            out = act(*given)
            judged.update(one.dtype for one in (out if isinstance(out, tuple) else (out,)) if one is not None)
            return out

        return call

    step._generate, step._judge = noted(generate), noted(judge)  # type: ignore[method-assign]
    networks.encode_fully = noted(encode)  # type: ignore[method-assign]
    step(batch(), 0)
    assert convolved == {torch.bfloat16} and judged == {torch.float32}
    assert {value.dtype for value in networks.state_dict().values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler warns of torch's own parts,
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # and of what it looks at
def test_compiled_networks_learn_the_same(boxes: Path, tmp_path: Path) -> None:
    results = {}
    for switch in ("on", "off"):
        experiment = settings(compile=switch, samples=16, adversarial_every=1)
        training_loop(experiment, tmp_path / switch, [boxes])
        results[switch] = [line for line in read_metrics(tmp_path / switch) if line["event"] == "losses"]
    for compiled, plain in zip(results["on"], results["off"], strict=True):
        assert compiled.keys() == plain.keys()
        for name in plain.keys() - {"event"}:
            assert compiled[name] == pytest.approx(plain[name], rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"paper-3dgan", "balanced-3dgan", "r1-3dgan", "somtambe"}))
def test_a_variant_learns_eight_shapes_by_heart(preset: str, tmp_path: Path) -> None:
    """Every variant with an encoder, its adversarial loss at a low weight; losses that let the code carry the shape."""
    index = write_world(tmp_path / "world", 16, RESOLUTIONS.get(preset, 16))
    together = 2 if preset.startswith("mv") else 1
    experiment = settings(
        preset=preset,
        samples=6000,
        encoder_width=0.125,
        width=0.25,
        kl_weight=0.05,
        ema=0.9,
        reconstruction_weight=1.0,
        adversarial_weight=0.5,
        mirror=False,
        validate_every=6000,
        latent=32,
        views_per_shape=together,
    )
    training_loop(experiment, tmp_path / "run", [index])
    model = load_model(tmp_path / "run" / "checkpoints" / "000006000.safetensors", torch.device("cpu"))
    train = ShapeData.open([index], "train")
    objects = np.arange(len(train))
    views = np.tile(np.arange(together), (len(train), 1))
    levels = predict(model.networks, train, objects, views)
    curves = metrics.iou_curve(levels, truth(train, objects))
    assert len(train) == 8 and curves[:, metrics.best_threshold(curves)].mean() >= 0.9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"datasets": []}, "name at least one data set"),
        ({"datasets": ["a"], "preset": "demoo"}, "preset"),
        (
            {"datasets": ["a"], "encoder": "none", "adversarial_weight": 0, "reconstruction_weight": 0},
            "nothing to learn from",
        ),
        ({"datasets": ["a"], "encoder": "none"}, "cannot reconstruct"),
        ({"datasets": ["a"], "encoder_input": "projections", "views_per_shape": 2}, "set views_per_shape to 1"),
        ({"datasets": ["a"], "adversarial": "wgan-gp", "discriminator_norm": True}, "set discriminator_norm to false"),
        ({"datasets": ["a"], "preset": "paper-3dgan", "r1_gamma": 1}, "set discriminator_norm to false"),
        ({"datasets": ["a"], "preset": "wgan-gp", "discriminator_gate": 0.8}, "set discriminator_gate to 1"),
        ({"datasets": ["a"], "warm_start": {"autoencode": 0.2}}, "both `autoencode` and `encode`"),
        ({"datasets": ["a"], "warm_start": {"autoencode": 0.5, "encode": 0.5}}, "no samples for the joint update"),
        (
            {"datasets": ["a"], "preset": "paper-3dgan", "warm_start": {"autoencode": 0.2, "encode": 0.2}},
            "warm_start needs an encoder",
        ),
        ({"datasets": ["a"], "encoder_input": "projections", "camera_weight": 1}, "camera_weight needs an encoder"),
        ({"datasets": ["a"], "sample": 5}, "did you mean 'samples'"),
        ({"datasets": ["a"], "micro_batch": 8}, "key `micro_batch` was removed in 0.2: use a smaller batch"),
        ({"datasets": ["a"], "on_out_of_memory": "halve"}, "key `on_out_of_memory` was removed in 0.2"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_any_job(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Experiment, values, "config.yaml")
