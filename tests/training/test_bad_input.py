"""Bad input to `python -m training train`: one message that says what to do, no traceback, nothing half-written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from tests.training.tiny_world import settings, write_world
from training.command.train import main
from training.loop import training_loop
from training.run.files import Metrics


def command(index: Path, run: Path, experiment: str | None = None) -> list[str]:
    text = experiment if experiment is not None else settings().model_dump_json()
    return ["train", "--settings", text, "--shards", str(index), "--run", str(run)]


def an_index_without_training_shapes(folder: Path) -> Path:
    return write_world(folder / "few", 1, start=4)  # the third of four splits: validation


def shards_of(size_px: int) -> Callable[[Path], Path]:
    """An index whose shards say that their pictures have another size."""

    def make(folder: Path) -> Path:
        return write_world(folder / "odd", 8, size_px=size_px)

    return make


def text_instead_of_an_index(folder: Path) -> Path:
    (folder / "index.json").write_text("not JSON")
    return folder / "index.json"


def an_index_without_its_shard(folder: Path) -> Path:
    index = write_world(folder / "gone", 8)
    (index.parent / "000.h5").unlink()
    return index


def a_shard_cut_short(folder: Path) -> Path:
    index = write_world(folder / "torn", 8)
    shard = index.parent / "000.h5"
    shard.write_bytes(shard.read_bytes()[:-2000])
    return index


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "none.json", "there is no such index of shards"),
        (text_instead_of_an_index, "cannot read an index of shards"),
        (an_index_without_its_shard, "000.h5"),
        (a_shard_cut_short, "000.h5"),
        (an_index_without_training_shapes, "the split holds no shapes"),
        (shards_of(48), "the encoder needs pictures of another size"),
    ],
)
def test_data_that_cannot_be_trained_on(
    make: Callable[[Path], Path], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(make(tmp_path), tmp_path / "run")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--settings"),
        ('{"datasets": ["a"], "batchh": 3}', "did you mean 'batch'"),
        ('{"datasets": ["a"], "batch": "many"}', "batch"),
        ('{"datasets": ["a"], "categories": ["sofa"]}', "unknown category 'sofa'"),
        ('{"datasets": ["a"], "views_per_shape": 5, "latent": 4, "width": 0.0625}', "more views are wanted"),
        ('{"datasets": ["a"], "networks": "small", "width": 0.0625}', "another voxel resolution"),
    ],
)
def test_settings_that_cannot_be_trained(
    text: str, message: str, boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(boxes, tmp_path / "run", text)) == 1
    said = capsys.readouterr().err
    told = said.removeprefix(said.partition("error: ")[0])  # after what a training says first
    assert told.startswith("error: ") and message in told and "Traceback" not in said


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["training.networks.checkpoint.save_file", "pipeline.atomic.os.fsync"])
def test_a_full_disk_while_training_stops_with_advice_and_nothing_half_written(
    call: str, boxes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training_loop(settings(), tmp_path, [boxes], stop_after=40)
    before = {path.name for path in tmp_path.rglob("*")}
    monkeypatch.setattr(call, full)
    assert main(command(boxes, tmp_path)) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and "run the same command again" in said and "Traceback" not in said
    monkeypatch.undo()
    after = {path.name for path in tmp_path.rglob("*")}
    assert before <= after and not any(".tmp" in name for name in after)
    assert main(command(boxes, tmp_path)) == 0


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match="(?s)No space left.*free some space"):
        metrics.write("losses", 8, kl=1.0)


def test_a_checkpoint_of_other_networks_is_refused(boxes: Path, tmp_path: Path) -> None:
    training_loop(settings(width=0.25), tmp_path / "other", [boxes], stop_after=40)
    training_loop(settings(), tmp_path / "run", [boxes], stop_after=16)
    for name in ("000000040.safetensors", "best.safetensors"):
        shutil.copy(tmp_path / "other" / "checkpoints" / name, tmp_path / "run" / "checkpoints" / name)
    with pytest.raises(UserError, match="another architecture"):
        training_loop(settings(), tmp_path / "run", [boxes])


def test_shards_that_changed_since_their_index_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, other = write_world(tmp_path / "a", 8), write_world(tmp_path / "b", 12)
    shutil.copy(other.parent / "000.h5", index.parent / "000.h5")
    assert main(command(index, tmp_path / "run")) == 1
    assert "a shard is not the one that was indexed" in capsys.readouterr().err
