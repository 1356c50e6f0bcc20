"""Watchers and boards: sabotage that must be survived, alarms where people look, and what the boards get."""

from __future__ import annotations

import inspect
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.settings.training import Experiment
from tests.training.tiny_world import settings
from training.inference.picture import grid_picture
from training.loop import training_loop
from training.networks import checkpoint
from training.run import alarms
from training.run.files import read_metrics
from training.run.step import Step, Values
from training.show.display import ADVICE, Display

CPU = torch.device("cpu")
CAMPAIGN = (pytest.mark.slow, pytest.mark.campaign)
QUICK = (0, 6, 2, 8, 14)  # of the seeds: every way once, NaN and infinity
WAYS = ("voxels", "images", "gradient of E", "gradient of G", "gradient of D")


def sabotage(monkeypatch: pytest.MonkeyPatch, number: int, way: str, value: float) -> None:
    """Put a NaN or an infinity into what batch `number` feeds, or into a gradient that it gives."""
    step_of, move = Step.__call__, Step._move
    now = {"number": -1}

    def step(self: Step, batch: Any, current: int) -> Values:
        now["number"] = current
        if current == number and way in batch:
            batch[way][0, 0, 0, 0, 0] = value
        return step_of(self, batch, current)

    def poisoned_move(self: Step, name: str) -> torch.Tensor:
        if now["number"] == number and way == f"gradient of {name}":
            parameter = next(p for p in getattr(self.networks, name).parameters() if p.grad is not None)
            assert parameter.grad is not None
            parameter.grad.view(-1)[0] = value
        return move(self, name)

    monkeypatch.setattr(Step, "__call__", step)
    monkeypatch.setattr(Step, "_move", poisoned_move)


