"""The files of one run beside its checkpoints.

    config.json    the whole experiment, its identity, the data it was trained on
    metrics.jsonl  losses, validations and alarms by samples seen; equal runs give equal bytes
    timing.jsonl   samples/s and memory by samples seen; belongs to the machine, not to the result
    timeline/      what fixed codes and pictures become (`training/run/timeline.py`)
    train.json     the stamp, written last

The identity is a digest of settings, data and code.  A run folder that holds the work of
another identity is set aside under ``previous-<digest>``, never deleted and never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import torch

from pipeline.atomic import write_text
from pipeline.errors import UserError, cannot_write
from pipeline.progress import say
from pipeline.provenance import code_digest
from pipeline.settings.training import Experiment
from pipeline.shards.index import read_index
from pipeline.state.digests import sha256_of
from pipeline.state.files import OBJECT, Stored, parse_lines, read_if_whole, read_lines, read_state, write_state
from training.inference.picture import grid_picture
from training.run.state import LoopState
from training.run.timeline import Frame
from training.show.boards import Board

FILES = (
    "config.json",
    "metrics.jsonl",
    "timing.jsonl",
    "train.json",
    "checkpoints",
    "results.json",
    "predictions.npz",
    "samples.npz",
    "results.md",
    "latent.npz",
    "interpolations.npz",
    "photographs.npz",
    "tensorboard",
    "timeline",
)


class _Line(pydantic.BaseModel):
    """A line of metrics.jsonl or timing.jsonl, with more figures by their names."""

    model_config = pydantic.ConfigDict(extra="allow", strict=True)

    samples: int = pydantic.Field(ge=0)


class _Data(Stored):
    dataset: str
    digest: str
    counts: dict[str, int]


class _Config(Stored):
    """config.json of a run."""

    identity: str
    settings: dict[str, Any]
    data: list[_Data]


METRIC: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Line)
_CONFIG: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Config)

# These do not change what is learned, beyond the order of additions.
NOT_IDENTITY = {
    "tensorboard",
    "wandb",
    "keep_checkpoints",
    "device",
    "processes",
    "compile",
}


def identity(settings: Experiment, shards: Sequence[Path]) -> str:
    """12 hex digits over the settings, the data and the trainer's code."""
    values = settings.model_dump(mode="json", exclude=NOT_IDENTITY)
    if settings.encoder_weights is not None:  # what is in the file counts, not where it lies
        values["encoder_weights"] = _sum_of(Path(settings.encoder_weights))
    data = [read_index(path)["digest"] for path in shards]
    text = json.dumps([values, data, code_digest("training.loop")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _sum_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(
            "cannot read encoder_weights",
            where=str(path),
            got=error.strerror or str(error),
            do="correct the path in config.yaml and run the same command again",
        ) from error


def set_aside_others(run: Path, wanted: str) -> None:
    """Move the files of another experiment or of older code out of the way."""
    former = str(read_if_whole(run / "config.json", OBJECT, {}).get("identity", "unknown"))
    present = [run / name for name in FILES if (run / name).exists()]
    if not present or former == wanted:
        return
    aside = run / f"previous-{former}"
    while aside.exists():
        aside = aside.with_name(aside.name + "-")
    aside.mkdir()
    for path in present:
        os.replace(path, aside / path.name)
    say(f"{run}: settings, data or code have changed; the former run is kept in {aside.name}")


def write_config(run: Path, settings: Experiment, digest: str, shards: Sequence[Path]) -> None:
    """Publish config.json."""
    data = [
        {"dataset": index["dataset"], "digest": index["digest"], "counts": index["counts"]}
        for index in map(read_index, shards)
    ]
    write_state(run / "config.json", {"identity": digest, "settings": settings.model_dump(mode="json"), "data": data})


def read_config(run: Path) -> dict[str, Any]:
    """config.json of a run; a UserError where there is none."""
    found: dict[str, Any] = read_state(
        run / "config.json",
        _CONFIG,
        what="this folder holds no training run",
        do="give the folder that `python -m training train` wrote",
    )
    return found


def stamp(name: str, settings: Experiment, digest: str, state: LoopState) -> dict[str, Any]:
    """What train.json says; nothing in it depends on time or machine."""
    return {
        "name": name,
        "preset": settings.preset,
        "identity": digest,
        "step": state.step,
        "samples": state.step * settings.batch,
        "best": {"iou": state.best_iou, "samples": state.best_samples},
        "alarms": state.alarms,
        "alarm_history": state.alarm_history,
        "rollbacks": state.rollbacks,
        "skipped_batches": state.skipped,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }


class Metrics:
    """metrics.jsonl and timing.jsonl, cut back to where a resumed run goes on; and the boards.

    A `run` of None writes nothing: of several processes only the first does.
    """

    def __init__(self, run: Path | None, samples: int, boards: Sequence[Board] = ()):
        self._run, self._boards = run, boards
        self.rewind(samples)

    def rewind(self, samples: int) -> None:
        """Forget what was written after `samples` samples."""
        for name in ("metrics.jsonl", "timing.jsonl") if self._run is not None else ():
            assert self._run is not None
            path = self._run / name
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            seen = [_samples_of(line) for line in lines]
            if None in seen[:-1]:  # the last may be what a kill has cut short
                say(f"{path}: {seen[:-1].count(None)} damaged lines are left out")
            staying = [line for line, at in zip(lines, seen) if at is not None and at <= samples]
            if len(staying) < len(lines):
                write_text(path, "".join(line + "\n" for line in staying))

    def write(self, event: str, samples: int, **values: Any) -> None:
        """One line of metrics.jsonl; values must not depend on time or machine."""
        self._append("metrics.jsonl", {"event": event, "samples": samples, **values})
        scalars = {f"{event}/{name}": value for name, value in values.items() if isinstance(value, float)}
        for board in self._boards if scalars else ():
            board.scalars(scalars, samples)

    def frame(self, frame: Frame, samples: int, resolution: int) -> None:
        """What fixed codes and pictures have become, as pictures on the boards."""
        for board in self._boards:
            board.image("pictures/samples", grid_picture(frame.samples, resolution), samples)
            if frame.reconstructions is not None:
                board.image("pictures/reconstructions", grid_picture(frame.reconstructions, resolution), samples)
            for name, codes in frame.codes.items():
                board.histogram(name, codes, samples)

    def timing(self, samples: int, **values: float) -> None:
        """One line of timing.jsonl."""
        self._append("timing.jsonl", {"samples": samples, **values})

    def close(self) -> None:
        for board in self._boards:
            board.close()

    def _append(self, name: str, values: dict[str, Any]) -> None:
        if self._run is None:
            return
        try:
            with open(self._run / name, "a", encoding="utf-8") as file:
                file.write(json.dumps(values, sort_keys=True, allow_nan=False) + "\n")
        except OSError as error:
            raise cannot_write(error, self._run / name) from error


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a torn last line (after a kill) is left out."""
    return read_lines(
        run / "metrics.jsonl",
        METRIC,
        what="cannot read the metrics of a run",
        do="delete the line, or see what else is damaged: python -m pipeline verify",
    )


def _samples_of(line: str) -> float | None:
    try:
        return float(parse_lines(line, METRIC)[0]["samples"])
    except (ValueError, IndexError):
        return None
