"""Files that are not the checkpoint that was wanted: each a clear message, none executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import UserError
from tests.training.tiny_world import settings
from training.networks import checkpoint
from training.networks.build import Networks
from training.networks.checkpoint import Header
from training.run.average import MovingAverage
from training.run.checkpoints import restore, save
from training.run.schedule import Schedule
from training.run.step import Step


def saved(folder: Path) -> Path:
    experiment = settings()
    networks = Networks(experiment, size_px=32, resolution=16)
    path = folder / "000000000.safetensors"
    header = Header("abc", experiment.model_dump(mode="json"), 32, 16, ["box"], 0, {})
    save(path, header, networks, MovingAverage(networks, 0.9), Step.of(experiment, networks).optimizers)
    return path


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "owned", tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(UserError, match="(?s)not a whole checkpoint.*pickles are never loaded"):
        checkpoint.read_header(path)
    torch.save({"x": Bomb(mark)}, path)
    with pytest.raises(UserError, match="not a whole checkpoint"):
        checkpoint.load(path, torch.device("cpu"))
    assert not mark.exists()


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    data = saved(tmp_path).read_bytes()
    path = tmp_path / "cut.safetensors"
    for share in (0.0, 0.001, 0.3, 0.9, 0.9999):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UserError, match="not a whole checkpoint"):
            checkpoint.read_header(path)


def test_weights_of_something_else_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a checkpoint of this trainer"):
        checkpoint.read_header(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoint.read_header(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"), [({"width": 0.25}, "another architecture"), ({"encoder": "resnet"}, "another architecture")]
)
def test_another_architecture_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = saved(tmp_path)
    experiment = settings(**changes)
    networks = Networks(experiment, size_px=32, resolution=16)
    with pytest.raises(UserError, match=message):
        restore(path, networks, MovingAverage(networks, 0.9), Step.of(experiment, networks).optimizers)


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    assert saved(tmp_path / "a").read_bytes() == saved(tmp_path / "b").read_bytes()


def test_a_full_disk_is_one_clear_error_and_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        saved(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_average_follows_and_zero_decay_is_the_network_itself() -> None:
    networks = Networks(settings(), size_px=32, resolution=16)
    average, copy = MovingAverage(networks, 0.5), MovingAverage(networks, 0.0)
    start = networks.G.first.weight.detach().clone()
    with torch.no_grad():
        networks.G.first.weight.add_(1.0)
    average.update(networks, 1000)
    copy.update(networks, 1000)
    torch.testing.assert_close(average.networks.G.first.weight, start + 0.5)
    torch.testing.assert_close(copy.networks.G.first.weight, networks.G.first.weight.detach())


def test_standing_statistics_are_those_of_the_averaged_weights() -> None:
    """Whatever the running ones were; and codes of pictures keep theirs."""
    networks = Networks(settings(preset="r1-3dgan", latent=8, width=0.125), size_px=32, resolution=16)
    average = MovingAverage(networks, 0.9)
    generator = average.networks.G
    first = generator.norms[0]
    first.running_mean.fill_(7.0)
    average.measure_statistics()
    codes = torch.cat(
        [average.networks.prior_codes(64, step=batch, purpose="standing statistics") for batch in range(16)]
    )
    wanted = generator.first(codes).reshape(len(codes), -1, generator.side**3).mean((0, 2))
    torch.testing.assert_close(first.running_mean[1], wanted, atol=1e-4, rtol=1e-3)
    assert (first.running_mean[0] == 7).all() and not generator.training and first.momentum == 0.1


def factors(*samples: int, network: str = "G", **changes: object) -> list[float]:
    schedule = Schedule.of(settings(samples=100, **changes))
    return [schedule.factor(one, network) for one in samples]


def test_schedules_go_by_samples_seen() -> None:
    assert factors(0, 30, 65, 100, schedule="cosine", constant_share=0.3) == pytest.approx([1, 1, 0.5, 0])
    assert factors(1, 100, schedule="constant") == [1, 1]
    steps = {"schedule": "milestones", "milestones": (40, 80), "milestone_factor": 0.5}
    assert factors(40, 41, 80, 81, **steps) == pytest.approx([1, 0.5, 0.5, 0.25])
    assert factors(100, network="E", **steps, milestone_networks=("D",)) == [1]
    assert factors(100, network="D", **steps, milestone_networks=("D",)) == pytest.approx([0.25])
    assert factors(5, 10, 50, schedule="constant", warmup_samples=10) == pytest.approx([0.5, 1, 1])


def test_a_schedule_of_milestones_needs_milestones() -> None:
    for changes in ({"schedule": "milestones"}, {"milestones": (10,)}):
        with pytest.raises(ValueError, match="go together"):
            settings(**changes)
