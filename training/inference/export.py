"""Export a trained network to a folder that can be shared: ONNX graphs, weights and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.atomic import atomic_path, write_text
from pipeline.state.digests import sha256_of
from pipeline.state.files import read_state, write_state
from training.inference import held_out
from training.inference.card import UNKNOWN_LICENCE, model_card
from training.inference.graphs import onnx_bytes
from training.inference.model import CONFIG, WEIGHTS, Model, export_config
from training.inference.terms import Terms

SAMPLER, RECONSTRUCTOR = "sampler.onnx", "reconstructor.onnx"
MEASURED = "measured"  # key of config.json: the sentence of the measurement
LICENCES = "licences"  # key of config.json and results.json: training/inference/terms.py
SCRIPT = "reconstruct.py"  # a copy of portable.py, which is part of no process that runs here


class Reconstructor(nn.Module):
    """Pictures in [-1, 1] -> (B, R, R, R) occupancy probabilities, by the code that evaluation takes.

    (B, 3, S, S); of a network that joins V views (B, V, 3, S, S), where fewer are given again until there are V.
    """

    def __init__(self, model: Model):
        super().__init__()
        self.networks, self.coding = model.networks, model.networks.coding
        self.draws: Tensor | None = None
        if self.coding.is_sampled:  # part of the graph, which would draw others
            self.draws = self.coding.draws(self.coding.views, torch.device("cpu"))

    def forward(self, images: Float[Tensor, "B ... 3 S S"]) -> Float[Tensor, "B R R R"]:
        """Occupancy of the object in each picture, or in each set of views."""
        views = images[:, None] if self.coding.views == 1 else images
        return self.networks.answer(views, self.draws)[:, 0]


class Sampler(nn.Module):
    """(B, Z) codes of N(0, 1), or of another prior, -> (B, R, R, R) occupancy probabilities."""

    def __init__(self, model: Model):
        super().__init__()
        self.networks, self.source = model.networks, model.networks.sampling_source

    def forward(
        self, codes: Float[Tensor, "B Z"], categories: Int64[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B R R R"]:
        """Occupancy of the shape of each code; `categories` for networks that are told them."""
        logits: Tensor = self.networks.G(self.networks.towards(codes, categories), self.source)
        return logits[:, 0].sigmoid()


def export(
    model: Model, folder: Path, run: Path | None = None, *, onnx: bool = True, licence: str = UNKNOWN_LICENCE
) -> list[Path]:
    """Write the folder; returns its files.

    run : folder of an evaluated run, or one that was exported before: the measurement goes on the card, and with its
        held-out pictures the folder can be checked by whoever gets it (training/inference/held_out.py).
    licence : of the weights, as the Hub names licences ("mit", "cc-by-4.0"), for the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = _write_graphs(model, folder) if onnx else []
    kept = [] if run is None else held_out.write_held_out(model, run, folder)
    measured = None if run is None else measured_of(run)
    weights, card, config = folder / WEIGHTS, folder / "README.md", folder / CONFIG
    with atomic_path(weights) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in model.networks.state_dict().items()}, temporary)
    sums = {"sha256": {path.name: sha256_of(path) for path in (weights, *written) if path.name != SCRIPT}}
    terms = None if run is None else terms_in(run)
    told = ({} if measured is None else {MEASURED: measured}) | ({LICENCES: terms} if terms else {})
    write_state(config, export_config(model) | sums | told)
    ious = [float(iou) for path in kept for iou in held_out.read_held_out(path)["iou"]]
    about = _about(model, {path.name for path in (*written, *kept)})
    write_text(card, model_card(model, about, measured=measured, ious=ious, licence=licence, terms=terms))
    return [*written, weights, config, card, *kept]


def _write_graphs(model: Model, folder: Path) -> list[Path]:
    written = [folder / SAMPLER]
    asked = {"codes": torch.zeros(2, model.networks.coding.latent)}
    if model.networks.G.classes is not None:
        asked["categories"] = torch.zeros(2, dtype=torch.int64)
    _write_onnx(written[0], Sampler(model), asked, {0: "batch"})
    if model.networks.E is not None:
        written.append(folder / RECONSTRUCTOR)
        _write_onnx(written[-1], Reconstructor(model), {"images": torch.zeros(2, *_taken(model))}, _free(model))
    if model.networks.reads_pictures:
        written.append(folder / SCRIPT)
        write_text(written[-1], Path(__file__).with_name("portable.py").read_text(encoding="utf-8"))
    return written


def _taken(model: Model) -> tuple[int, ...]:
    """Shape of what the reconstructor takes, without the batch."""
    coding = model.networks.coding
    side = model.header.resolution if coding.takes == "projections" else model.header.size_px
    views = () if coding.views == 1 else (coding.views,)
    return (*views, 3, side, side)


def _free(model: Model) -> dict[int, str]:
    """Axes of the reconstructor's pictures that may have any length: the mean of any number of views is one code."""
    coding = model.networks.coding
    return {0: "batch"} if coding.views == 1 or coding.is_sampled else {0: "batch", 1: "views"}


def _write_onnx(path: Path, module: nn.Module, examples: dict[str, Tensor], free: dict[int, str]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(onnx_bytes(module, examples, ("occupancy",), dict.fromkeys(examples, free)))


def measured_of(run: Path) -> str | None:
    """How well a run, or the run that a folder was exported from, was measured to work, in a sentence."""
    results = _read(run / "results.json", "run `python -m training evaluate` again")
    if results is not None:
        return str(results["verdict"]["sentence"])
    config = _read(run / CONFIG, "export it again, or copy it again")
    return None if config is None else config.get(MEASURED)


def terms_in(run: Path) -> Terms:
    """Licences of the shapes that a run, or the run that a folder was exported from, was trained on."""
    for name in ("results.json", CONFIG):
        found = _read(run / name, "copy it again") or {}
        if isinstance(found.get(LICENCES), dict):
            return dict(found[LICENCES])
    return {}


def _read(path: Path, do: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = read_state(path, what="this file cannot be read", do=do)
    return found


def _about(model: Model, beside: set[str]) -> dict[str, str]:
    """What each file of the folder is, for its card; `beside`: names of the files beside the weights."""
    settings = model.settings
    what = "the three axis projections" if settings.encoder_input == "projections" else "RGB, row 0 on top"
    several = "" if settings.views_per_shape == 1 else f", {settings.views_per_shape} views of one object"
    told = "" if settings.condition == "none" else " and `categories` (batch), their places in the list above,"
    about = {
        WEIGHTS: "with `config.json` the weights and every setting",
        RECONSTRUCTOR: f"`images` (batch, {', '.join(map(str, _taken(model)))}) float32 in [-1, 1], {what}{several}, "
        "to `occupancy`",
        SCRIPT: "a shape from a photograph, with numpy, onnxruntime and pillow alone; "
        "`python reconstruct.py photo.jpg -o shape.obj`",
        SAMPLER: f"`codes` (batch, {settings.latent}) from the prior `{settings.prior}`{told} to `occupancy`",
        held_out.HELD_OUT: "a picture of each held-out shape and what was made of it; "
        "`python -m training check --run FOLDER` makes it again and compares",
    }
    return {name: text for name, text in about.items() if name in beside | {WEIGHTS}}
