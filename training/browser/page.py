"""A page on which a trained network can be tried: it runs in the reader's browser and nowhere else.

    try.html    style, scripts, the 3D drawer, the WebAssembly runtime, two graphs (training/inference/graphs.py),
                held-out pictures with their truth, codes to draw from: works from a file, asks for nothing

Its scripts lie in report/try, the drawer and the runtime in report/gallery/dist, where `make bundle` puts them.
"""

from __future__ import annotations

import base64
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from pipeline.atomic import write_text
from pipeline.conventions import Array
from pipeline.errors import UserError
from pipeline.formats.html import packed, policy, script_json, template
from training.data.pictures import normalised
from training.inference import held_out
from training.inference.export import measured_of
from training.inference.familiar import FAR, SELF, Familiar
from training.inference.graphs import encoder_graph, generator_graph
from training.inference.model import Model
from training.inference.reconstruct import code_named

REPORT = Path(__file__).resolve().parents[2] / "report"
DRAWER, RUNTIME, WASM = "gallery/dist/scene.js", "gallery/dist/runtime.js", "gallery/dist/runtime.wasm.gz"
SCRIPTS = (
    *(f"gallery/{name}.js" for name in ("camera", "unpack", "overlay")),
    *(f"try/{name}.js" for name in ("page", "picture", "network", "files", "answer", "editor", "prior", "start")),
)
SAMPLES = 12  # first shapes of `sample --seed 1`, also shown as small pictures
AXES = 6  # principal axes of the codes that have a slider
SHEET_PX = 24 * 64  # of held-out pictures side by side


def write_page(model: Model, run: Path, page: Path) -> None:
    """Write the page of a run, an exported folder or a checkpoint; UserError where the bundle is not there."""
    style = _asset("try/style.css")
    scripts = [_asset(DRAWER), _asset(RUNTIME)]
    scripts.append("\n".join(_asset(name) for name in SCRIPTS))
    wasm = _bytes(WASM)
    reads = model.networks.reads_pictures and model.networks.coding.views == 1
    known = held_out.known_pictures(run) if reads else None
    facts = _facts(model, run, known, reads)
    text = template(REPORT / "try").render(
        title=f"Try it: {facts['name']}",
        policy=policy(style, scripts, wasm=True),
        style=style,
        scripts=scripts,
        facts=facts,
        data={
            "facts": script_json(facts),
            "wasm": base64.b64encode(wasm).decode(),
            "generator": _zipped(generator_graph(model)),
            **({"encoder": _zipped(encoder_graph(model))} if reads else {}),
        },
    )
    write_text(page, text)


def _facts(model: Model, run: Path, known: UInt8[Array, "N S S 3"] | None, reads: bool) -> dict[str, Any]:
    """What the scripts must know beside the graphs."""
    networks = model.networks
    return {
        "name": run.stem if run.is_file() else run.resolve().name,
        "categories": model.header.categories,
        "measured": measured_of(run) if run.is_dir() else None,
        "sizePx": model.header.size_px,
        "resolution": model.header.resolution,
        "latent": networks.coding.latent,
        "threshold": model.threshold,
        "prior": networks.coding.prior,
        "source": networks.sampling_source,
        "reads": reads,
        "mirrors": networks.coding.mirrors,
        "atObject": model.settings.crop == "alpha",
        "means": None if networks.G.classes is None else _floats(networks.G.classes.weight.cpu().numpy()),
        "samples": _floats(_first_samples(model)),
        "axes": _floats(principal_axes(model, known)),
        "heldOut": _shown(run) if reads else None,
        "familiar": None if known is None else _familiar(Familiar.of(model, known)),
    }


def _first_samples(model: Model) -> Float[Array, "n Z"]:
    return torch.cat([code_named(model, f"seed:1/{number}") for number in range(SAMPLES)]).cpu().numpy()


@torch.no_grad()
def principal_axes(model: Model, known: UInt8[Array, "N S S 3"] | None) -> Float[Array, "n Z"]:
    """The first principal axes of the codes of known pictures, each as long as one standard deviation along it.

    Without such codes the directions to which G's first layer answers most (Shen and Zhou 2021, arXiv 2007.06600,
    equation 6), as long as one deviation of the prior.
    """
    if known is None:
        weight = model.networks.G.first.weight.cpu().double().numpy()
        deviation = {"normal": 1.0, "narrow": 0.33, "uniform": 12**-0.5}[model.networks.coding.prior]
        return np.asarray(np.linalg.svd(weight, full_matrices=False)[2][:AXES] * deviation)
    images = normalised(torch.from_numpy(known).to(model.networks.device))
    codes = model.networks.mean_code(images[:, None]).cpu().double().numpy()
    _, lengths, axes = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    return np.asarray(axes[:AXES] * lengths[:AXES, None] / len(codes) ** 0.5)


def _shown(run: Path) -> dict[str, Any] | None:
    """Some held-out pictures, from the worst to the best answered, with their truth; None where none were kept."""
    path = held_out.path_of(run)
    if path is None:
        return None
    kept = held_out.read_held_out(path)
    size = kept["image"].shape[1]
    order, count = np.argsort(kept["iou"], kind="stable"), max(4, SHEET_PX // size)
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    sheet = io.BytesIO()
    # Without loss: the network must get the very picture that it was measured on.
    Image.fromarray(np.concatenate(list(kept["image"][rows]), axis=1)).save(sheet, "PNG", optimize=True)
    return {
        "sheet": f"data:image/png;base64,{base64.b64encode(sheet.getvalue()).decode()}",
        "shapes": [
            {
                "id": str(kept["id"][row]),
                "category": str(kept["category"][row]),
                "iou": round(float(kept["iou"][row]), 3),
                "truth": packed(kept["truth"][row].tobytes()),
            }
            for row in rows
        ],
    }


def _familiar(familiar: Familiar) -> dict[str, Any]:
    parts = {name: _floats(getattr(familiar, name)) for name in ("mean", "deviation", "known", "between")}
    return {**parts, "far": FAR, "self": SELF}


def _floats(values: Float[Array, "*shape"]) -> str:
    return packed(np.ascontiguousarray(values, "<f4").tobytes())


def _zipped(graph: bytes) -> str:
    return base64.b64encode(gzip.compress(graph, 9, mtime=0)).decode()


def _asset(name: str) -> str:
    return _bytes(name).decode("utf-8")


def _bytes(name: str) -> bytes:
    path = REPORT / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            "a part of the page is missing",
            where=str(path),
            got=error.strerror or str(error),
            do="take it from the repository again, or make it with `make bundle`, which needs npm",
        ) from error
