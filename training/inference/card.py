"""The card of an exported network: README.md with the front matter that the Hub reads.

https://huggingface.co/docs/hub/model-cards says what its keys are.
"""

from __future__ import annotations

from typing import Any

import yaml

from training.inference.model import Model
from training.inference.terms import Terms, in_words

LIBRARY = "shapes-to-vaegan"
UNKNOWN_LICENCE = "unknown"  # as the Hub writes it


def model_card(
    model: Model,
    files: dict[str, str],  # name -> what it is, of the files beside the card
    *,
    measured: str | None = None,  # sentence of the measurement
    ious: list[float] | None = None,  # of the held-out shapes that lie beside the card
    licence: str = UNKNOWN_LICENCE,
    terms: Terms | None = None,  # licences of the training shapes
) -> str:
    """What the model is, what it takes and gives, and how well it was measured to work."""
    header, settings = model.header, model.settings
    threshold = model.threshold / 255
    listed = "\n".join(f"- `{name}`: {text}" for name, text in files.items())
    front = yaml.safe_dump(front_matter(model, ious, licence), sort_keys=False, allow_unicode=True)
    return f"""---
{front}---
# 3D-VAE-GAN, preset {settings.preset}

Wu et al. 2016, "Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling".

- Categories: {", ".join(header.categories)}
- Trained on {header.samples} samples; identity {header.identity}
- Measured: {"not yet" if measured is None else measured}.
{in_words(terms or {})}
## Files
{listed}

`occupancy` is (batch, {header.resolution}, {header.resolution}, {header.resolution}) indexed x, y, z, +Y up, -Z front;
a voxel is occupied above {threshold:.3f}, chosen on validation shapes.

    python -m training reconstruct photo.jpg --run FOLDER -o shape.glb
    python -m training sample --run FOLDER --count 16 -o samples/

FOLDER is this one, or `hf:user/name` where it lies on the Hub.

## Limits
It knows the categories above in pictures like those it was trained on, and nothing else.
Reconstruction and generation are different abilities: the measurement above speaks of the first only.
"""


def front_matter(model: Model, ious: list[float] | None, licence: str) -> dict[str, Any]:
    """Keys of the Hub; the measurement is the one that `python -m training check` makes again."""
    settings = model.settings
    task = "image-to-3d" if model.networks.reads_pictures else "unconditional-image-generation"
    front: dict[str, Any] = {
        "license": licence,
        "library_name": LIBRARY,
        "tags": ["3d-vae-gan", "voxels", "shape-generation"],
        "datasets": list(settings.datasets),
    }
    if model.networks.reads_pictures:
        front["pipeline_tag"] = task
    if ious:
        data = {"type": settings.datasets[0], "name": f"{len(ious)} held-out shapes of {', '.join(settings.datasets)}"}
        metrics = [
            {
                "type": "iou",
                "name": "mean IoU of voxels, one picture of each shape",
                "value": round(sum(ious) / len(ious), 4),
            }
        ]
        result = {"task": {"type": task}, "dataset": data, "metrics": metrics}
        front["metrics"] = ["iou"]
        front["model-index"] = [{"name": f"3D-VAE-GAN {settings.preset}", "results": [result]}]
    return front
