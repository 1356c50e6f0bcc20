"""The loop: exact resume, SIGTERM, roll-back, alarms, locks, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import runlock
from pipeline.errors import UserError
from pipeline.gpu import Gpus
from tests.training import tiny_world
from tests.training.tiny_world import settings
from training import parallel
from training.data.shapes import ShapeData
from training.inference.predict import truth
from training.inference.validation import Validation
from training.loop import Interrupted, crosses, training_loop
from training.metrics import voxels as metrics
from training.networks import checkpoint
from training.parallel import choose_device, described
from training.run import alarms
from training.run.alarms import symptoms
from training.run.files import Metrics, read_metrics
from training.run.signals import STOPPING, interruptible
from training.run.state import LoopState
from training.run.step import Step, Values

CPU = torch.device("cpu")


def final(run: Path, samples: int = 96) -> bytes:
    return (run / "checkpoints" / f"{samples:09d}.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unbroken(boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("unbroken")
    training_loop(settings(), run, [boxes])
    return run


@pytest.mark.parametrize("stop", [8, 40, 64, 88])
def test_a_stopped_run_ends_with_the_same_bits(stop: int, boxes: Path, unbroken: Path, tmp_path: Path) -> None:
    training_loop(settings(), tmp_path, [boxes], stop_after=stop)
    assert not (tmp_path / "train.json").exists()
    training_loop(settings(), tmp_path, [boxes])
    assert final(tmp_path) == final(unbroken)
    for name in ("metrics.jsonl", "train.json", "config.json"):
        assert (tmp_path / name).read_bytes() == (unbroken / name).read_bytes(), name


def test_standing_statistics_do_not_depend_on_interruptions(boxes: Path, tmp_path: Path) -> None:
    """They are measured anew before each use, so where the training was stopped leaves no trace in them."""
    experiment = settings(preset="r1-3dgan", adversarial_every=1)
    training_loop(experiment, tmp_path / "whole", [boxes])
    for stop in (40, 56):
        training_loop(experiment, tmp_path / "broken", [boxes], stop_after=stop)
    training_loop(experiment, tmp_path / "broken", [boxes])
    assert final(tmp_path / "broken") == final(tmp_path / "whole")
    assert (tmp_path / "broken" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_work_lost_after_the_last_checkpoint_is_done_again(boxes: Path, unbroken: Path, tmp_path: Path) -> None:
    """What `kill -9` leaves: an older checkpoint, later metrics, a torn line, a temporary file."""
    training_loop(settings(), tmp_path, [boxes], stop_after=72)
    (tmp_path / "checkpoints" / f"{72:09d}.safetensors").unlink()
    (tmp_path / "checkpoints" / ".x.safetensors.tmp").write_bytes(b"half")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"event": "losses", "sam')
    training_loop(settings(), tmp_path, [boxes])
    assert final(tmp_path) == final(unbroken)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (unbroken / "metrics.jsonl").read_bytes()


def test_a_damaged_latest_checkpoint_is_passed_over(boxes: Path, unbroken: Path, tmp_path: Path) -> None:
    training_loop(settings(), tmp_path, [boxes], stop_after=64)
    latest = tmp_path / "checkpoints" / f"{64:09d}.safetensors"
    latest.write_bytes(latest.read_bytes()[:-100])
    training_loop(settings(), tmp_path, [boxes])
    assert final(tmp_path) == final(unbroken)


@pytest.mark.parametrize("number_sent", STOPPING)
def test_a_signal_saves_and_stops(
    boxes: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number_sent: signal.Signals
) -> None:
    original = Step.__call__

    def step_then_signal(self: Step, batch: Any, number: int) -> Values:
        if number == 4:
            os.kill(os.getpid(), number_sent)
        return original(self, batch, number)

    monkeypatch.setattr(Step, "__call__", step_then_signal)
    with pytest.raises(Interrupted, match="stopped after 40 of 96 samples; the same command again"):
        training_loop(settings(), tmp_path, [boxes])
    assert (tmp_path / "checkpoints" / f"{40:09d}.safetensors").exists()
    monkeypatch.undo()
    training_loop(settings(), tmp_path, [boxes])
    assert final(tmp_path) == final(unbroken)


@pytest.mark.slow
def test_a_terminated_process_resumes_exactly(boxes: Path, tmp_path: Path) -> None:
    experiment = settings(samples=4000, validate_every=1000, checkpoint_every=1000)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    training_loop(experiment, whole, [boxes])
    command = [
        sys.executable,
        "-m",
        "training",
        "train",
        "--settings",
        experiment.model_dump_json(),
        "--shards",
        str(boxes),
        "--run",
        str(broken),
    ]
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not (broken / "timing.jsonl").exists():
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait() in (143, -9)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    one, other = (checkpoint.load(run / "checkpoints" / "000004000.safetensors", CPU)[1] for run in (whole, broken))
    assert one.keys() == other.keys()


def poison(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Let the given batches put NaN into the weights and the losses."""
    original = Step.__call__

    def poisoned(self: Step, batch: Any, number: int) -> Values:
        values = original(self, batch, number)
        if number in numbers:
            with torch.no_grad():
                self.networks.G.first.weight.fill_(float("nan"))
            values = Values({**values.numbers(), "reconstruction": float("nan")})
        return values

    monkeypatch.setattr(Step, "__call__", poisoned)


