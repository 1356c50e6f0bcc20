"""A trained network, ready to use: settings, averaged weights, nothing of the training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from training import checkpoint
from training.checkpoint import Header
from training.networks import Networks


@dataclass(frozen=True)
class Model:
    """E and G of one checkpoint, in evaluation mode."""

    path: Path
    header: Header
    settings: Experiment
    networks: Networks


def load_model(run: Path, device: torch.device) -> Model:
    """The best checkpoint of a run folder, or the checkpoint file that `run` names."""
    path = run if run.is_file() else _best(run)
    header, tensors = checkpoint.load(path, device)
    settings = header.experiment
    networks = Networks(settings, size_px=header.size_px, resolution=header.resolution).to(device)
    networks.D = None
    checkpoint.load_weights(networks, tensors, "average.", path)
    return Model(path, header, settings, networks.requires_grad_(False).eval())


def _best(run: Path) -> Path:
    folder = checkpoint.Folder(run / "checkpoints", 1)
    path = folder.best if folder.best.exists() else folder.latest()
    if path is None:
        raise UserError("this run has no checkpoint", where=str(run), do="train it first")
    return path
