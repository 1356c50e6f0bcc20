"""Where people watch: TensorBoard and Weights & Biases, each behind one switch; metrics.jsonl is always written."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from training.metrics.voxels import Levels


class Board(Protocol):
    """What both can show, by samples seen."""

    def scalars(self, values: dict[str, float], samples: int) -> None: ...

    def image(self, name: str, picture: npt.NDArray[np.uint8], samples: int) -> None: ...  # (H, W, 3)

    def histogram(self, name: str, values: npt.NDArray[np.float32], samples: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in <run>/tensorboard; look with `tensorboard --logdir results/runs`."""

    def __init__(self, run: Path):
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run / "tensorboard"))  # type: ignore[no-untyped-call]

    def scalars(self, values: dict[str, float], samples: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, samples)

    def image(self, name: str, picture: npt.NDArray[np.uint8], samples: int) -> None:
        self._writer.add_image(name, picture, samples, dataformats="HWC")

    def histogram(self, name: str, values: npt.NDArray[np.float32], samples: int) -> None:
        self._writer.add_histogram(name, values, samples)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `3d-vae-gan`; its own environment variables (WANDB_MODE=offline, ...) apply."""

    def __init__(self, run: Path, settings: Experiment, identity: str):
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
            config=settings.model_dump(mode="json"),
        )

    def _log(self, values: dict[str, Any], samples: int) -> None:
        self._run.log({**values, "samples": samples})

    def scalars(self, values: dict[str, float], samples: int) -> None:
        self._log(dict(values), samples)

    def image(self, name: str, picture: npt.NDArray[np.uint8], samples: int) -> None:
        self._log({name: self._wandb.Image(picture)}, samples)

    def histogram(self, name: str, values: npt.NDArray[np.float32], samples: int) -> None:
        self._log({name: self._wandb.Histogram(values)}, samples)

    def close(self) -> None:
        self._run.finish()


def open_boards(run: Path, settings: Experiment, identity: str) -> list[Board]:
    """The boards that the experiment asks for."""
    boards: list[Board] = []
    if settings.tensorboard:
        boards.append(TensorBoard(run))
    if settings.wandb:
        boards.append(WeightsAndBiases(run, settings, identity))
    return boards


def grid_picture(levels: Levels, resolution: int, columns: int = 4) -> npt.NDArray[np.uint8]:
    """(n, P) occupancy levels -> (H, W, 3): each shape in cavalier projection, its front (-Z) towards us."""
    tiles = [_drawn(grid) for grid in levels.reshape(-1, resolution, resolution, resolution) >= 128]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    framed = np.pad(np.stack(tiles).repeat(2, 1).repeat(2, 2), ((0, 0), (2, 2), (2, 2)), constant_values=60)
    side = framed.shape[1]
    picture = framed.reshape(-1, columns, side, side).transpose(0, 2, 1, 3).reshape(-1, columns * side)
    return np.repeat(picture[:, :, None], 3, axis=2)


def _drawn(grid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """(R, R, R) -> (3 R / 2, 3 R / 2): slices painted from the back, half a voxel apart; tops light."""
    size, reach = len(grid), len(grid) // 2
    room = np.pad(grid, 1)
    inner = slice(1, -1)
    top, front = ~room[inner, 2:, inner], ~room[inner, inner, :-2]
    shade = np.where(front, 170, np.where(top, 240, 95)).astype(np.uint8)
    canvas = np.zeros((size + reach, size + reach), np.uint8)
    for z in range(size - 1, -1, -1):
        right, up = z // 2, z // 2
        place = canvas[reach - up : reach - up + size, right : right + size]
        seen = grid[::-1, ::-1, z].T  # from the front, x runs to the left; rows run down
        place[seen] = shade[::-1, ::-1, z].T[seen]
    return canvas
