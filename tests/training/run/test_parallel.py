"""Several processes, and several pieces, learn what one learns from the whole batch."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from tests.training.processes import train_together
from tests.training.run.test_step import batch, made
from tests.training.tiny_world import settings
from training.command import launch
from training.loop import choose_device, training_loop
from training.networks import checkpoint
from training.networks.build import Networks
from training.networks.layers import BatchNorm, moments
from training.parallel import Ranks, from_environment
from training.run import files as run_files

CPU = torch.device("cpu")
# Cross-entropy and small steps: at the corners of the hinge loss, and where Adam divides a gradient that ought to be
# zero by its own size, the last bit of a sum decides what happens next.
SMOOTH: dict[str, Any] = {"adversarial": "bce", "learning_rate_encoder": 3e-4, "learning_rate_generator": 3e-4}
GAN: dict[str, Any] = {"preset": "paper-3dgan", "ema": 0.9, "learning_rate_generator": 3e-4}


def weights_of(run: Path, samples: int) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints" / f"{samples:09d}.safetensors", CPU)[1]


def distance(experiment: Experiment, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """How far two trainings are apart, as a share of the way that the first has gone."""
    start = Networks(experiment, size_px=32, resolution=16).state_dict()
    assert one.keys() == other.keys()

    def way(to: dict[str, torch.Tensor], since: dict[str, torch.Tensor], prefix: str) -> float:
        return math.sqrt(sum(float((to[f"networks.{k}"] - since[prefix + k]).double().square().sum()) for k in start))

    return way(other, one, "networks.") / way(one, start, "")


@pytest.mark.parametrize(
    "changes", [SMOOTH, GAN, {**SMOOTH, "views_per_shape": 2, "pooling": "mean"}], ids=["vae-gan", "gan", "multi-view"]
)
def test_two_ranks_learn_what_one_learns(changes: dict[str, Any], boxes: Path, tmp_path: Path) -> None:
    """Forty steps; beyond the order of additions nothing differs: batches, noise, statistics, gradients, gates."""
    experiment = settings(**{"samples": 320, "adversarial_every": 1, "validate_every": 160, **changes})
    training_loop(experiment, tmp_path / "one", [boxes])
    assert train_together(experiment, tmp_path / "two", [boxes], 2) == [0, 0]
    assert distance(experiment, weights_of(tmp_path / "one", 320), weights_of(tmp_path / "two", 320)) < 2e-3
    one, two = (
        [line for line in run_files.read_metrics(tmp_path / run) if line["event"] == "losses"] for run in ("one", "two")
    )
    assert len(one) == len(two) == 20
    for mine, theirs in zip(one, two, strict=True):
        assert theirs.pop("event") == mine.pop("event") == "losses"
        for name in mine.keys() - {"e_gradient", "g_gradient", "d_gradient"}:  # norms are the worst conditioned
            assert theirs[name] == pytest.approx(mine[name], rel=5e-3, abs=1e-4), name


def test_a_run_goes_on_with_another_number_of_ranks(boxes: Path, tmp_path: Path) -> None:
    experiment = settings(samples=160, **SMOOTH)
    training_loop(experiment, tmp_path / "one", [boxes])
    assert train_together(experiment, tmp_path / "mixed", [boxes], 2, stop_after=64) == [0, 0]
    assert (
        train_together(experiment.model_copy(update={"processes": 4}), tmp_path / "mixed", [boxes], 4, stop_after=112)
        == [0] * 4
    )
    training_loop(experiment, tmp_path / "mixed", [boxes])
    assert not list((tmp_path / "mixed").glob("previous-*"))
    assert distance(experiment, weights_of(tmp_path / "one", 160), weights_of(tmp_path / "mixed", 160)) < 2e-3


def test_ranks_of_one_experiment_write_each_file_once(boxes: Path, tmp_path: Path) -> None:
    """The same ranks twice give the same bytes, so only one of them writes and the other adds nothing."""
    for run in ("a", "b"):
        assert train_together(settings(), tmp_path / run, [boxes], 2) == [0, 0]
    for name in ("metrics.jsonl", "train.json", "checkpoints/000000096.safetensors", "timeline/000000096.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def command(experiment: Any, boxes: Path, run: Path) -> list[str]:
    return ["train", "--settings", experiment.model_dump_json(), "--shards", str(boxes), "--run", str(run)]


def test_a_signal_to_the_launcher_stops_every_rank_after_a_checkpoint(boxes: Path, tmp_path: Path) -> None:
    experiment = settings(processes=2, samples=800_000, validate_every=800_000, checkpoint_every=800_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *command(experiment, boxes, tmp_path)], stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "timing.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143 and said.count("the same command again goes on from here") == 1
    newest = max(path for path in (tmp_path / "checkpoints").glob("0*.safetensors"))
    assert checkpoint.read_header(newest).samples > 0


def test_what_goes_wrong_is_said_once_and_without_a_traceback(
    boxes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch.start(2, command(settings(processes=2), boxes.with_name("none.json"), tmp_path)) == 1
    said = capfd.readouterr().err
    assert said.count("error: ") == 1 and "none.json" in said and "Traceback" not in said


LATE = """
import datetime, time, torch
from torch.distributed import distributed_c10d
from training.parallel import connected, from_environment

