"""How fixed codes and fixed pictures become shapes while the network learns: a few small files for the report.

    timeline/inputs.npz        once: pictures (m, S, S, 3) u8, truth (m, P / 8) u8, shape_ids (m,)
                               of validation shapes (of training shapes where there are none)
    timeline/000064000.npz     at the start and at every validation, by samples seen:
                               samples (n, P / 8) u8, sample_levels (n, P) u8 of n codes from the prior;
                               reconstructions (m, P / 8), reconstruction_levels (m, P) of those pictures
                               (left out without an encoder); threshold, the level 1 ... 255 that cut them
    (P = R^3 in C order x, y, z; a level is round(255 p); bits as conventions.pack_grid)

All of them follow from the averaged weights, so a resumed run has the same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from pipeline.conventions import Array
from pipeline.formats.npz import write_npz
from training.data.shapes import ShapeData
from training.inference.predict import chosen, encoder_pictures, predict, sample
from training.metrics.voxels import Levels
from training.networks.build import Networks

COUNT = 8  # codes, and pictures


@dataclass(frozen=True)
class Frame:
    """One moment; P = R^3."""

    samples: Levels  # from the prior
    reconstructions: UInt8[Array, "m P"] | None
    codes: dict[str, Float32[Array, "m k Z"]]  # means and deviations of q(z | picture), for histograms


class Timeline:
    """The files of one run; `folder` is None on processes that do not write."""

    def __init__(
        self,
        folder: Path | None,
        data: ShapeData,  # pictures of its shapes are followed
        *,
        views: int,  # shown together
    ):
        self._folder, self._data = folder, data
        self._objects = chosen(data, COUNT, "timeline")
        first = np.arange(views) % data.views
        self._views = np.tile(first, (len(self._objects), 1))

    def write(self, networks: Networks, samples: int, threshold: int | None) -> Frame:
        """Publish the files of this moment."""
        frame = self.frame(networks)
        if self._folder is not None:
            if not (self._folder / "inputs.npz").exists():
                self._write_inputs(self._folder / "inputs.npz")
            level = threshold or 128
            arrays = {"samples": _packed(frame.samples, level), "sample_levels": frame.samples}
            if frame.reconstructions is not None:
                arrays["reconstructions"] = _packed(frame.reconstructions, level)
                arrays["reconstruction_levels"] = frame.reconstructions
            write_npz(self._folder / f"{samples:09d}.npz", **arrays, threshold=np.array(level, np.uint8))
        return frame

    @torch.no_grad()
    def frame(self, networks: Networks) -> Frame:
        """What the networks make of the fixed codes and pictures now."""
        reconstructions, codes = None, {}
        if networks.E is not None:
            reconstructions = predict(networks, self._data, self._objects, self._views)
            mean, log_variance = networks.encode(encoder_pictures(networks, self._data, self._objects, self._views))
            codes = {"z/mean": mean.cpu().numpy(), "z/deviation": (0.5 * log_variance).exp().cpu().numpy()}
        return Frame(sample(networks, COUNT, "timeline"), reconstructions, codes)

    def rewind(self, samples: int) -> None:
        """Forget the moments after `samples` samples."""
        for path in self._folder.glob("[0-9]*.npz") if self._folder is not None else ():
            if int(path.stem) > samples:
                path.unlink()

    def _write_inputs(self, path: Path) -> None:
        write_npz(
            path,
            pictures=self._data.gather(self._objects, self._views[:, 0])[..., :3],
            truth=self._data.voxels_bits[self._objects],
            shape_ids=np.array([self._data.records[i].shape_id for i in self._objects]),
        )


def _packed(levels: Levels, threshold: int) -> UInt8[Array, "N Q"]:
    return np.packbits(levels >= threshold, axis=1)
