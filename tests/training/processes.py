"""Trainings in processes of their own, for the tests that kill them or join several."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from pipeline.settings.training import Experiment
from tests.processes import start


def train_together(
    settings: Experiment, run: Path, shards: Sequence[Path], world: int, **more: Any
) -> list[int | None]:
    """Train in `world` ranks as torchrun would start them; their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [start(_one_rank, settings, run, list(shards), rank, world, port, more) for rank in range(world)]
    for process in ranks:
        process.join()
    return [process.exitcode for process in ranks]


def _one_rank(
    settings: Experiment, run: Path, shards: list[Path], rank: int, world: int, port: int, more: dict[str, Any]
) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    train(settings, run, shards, **more)


def train(settings: Experiment, run: Path, shards: Sequence[Path], *, float64: bool = False, **more: Any) -> None:
    """`training_loop`, quietly; an interrupted one exits with 143 as the command does."""
    from training.loop import Interrupted, training_loop

    precision = in_float64() if float64 else contextlib.nullcontext()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), precision:
        try:
            training_loop(settings, run, shards, **more)
        except Interrupted:
            sys.exit(143)


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Trainings inside compute in float64, so that another order of additions is lost in the last digits."""
    from training import loop
    from training.data.batches import to_device

    class Networks(loop.Networks):
        def __init__(self, *arguments: Any, **more: Any):
            super().__init__(*arguments, **more)
            self.double()

    def prepared(*arguments: Any, **more: Any) -> Any:
        inputs: dict[str, Any] = dict(to_device(*arguments, **more))
        return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}

    with mock.patch.object(loop, "Networks", Networks), mock.patch.object(loop, "to_device", prepared):
        yield
