"""A trained network, ready to use: settings, averaged weights, nothing of the training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.errors import UserError
from pipeline.settings.training import Experiment
from pipeline.state.digests import sha256_of
from pipeline.state.files import Stored, read_state
from training.networks import checkpoint
from training.networks.build import Networks
from training.networks.checkpoint import Header

WEIGHTS, CONFIG = "model.safetensors", "config.json"  # of an exported folder


class _Exported(Stored):
    """config.json of an exported folder."""

    model_config = pydantic.ConfigDict(extra="ignore", strict=True)

    settings: dict[str, Any]
    size_px: int
    resolution: int
    categories: list[str]
    identity: str
    samples: int
    threshold: float = pydantic.Field(ge=0, le=1)
    measured: str | None = None
    sha256: dict[str, str] = {}  # of the files beside it that hold the network


_EXPORTED: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(_Exported)


@dataclass(frozen=True)
class Model:
    """E and G of one checkpoint, in evaluation mode."""

    path: Path
    header: Header
    settings: Experiment
    networks: Networks

    @property
    def threshold(self) -> int:
        """The level 1 ... 255 that suited the validation shapes; the middle where there were none."""
        return self.header.loop.get("best_threshold") or 128


def load_model(run: Path, device: torch.device) -> Model:
    """The best checkpoint of a run folder, a checkpoint file, or a folder that `training export` wrote."""
    if (run / WEIGHTS).is_file():
        path, prefix = run / WEIGHTS, ""
        header, tensors = _exported(run, device)
    else:
        path, prefix = run if run.is_file() else _best(run), "average."
        header, tensors = checkpoint.load(path, device)
    settings = header.experiment
    networks = networks_of(settings, header).to(device)
    networks.D = networks.V = None  # of the training alone
    tensors = {name: value for name, value in tensors.items() if not name.startswith(f"{prefix}V.")}
    checkpoint.load_weights(networks, tensors, prefix, path)
    return Model(path, header, settings, networks.requires_grad_(False).eval())


def networks_of(settings: Experiment, header: Header) -> Networks:
    """New networks of the sizes that a checkpoint tells, with initial weights."""
    return Networks(settings, size_px=header.size_px, resolution=header.resolution, categories=len(header.categories))


def export_config(model: Model) -> dict[str, Any]:
    """What an exported folder's config.json says; `load_model` reads it back."""
    header, settings = model.header, model.settings.model_dump(mode="json")
    if settings["encoder_weights"] is not None:  # where it lay is of no use to others
        settings["encoder_weights"] = Path(settings["encoder_weights"]).name
    return {
        "settings": settings,
        "size_px": header.size_px,
        "resolution": header.resolution,
        "categories": header.categories,
        "identity": header.identity,
        "samples": header.samples,
        "threshold": model.threshold / 255,
    }


def _exported(folder: Path, device: torch.device) -> tuple[Header, dict[str, torch.Tensor]]:
    what, do = "this exported model is not whole", "export it again, or copy both files again"
    config = read_state(folder / CONFIG, _EXPORTED, what=what, do=do)
    weights, wanted = folder / WEIGHTS, config.get("sha256", {}).get(WEIGHTS)
    try:
        if wanted is not None and (found := sha256_of(weights)) != wanted:
            raise ValueError(f"SHA-256 {found[:12]}..., and {wanted[:12]}... was exported")
        tensors = load_file(weights, device=str(device))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(what, where=str(weights), got=str(error), do=do) from error
    known = {key: config[key] for key in ("identity", "settings", "size_px", "resolution", "categories", "samples")}
    return Header(**known, loop={"best_threshold": round(config["threshold"] * 255)}), tensors


def _best(run: Path) -> Path:
    folder = checkpoint.Folder(run / "checkpoints", 1)
    path = folder.best if folder.best.exists() else folder.latest()
    if path is None:
        raise UserError("this run has no checkpoint", where=str(run), do="train it first")
    return path