def test_nan_rolls_back_and_passes_over_the_batch(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 6)
    result = training_loop(settings(), tmp_path, [boxes])
    assert (result["rollbacks"], result["skipped_batches"]) == (1, [6])
    for path in (tmp_path / "checkpoints").glob("*.safetensors"):
        assert all(value.isfinite().all() for value in checkpoint.load(path, CPU)[1].values())
    assert '"event": "rollback"' in (tmp_path / "metrics.jsonl").read_text()


def test_nan_that_comes_back_stops_with_a_report(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 2, 3, 5, 6)
    with pytest.raises(UserError, match=r"(?s)diverges.*after 3 roll-backs.*batches 2, 3, 5, 6.*reconstruction"):
        training_loop(settings(), tmp_path, [boxes])


def test_another_experiment_is_set_aside_not_mixed_in(boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(), tmp_path, [boxes], stop_after=32)
    old = json.loads((tmp_path / "config.json").read_text())["identity"]
    training_loop(settings(kl_weight=1.0), tmp_path, [boxes], stop_after=32)
    assert (tmp_path / f"previous-{old}" / "checkpoints").is_dir()
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["kl_weight"] == 1.0


def test_a_signal_that_the_parent_ignores_is_obeyed_unless_it_is_the_one_of_nohup() -> None:
    """Snakemake ignores SLURM's warning inside a job, and what it starts inherits that."""
    old = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGUSR1, signal.SIGHUP)}
    try:
        with interruptible() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert not asked.is_set()
            signal.raise_signal(signal.SIGUSR1)
            assert asked.is_set()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def test_the_same_signal_twice_is_one_request_and_a_second_interrupt_acts(request: pytest.FixtureRequest) -> None:
    """A cluster signals every process of a job, and the launcher of several passes it on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit none
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with interruptible() as asked:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGUSR1):
            signal.raise_signal(number)
        assert asked.is_set()
    with pytest.raises(KeyboardInterrupt), interruptible() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        signal.raise_signal(signal.SIGINT)


def test_two_trainings_never_share_a_folder(boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "PATIENCE_S", 0.1)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from pipeline import runlock; runlock.hold(pathlib.Path("
            f"{str(tmp_path)!r})); print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match=rf"(?s)another run is working.*process {holder.pid} on "):
        training_loop(settings(), tmp_path, [boxes])
    holder.communicate()


def test_the_last_checkpoints_and_the_best_are_kept(unbroken: Path) -> None:
    names = sorted(path.name for path in (unbroken / "checkpoints").iterdir())
    assert len(names) == 3 and names[-1] == "best.safetensors"
    best = json.loads((unbroken / "train.json").read_text())["best"]
    assert checkpoint.read_header(unbroken / "checkpoints" / "best.safetensors").samples == best["samples"]


def test_no_time_gets_into_files_that_must_be_equal(unbroken: Path) -> None:
    text = (unbroken / "metrics.jsonl").read_text() + (unbroken / "train.json").read_text()
    assert "time" not in text and "samples_per_s" not in text


def validation(**changes: Any) -> Validation:
    fine: dict[str, Any] = {
        "iou": 0.4,
        "threshold": 100,
        "pairwise": 0.3,
        "occupancy": 0.1,
        "box_fill": 0.3,
        "data_occupancy": 0.1,
        "data_pairwise": 0.1,
        "sample_occupancy": 0.1,
        "sample_pairwise": 0.2,
        "sample_empty": 0.0,
    }
    return Validation(**{**fine, **changes})


@pytest.mark.parametrize(
    ("changes", "accuracy", "wanted"),
    [
        ({}, 0.7, set()),
        ({}, None, set()),
        ({"pairwise": 0.96}, None, {"collapse"}),
        ({"pairwise": 0.96, "data_pairwise": 0.95}, None, set()),
        ({"occupancy": 0.001}, None, {"empty"}),
        ({"box_fill": 0.97, "occupancy": 0.5}, None, {"cube"}),
        ({"sample_occupancy": 0.0, "sample_pairwise": 1.0}, None, {"samples-empty"}),
        ({"sample_pairwise": 0.95}, 0.999, {"samples-collapse", "discriminator-wins"}),
        ({}, 0.999, set()),
        ({"sample_occupancy": 0.3}, 0.999, {"discriminator-wins"}),
    ],
)
def test_alarms(changes: dict[str, Any], accuracy: float | None, wanted: set[str]) -> None:
    assert symptoms(validation(**changes), accuracy, 0.0) == wanted


@pytest.mark.parametrize(("iou", "seen", "wanted"), [(0.27, 8000, True), (0.29, 8000, False), (0.27, 7999, False)])
def test_answers_no_better_than_the_mean_shape_are_a_plateau_after_some_thousand_samples(
    iou: float, seen: int, wanted: bool
) -> None:
    found = validation(iou=iou, mean_shape_iou=0.26)
    assert symptoms(found, None, None, seen) == ({"plateau"} if wanted else set())
    assert symptoms(validation(iou=None, mean_shape_iou=None), None, None, seen) == set()


def test_a_network_that_cannot_leave_the_mean_shape_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures without anything on them: whatever is learned, the answer to all is one shape."""
    blank = {"images": np.full((tiny_world.VIEWS, 32, 32, 3), 90, np.uint8)}
    monkeypatch.setattr(tiny_world, "row", lambda *about, row=tiny_world.row: {**row(*about), **blank})
    monkeypatch.setattr(alarms, "PLATEAU_SAMPLES", 64)
    index = tiny_world.write_world(tmp_path / "world")
    warm = {"autoencode": 0.25, "encode": 0.5}  # E has seen 64 samples after 96
    result = training_loop(settings(samples=128, warm_start=warm, adversarial_weight=0), tmp_path / "run", [index])
    assert "plateau" in result["alarms"]
    assert [one["samples"] for one in result["alarm_history"] if one["alarm"] == "plateau"] == [96]
    assert "ALARM plateau at 96 samples: answers are still no better than the mean" in capsys.readouterr().err
    looks = [line for line in read_metrics(tmp_path / "run") if line["event"] == "look"]
    val, train = (ShapeData.open([index], split) for split in ("val", "train"))
    mean, answers = truth(train, np.arange(len(train))).mean(0), truth(val, np.arange(len(val)))
    best = max(metrics.iou(np.broadcast_to(mean >= cut, answers.shape), answers).mean() for cut in np.unique(mean)[1:])
    assert [line["mean_shape_iou"] for line in looks] == pytest.approx([best] * len(looks), abs=0.01)