@pytest.mark.parametrize("seed", [seed if seed in QUICK else pytest.param(seed, marks=CAMPAIGN) for seed in range(20)])
def test_training_survives_a_poisoned_batch(
    seed: int, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty seeded places and ways: back to the last good checkpoint, past that batch, finite to the end."""
    draw = generator(seed, "sabotage")
    number, way, value = int(draw.integers(0, 12)), WAYS[seed % 5], (float("nan"), float("inf"))[seed // 5 % 2]
    sabotage(monkeypatch, number, way, value)
    result = training_loop(settings(adversarial_every=1), tmp_path, [boxes])
    assert (result["rollbacks"], result["skipped_batches"], result["samples"]) == (1, [number], 96)
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in checkpoint.load(path, CPU)[1].values())
    lines = read_metrics(tmp_path)
    (rollback,) = [line for line in lines if line["event"] == "rollback"]
    assert rollback["skipped"] == [number] and rollback["why"]
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))


def test_late_numbers_change_nothing(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator the numbers of the last steps arrive late; a poisoned batch is still the one passed over."""
    from training import loop

    sabotage(monkeypatch, 5, "voxels", float("nan"))
    results = []
    for lag in (0, 2):
        monkeypatch.setitem(loop.LAG, "cpu", lag)
        results.append(training_loop(settings(adversarial_every=1), tmp_path / str(lag), [boxes]))
    assert results[0] == results[1] and results[1]["skipped_batches"] == [5]
    for name in ("metrics.jsonl", "checkpoints/000000096.safetensors"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


# What each alarm tells a person to do, by the keys of the experiment.
WORDS = {
    "collapse": "lower kl_weight (the paper's 5 does this at 32^3) or raise reconstruction_weight",
    "empty": "raise reconstruction_weight",
    "cube": "lower learning_rate_generator",
    "samples-collapse": "raise adversarial_weight",
    "samples-empty": "raise kl_weight so that codes cover the prior, or raise adversarial_weight",
    "discriminator-wins": "lower learning_rate_discriminator",
    "plateau": "begin with warm_start",
}


@pytest.mark.parametrize("alarm", WORDS)
def test_an_alarm_is_heard_and_logged_with_its_advice(
    alarm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log(tmp_path / "log.jsonl") as log, Display("x", 8, 12, 0, log) as display:
        display.alarm(alarm, True, 64)
        display.alarm(alarm, False, 96)
    raised, over = capsys.readouterr().err.splitlines()
    assert raised.startswith(f"x: ALARM {alarm} at 64 samples: ") and WORDS[alarm] in raised
    assert over == f"x: alarm {alarm} is over at 96 samples"
    first, second = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["alarm"], first["raised"], first["samples"], second["raised"]) == (alarm, True, 64, False)


def test_every_alarm_has_advice_that_names_keys_which_exist() -> None:
    raised = set(re.findall(r'out\.add\("([a-z-]+)"\)', inspect.getsource(alarms)))
    assert raised == set(ADVICE) == set(WORDS)
    keys = {word for text in ADVICE.values() for word in re.findall(r"[a-z]+(?:_[a-z]+)+", text)}
    assert len(keys) > 4 and keys <= set(Experiment.model_fields)


def test_alarms_carry_their_samples_into_the_stamp(boxes: Path, tmp_path: Path) -> None:
    result = training_loop(settings(), tmp_path, [boxes])
    events = [line for line in read_metrics(tmp_path) if line["event"] == "alarm"]
    assert events and [(line["alarm"], line["samples"], line["raised"]) for line in events] == [
        (line["alarm"], line["samples"], line["raised"]) for line in result["alarm_history"]
    ]


def test_tensorboard_gets_scalars_pictures_and_histograms(boxes: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    training_loop(settings(tensorboard=True), tmp_path, [boxes])
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = board.Tags()
    assert {"losses/reconstruction", "losses/d_accuracy", "losses/d_skipped", "look/iou"} <= set(tags["scalars"])
    assert set(tags["images"]) == {"pictures/samples", "pictures/reconstructions"}
    assert set(tags["histograms"]) == {"z/mean", "z/deviation"}
    assert [event.step for event in board.Scalars("look/iou")] == [32, 64, 96]


class StandIn(types.ModuleType):
    """What the trainer uses of wandb."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.finished = 0

    def init(self, **options: Any) -> StandIn:
        self.started = options
        return self

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished += 1

    Image = Histogram = staticmethod(np.asarray)


def test_one_switch_sends_everything_to_weights_and_biases(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    result = training_loop(settings(wandb=True), tmp_path, [boxes])
    assert stand_in.started["id"] == result["identity"] and stand_in.started["config"]["batch"] == 8
    names = {name for values in stand_in.logged for name in values}
    assert {"losses/reconstruction", "look/iou", "pictures/samples", "pictures/reconstructions", "z/mean"} <= names
    assert all(isinstance(values["samples"], int) for values in stand_in.logged)
    assert stand_in.finished == 1


def test_a_switch_without_the_package_names_it(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"(?s)not installed.*the package wandb.*pip install wandb"):
        training_loop(settings(wandb=True), tmp_path, [boxes])


def test_boards_do_not_change_what_is_learned(boxes: Path, tmp_path: Path) -> None:
    for switch in (True, False):
        training_loop(settings(tensorboard=switch), tmp_path / str(switch), [boxes])
    one, other = (
        checkpoint.load(tmp_path / run / "checkpoints" / "000000096.safetensors", CPU)[1] for run in ("True", "False")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_grid_picture_shows_shapes_upright_from_the_front() -> None:
    levels = np.zeros((1, 4, 4, 4), np.uint8)
    levels[0, 3, 3, 0] = 255  # seen from -Z, x runs to the left: left, top, near
    levels[0, 0, 0, 3] = 255  # right, bottom, far: half a voxel aside and up for each slice
    picture = grid_picture(levels.reshape(1, -1), 4)[2:-2, 2:-2, 0][:12, :12][::2, ::2]
    assert [tuple(place) for place in np.argwhere(picture)] == [(2, 0), (4, 4)]


def test_the_timeline_shows_the_same_codes_and_pictures_throughout(boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(), tmp_path, [boxes])
    names = sorted(path.name for path in (tmp_path / "timeline").iterdir())
    assert names == ["000000000.npz", "000000032.npz", "000000064.npz", "000000096.npz", "inputs.npz"]
    with np.load(tmp_path / "timeline" / "inputs.npz") as inputs, np.load(tmp_path / "timeline" / names[3]) as last:
        shapes = len(inputs["shape_ids"])
        assert shapes == 6 and inputs["pictures"].shape == (6, 32, 32, 3) and inputs["truth"].shape == (6, 512)
        assert last["samples"].shape == (8, 512) and last["sample_levels"].shape == (8, 4096)
        assert last["reconstructions"].shape == (6, 512)
        for bits, levels in (("samples", "sample_levels"), ("reconstructions", "reconstruction_levels")):
            assert np.array_equal(last[bits], np.packbits(last[levels] >= last["threshold"], axis=1))
    assert sum((tmp_path / "timeline" / name).stat().st_size for name in names) < 200_000