ranks = from_environment()
distributed_c10d.default_pg_timeout = datetime.timedelta(seconds=4)  # PyTorch's is half an hour
if ranks.first:
    time.sleep(10)
with connected(ranks, torch.device("cpu")):
    assert ranks.shared(f"from {ranks.rank}") == "from 0"
"""


def test_the_others_outlast_a_first_rank_that_stands_in_line_for_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(launch._free_port()))
    ranks = []
    for rank in "10":
        monkeypatch.setenv("RANK", rank)
        ranks.append(subprocess.Popen([sys.executable, "-c", LATE]))
        time.sleep(float(rank))
    assert [rank.wait() for rank in ranks] == [0, 0]


@pytest.mark.slow
def test_torchrun_starts_it_too(boxes: Path, tmp_path: Path) -> None:
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "--",
        "training",
    ]
    subprocess.run([*run, *command(settings(), boxes, tmp_path)], check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "train.json").exists()


def test_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment() == Ranks()
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert from_environment() == Ranks(3, 4, 1) and not from_environment().first
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(UserError, match="must be numbers"):
        from_environment()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"(?s)more processes than GPUs.*2 processes, 1 GPUs"):
        choose_device("auto", Ranks(1, 2, 1))


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    x = torch.randn(12, 3, 5, generator=torch.Generator().manual_seed(1)) * 3 + 100
    whole, pieces = BatchNorm(3), BatchNorm(3)
    out = whole(x, 1)
    parts = [x[:7], x[7:8], x[8:]]
    mean, variance = pieces.merged([moments(part) for part in parts], 1)
    torch.testing.assert_close(torch.cat([pieces.normalise(part, mean, variance) for part in parts]), out)
    torch.testing.assert_close(pieces.running_mean, whole.running_mean)
    torch.testing.assert_close(pieces.running_var, whole.running_var)


PRESETS_IN_PIECES: list[tuple[dict[str, Any], int]] = [
    ({}, 1),
    ({"preset": "paper-3dvaegan", "ema": 0.9}, 1),
    ({**GAN, "encoder": "none"}, 1),
    ({"preset": "mv-3dvaegan-max"}, 3),
    ({"preset": "resnet-encoder", "encoder_width": 0.0625}, 1),
    ({"preset": "wgan-gp"}, 1),
    ({"preset": "three-projections"}, 1),
    ({"mask_weight": 50.0}, 2),
    ({"mask_weight": 50.0, "encoder": "resnet"}, 1),
]


@pytest.mark.parametrize(("changes", "views"), PRESETS_IN_PIECES)
@pytest.mark.parametrize("micro_batch", [1, 3])
def test_pieces_of_a_batch_give_the_update_of_the_whole(changes: dict[str, Any], views: int, micro_batch: int) -> None:
    """Every gradient, those through the batch statistics too: the four largest known pitfalls in one number."""
    gradients: list[list[torch.Tensor]] = [[], []]
    for place, size in enumerate((None, micro_batch)):
        networks, step = made(**{**changes, "latent": 8, "width": 0.125, "encoder_width": 0.0625})
        networks.set_micro_batch(size, views)
        original = step._move

        def keep(name: str, original: Any = original, step: Any = step, kept: Any = gradients[place]) -> torch.Tensor:
            kept += [p.grad.clone() for p in getattr(step.networks, name).parameters() if p.grad is not None]
            result: torch.Tensor = original(name)
            return result

        step._move = keep  # type: ignore[method-assign]
        step(batch(views=views), 0)
        gradients[place] += [value.clone() for name, value in networks.state_dict().items() if "running" in name]
    assert len(gradients[0]) == len(gradients[1]) > 10
    for whole, pieces in zip(*gradients, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-3, atol=1e-5 + 1e-4 * float(whole.abs().max()))


def test_pieces_keep_less_for_the_backward_pass() -> None:
    """What the graph holds, in numbers: that is the memory that micro-batches save."""

    def held(micro_batch: int | None) -> int:
        networks, _ = made(width=0.5)
        networks.set_micro_batch(micro_batch, 1)
        sizes: dict[int, int] = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.setdefault(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes()) and x, lambda x: x
        ):
            out = networks.G(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)), 0)
            assert out.requires_grad
        return sum(sizes.values())

    assert held(1) < held(None) / 2


class OutOfMemory:
    """Raises like an accelerator's allocator where more than `most` samples pass at once."""

    def __init__(self, most: int):
        self.most, self.raised = most, 0

    def __call__(self, original: Any) -> Any:
        def forward(network: Any, x: torch.Tensor, *rest: Any) -> Any:
            if (network.micro_batch or len(x)) > self.most:
                self.raised += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
            return original(network, x, *rest)

        return forward


