"""Shards as a plain PyTorch `Dataset`, for people who bring their own trainer.

    data = ShapeViews([Path("results/shards/demo/index.json")], "train")
    for batch in torch.utils.data.DataLoader(data, batch_size=128, shuffle=True):
        batch["image"], batch["voxels"], batch["label"]

One item is one view of one shape.  A `Loader` is many times faster: use it where you can.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.data.batches import unpack_bits
from training.data.pictures import normalised
from training.data.shapes import CAMERAS, ShapeData


class ShapeViews(Dataset[dict[str, Tensor]]):
    """Items: image (3, S, S) float in [-1, 1], voxels (1, R, R, R) float of 0 and 1, label, object, view, cameras."""

    def __init__(self, index_paths: Sequence[Path | str], split: str, **settings: Any):
        """`settings` as for `ShapeData.open`; memory-mapped unless they say otherwise, so workers share the pages."""
        self.data = ShapeData.open(index_paths, split, **{"tier": "map", **settings})

    def __len__(self) -> int:
        return len(self.data) * self.data.views

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([range(len(self))[index]])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """A whole batch in one gather; `DataLoader` calls this where it exists."""
        objects, views = np.divmod(np.asarray(indices), self.data.views)
        images = normalised(torch.from_numpy(self.data.gather(objects, views)))
        voxels = unpack_bits(torch.from_numpy(self.data.voxels_bits[objects]))
        labels, places = torch.from_numpy(self.data.labels[objects]), torch.from_numpy(objects)
        return [
            {
                "image": images[n],
                "voxels": voxels[n],
                "label": labels[n],
                "object": places[n],
                "view": torch.tensor(views[n]),
                **self._camera(int(objects[n]), int(views[n])),
            }
            for n in range(len(indices))
        ]

    def _camera(self, place: int, view: int) -> dict[str, Tensor]:
        return {name: torch.tensor(np.asarray(self.data.cameras[name][place, view], np.float32)) for name in CAMERAS}
