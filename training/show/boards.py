"""Where people watch: TensorBoard and Weights & Biases, each behind one switch; metrics.jsonl is always written."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float32, UInt8

from pipeline.conventions import Array
from pipeline.errors import UserError

Picture = UInt8[Array, "H W 3"]


@runtime_checkable
class Board(Protocol):
    """What both can show, by samples seen."""

    def scalars(self, values: dict[str, float], samples: int) -> None: ...

    def image(self, name: str, picture: Picture, samples: int) -> None: ...

    def histogram(self, name: str, values: Float32[Array, "*shape"], samples: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in <run>/tensorboard; look with `tensorboard --logdir results/runs`."""

    def __init__(self, run: Path):
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run / "tensorboard"))  # type: ignore[no-untyped-call]

    def scalars(self, values: dict[str, float], samples: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, samples)

    def image(self, name: str, picture: Picture, samples: int) -> None:
        self._writer.add_image(name, picture, samples, dataformats="HWC")

    def histogram(self, name: str, values: Float32[Array, "*shape"], samples: int) -> None:
        self._writer.add_histogram(name, values, samples)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `3d-vae-gan`; its own environment variables (WANDB_MODE=offline, ...) apply."""

    def __init__(self, run: Path, identity: str, config: dict[str, Any]):
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(
                "Weights & Biases is switched on but not installed",
                got=str(error),
                wanted="the package wandb",
                do="pip install wandb, or set `wandb: false`",
            ) from error
        # One id for one experiment: a resumed training goes on in the same charts.
        self._run = self._wandb.init(
            project="3d-vae-gan",
            id=identity,
            name=run.name,
            dir=str(run),
            resume="allow",
            config=config,
        )

    def _log(self, values: dict[str, Any], samples: int) -> None:
        self._run.log({**values, "samples": samples})

    def scalars(self, values: dict[str, float], samples: int) -> None:
        self._log(dict(values), samples)

    def image(self, name: str, picture: Picture, samples: int) -> None:
        self._log({name: self._wandb.Image(picture)}, samples)

    def histogram(self, name: str, values: Float32[Array, "*shape"], samples: int) -> None:
        self._log({name: self._wandb.Histogram(values)}, samples)

    def close(self) -> None:
        self._run.finish()


def open_boards(
    run: Path,
    identity: str,
    config: dict[str, Any],  # of the experiment, as JSON
) -> list[Board]:
    """The boards that the experiment asks for by its keys `tensorboard` and `wandb`."""
    boards: list[Board] = []
    if config["tensorboard"]:
        boards.append(TensorBoard(run))
    if config["wandb"]:
        boards.append(WeightsAndBiases(run, identity, config))
    return boards