def test_out_of_memory_halves_the_pieces_and_keeps_the_batch(
    boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.networks.build import Discriminator

    experiment = settings(on_out_of_memory="halve", **SMOOTH)
    training_loop(experiment, tmp_path / "roomy", [boxes])
    tight = OutOfMemory(most=2)
    monkeypatch.setattr(Discriminator, "forward", tight(Discriminator.forward))
    result = training_loop(experiment, tmp_path / "tight", [boxes])
    assert tight.raised == 2 and result["samples"] == 96 and result["rollbacks"] == 0
    assert '"micro_batch": 2' in (tmp_path / "tight" / "timing.jsonl").read_text()
    assert distance(experiment, weights_of(tmp_path / "roomy", 96), weights_of(tmp_path / "tight", 96)) < 2e-3


@pytest.mark.parametrize(
    ("changes", "most", "message"),
    [
        (
            {},
            4,
            r"(?s)memory is full.*8 samples at once, of a batch of 8.*set micro_batch to 4",
        ),
        (
            {"on_out_of_memory": "halve"},
            0,
            r"(?s)memory is full.*1 samples at once.*smaller batch or narrower networks",
        ),
    ],
)
def test_out_of_memory_gives_advice(
    changes: dict[str, Any], most: int, message: str, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.networks.build import Generator

    networks_before_looks = OutOfMemory(most)
    original = Generator.forward
    monkeypatch.setattr(
        Generator,
        "forward",
        lambda self, *rest: (networks_before_looks(original) if self.training else original)(self, *rest),
    )
    with pytest.raises(UserError, match=message):
        training_loop(settings(**changes), tmp_path, [boxes])


def test_settings_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ValueError, match="3 processes cannot share a batch of 8 evenly"):
        settings(processes=3)


def test_the_rows_of_all_ranks_are_the_batch() -> None:
    whole = torch.arange(12.0).reshape(6, 2)
    assert torch.equal(torch.cat([Ranks(rank, 3).rows(whole) for rank in range(3)]), whole)
