"""Several processes learn what one learns."""

from __future__ import annotations

import datetime
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import distributed_c10d

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from tests.processes import start
from tests.training.processes import train, train_together
from tests.training.tiny_world import settings
from training.command import launch
from training.loop import training_loop
from training.networks import checkpoint
from training.networks.build import Networks
from training.networks.volumes import Generator
from training.parallel import Ranks, choose_device, connected, from_environment
from training.run import files as run_files

CPU = torch.device("cpu")
GAN: dict[str, Any] = {"preset": "paper-3dgan", "ema": 0.9}
R1: dict[str, Any] = {"preset": "r1-3dgan", "r1_every": 2, "discriminator_shift": 2}
# As a share of the way gone.  In float64 a sum in another order differs by 1e-16 of its size; a training multiplies
# that by about 1.6 in each step (a GAN; others by less), which makes 1e-13 of it here.  A forgotten exchange is 1e-1.
ROUNDING = 1e-9


def weights_of(run: Path, samples: int) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints" / f"{samples:09d}.safetensors", CPU)[1]


def distance(experiment: Experiment, one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """How far two trainings are apart, as a share of the way that the first has gone."""
    start = Networks(experiment, size_px=32, resolution=16).state_dict()
    assert one.keys() == other.keys()

    def way(to: dict[str, torch.Tensor], since: dict[str, torch.Tensor], prefix: str) -> float:
        return math.sqrt(sum(float((to[f"networks.{k}"] - since[prefix + k]).double().square().sum()) for k in start))

    return way(other, one, "networks.") / way(one, start, "")


CAMPAIGN = (pytest.mark.slow, pytest.mark.campaign)
PHASES: dict[str, Any] = {
    "views_per_shape": 2,
    "pooling": "mean",
    "warm_start": {"autoencode": 0.25, "encode": 0.5},
}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        pytest.param({}, 4, id="vae-gan"),
        pytest.param(R1, 4, id="r1"),
        pytest.param({}, 8, id="vae-gan longer", marks=CAMPAIGN),
        pytest.param(R1, 8, id="r1 longer", marks=CAMPAIGN),
        pytest.param(GAN, 8, id="gan", marks=CAMPAIGN),
        pytest.param(PHASES, 8, id="multi-view warm start", marks=CAMPAIGN),
    ],
)
def test_two_ranks_learn_what_one_learns(changes: dict[str, Any], steps: int, boxes: Path, tmp_path: Path) -> None:
    """Beyond the order of additions nothing differs: batches, noise, statistics, gradients, gates."""
    samples = 8 * steps
    experiment = settings(**{"samples": samples, "adversarial_every": 1, **changes})
    train(experiment, tmp_path / "one", [boxes], float64=True)
    assert train_together(experiment, tmp_path / "two", [boxes], 2, float64=True) == [0, 0]
    assert distance(experiment, weights_of(tmp_path / "one", samples), weights_of(tmp_path / "two", samples)) < ROUNDING
    one, two = (
        [line for line in run_files.read_metrics(tmp_path / run) if line["event"] == "losses"] for run in ("one", "two")
    )
    assert len(one) == len(two) >= steps // 2
    for mine, theirs in zip(one, two, strict=True):
        assert (theirs.pop("event"), mine.pop("event")) == ("losses", "losses")
        assert theirs.pop("phase", None) == mine.pop("phase", None)
        assert theirs == pytest.approx(mine, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("numbers", [(2,), pytest.param((2, 4), marks=CAMPAIGN)])
def test_a_run_goes_on_with_another_number_of_ranks(numbers: tuple[int, ...], boxes: Path, tmp_path: Path) -> None:
    experiment = settings(samples=48)
    train(experiment, tmp_path / "one", [boxes], float64=True)
    for stop, number in enumerate(numbers, start=1):
        shared = experiment.model_copy(update={"processes": number})
        stopped = train_together(shared, tmp_path / "mixed", [boxes], number, stop_after=16 * stop, float64=True)
        assert stopped == [0] * number
    train(experiment, tmp_path / "mixed", [boxes], float64=True)
    assert not list((tmp_path / "mixed").glob("previous-*"))
    assert distance(experiment, weights_of(tmp_path / "one", 48), weights_of(tmp_path / "mixed", 48)) < ROUNDING


def test_ranks_of_one_experiment_write_each_file_once(boxes: Path, tmp_path: Path) -> None:
    """The same ranks twice give the same bytes, so only one of them writes and the other adds nothing."""
    for run in ("a", "b"):
        assert train_together(settings(samples=32), tmp_path / run, [boxes], 2) == [0, 0]
    for name in ("metrics.jsonl", "train.json", "checkpoints/000000032.safetensors", "timeline/000000032.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


COMPILED = """
import torch, torch.distributed as dist
from training.networks.layers import BatchNorm, minibatch_deviation

dist.init_process_group("gloo")
batch = torch.randn(4, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))[2 * dist.get_rank() :][:2]

def gradients(compiled):
    norm, x = BatchNorm(3).train(), batch.clone().requires_grad_()
    act = lambda given: minibatch_deviation(norm(given, 1))
    out = (torch.compile(act, backend="aot_eager", fullgraph=True) if compiled else act)(x)
    out.cos().sum().backward()
    return out, x.grad, norm.weight.grad, norm.running_mean, norm.running_var

for one, other in zip(gradients(False), gradients(True), strict=True):
    torch.testing.assert_close(one, other)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_exchanges_are_part_of_one_compiled_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fullgraph` fails where an exchange would cut it; results and gradients are those of the layers as they are."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(launch._free_port()))
    ranks = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        ranks.append(subprocess.Popen([sys.executable, "-c", COMPILED]))
    assert [rank.wait() for rank in ranks] == [0, 0]


def command(experiment: Any, boxes: Path, run: Path) -> list[str]:
    return ["train", "--settings", experiment.model_dump_json(), "--shards", str(boxes), "--run", str(run)]


@pytest.mark.parametrize(("set_by_user", "wanted"), [({}, "PASSIVE"), ({"GOMP_SPINCOUNT": "9"}, None)])
def test_threads_that_wait_sleep_from_the_first_on(set_by_user: dict[str, str], wanted: str | None) -> None:
    """OpenMP reads its policy when torch is loaded, so it must be there before; a user's own stays."""
    code = (
        "import os, runpy, sys\n"
        "class Load:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch': print(os.environ.get('OMP_WAIT_POLICY')); sys.exit()\n"
        "sys.meta_path.insert(0, Load())\n"
        "sys.argv[1:] = ['reconstruct', 'none.png', '--run', 'none', '--output', 'none']\n"
        "runpy.run_module('training', run_name='__main__', alter_sys=True)\n"
    )
    bare = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", code], env=bare | set_by_user, capture_output=True, text=True)
    assert done.stdout.strip() == str(wanted), done.stderr


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


def meet(rank: int, port: int, met: Path) -> None:
    """In a process of its own: join the other rank; the first comes when the others' own time limit has passed."""
    names = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    limit = distributed_c10d.default_pg_timeout = datetime.timedelta(seconds=3)  # PyTorch's is half an hour
    ranks = from_environment()
    if ranks.first:
        while not met.with_name("waits").exists():
            time.sleep(0.01)
        time.sleep(limit.total_seconds() + 1)
    else:
        met.with_name("waits").touch()
    with connected(ranks, CPU):
        assert ranks.shared(f"from {ranks.rank}") == "from 0"
    met.with_name(f"{met.name}{rank}").touch()


def test_the_others_outlast_a_first_rank_that_stands_in_line_for_the_lock(tmp_path: Path) -> None:
    port = launch._free_port()
    ranks = [start(meet, rank, port, tmp_path / "met") for rank in (1, 0)]
    for process in ranks:
        process.join()
    assert [process.exitcode for process in ranks] == [0, 0]
    assert (tmp_path / "met0").exists() and (tmp_path / "met1").exists()


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


def test_out_of_memory_gives_advice(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Generator.forward

    def forward(self: Generator, *rest: Any) -> torch.Tensor:
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
        return original(self, *rest)

    monkeypatch.setattr(Generator, "forward", forward)
    with pytest.raises(UserError, match=r"(?s)memory is full.*a batch of 8 in 1 process.*set a smaller `batch`"):
        training_loop(settings(), tmp_path, [boxes])


def test_settings_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ValueError, match="3 processes cannot share a batch of 8 evenly"):
        settings(processes=3)


def test_the_rows_of_all_ranks_are_the_batch() -> None:
    whole = torch.arange(12.0).reshape(6, 2)
    assert torch.equal(torch.cat([Ranks(rank, 3).rows(whole) for rank in range(3)]), whole)