def test_without_an_encoder_the_samples_choose_the_checkpoint() -> None:
    state = LoopState()
    for number, score in enumerate((0.9, 0.6, 0.8, 0.6), start=1):
        state.note_validation(validation(iou=None, sample_one_nna=score, threshold=number), 100 * number)
    assert (state.best_samples, state.best_one_nna, state.best_threshold) == (400, 0.6, 4)
    for number, iou in enumerate((0.3, 0.5, 0.4), start=5):
        state.note_validation(validation(iou=iou, sample_one_nna=0.5), 100 * number)
    assert (state.best_samples, state.best_iou) == (600, 0.5)


def test_a_strangled_code_raises_the_collapse_alarm(boxes: Path, tmp_path: Path) -> None:
    """With a huge KL weight every picture gives the same shape, as the paper's weights do at 32^3."""
    experiment = settings(kl_weight=500.0, adversarial_weight=0, samples=320, validate_every=160)
    assert "collapse" in training_loop(experiment, tmp_path, [boxes])["alarms"]


def test_clock() -> None:
    assert [samples for samples in range(8, 100, 8) if crosses(30, samples, 8)] == [32, 64, 96]


def test_cuda_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="there is no CUDA device"):
        choose_device("cuda")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "0")
    assert choose_device("auto") == CPU
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    assert choose_device("cpu") == CPU
    with pytest.raises(UserError, match=r"(?s)was given a GPU.*SLURM_GPUS_ON_NODE=1.*set `device: cpu`"):
        choose_device("auto")


def test_the_first_line_says_on_what_it_trains(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    training_loop(settings(samples=8), tmp_path / "a", [boxes], name="mine")
    said = capsys.readouterr().err
    assert said.startswith(f"mine: on the CPU, 1 threads, float32, torch {torch.__version__}")
    assert "batch norm in the discriminator hides" not in said
    training_loop(settings(preset="paper-3dvaegan", samples=8), tmp_path / "b", [boxes], name="mine")
    assert "mine: batch norm in the discriminator hides from it how occupied shapes are" in capsys.readouterr().err
    monkeypatch.setattr(parallel, "gpus", lambda: Gpus(("H100",), "570.1"))
    assert described(CPU, 2, bf16=True).endswith("; H100, driver 570.1 stays unused")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H100")
    said = described(torch.device("cuda"), 2, bf16=False)
    assert said.startswith("on H100, float32, TF32 in convolutions, driver 570.1, torch")


def test_metrics_of_a_finished_run_are_not_touched_by_opening_them(unbroken: Path) -> None:
    before = (unbroken / "metrics.jsonl").read_bytes()
    Metrics(unbroken, 96).close()
    assert (unbroken / "metrics.jsonl").read_bytes() == before
