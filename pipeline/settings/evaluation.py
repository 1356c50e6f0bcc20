"""``evaluation:``, what is measured of a trained run."""

from __future__ import annotations

import pydantic

from pipeline.settings.base import Strict


class Evaluation(Strict):
    """How much is measured; every number is the same on any number of cores."""

    samples: int = pydantic.Field(default=256, ge=2, le=100_000)
    """Shapes generated from the prior."""
    chamfer_shapes: int = pydantic.Field(default=96, ge=2, le=100_000)
    """Samples and held-out shapes whose Chamfer distances are taken, each with each: time grows with the square."""
    points: int = pydantic.Field(default=2048, ge=16, le=100_000)
    """Points on the surface of each of them; 2,048 in the literature."""
    surface_shapes: int = pydantic.Field(default=128, ge=1, le=1_000_000)
    """Held-out shapes whose F-score and Chamfer distance to the truth are measured, chosen by hash."""
    views: tuple[int, ...] = ()
    """Numbers of pictures shown together, e.g. [1, 5, 20]: how IoU grows with them; for multi-view networks."""
    classify: bool = True
    """Train a linear SVM on the discriminator's features."""
    classify_on: tuple[str, ...] = ()
    """Data sets (of `datasets:`) to classify, e.g. a ModelNet; empty takes those of the experiment."""
    latent_shapes: int = pydantic.Field(default=600, ge=0, le=20_000)
    """Shapes on the map of the codes, of all splits; 0 leaves the map out."""
    interpolations: int = pydantic.Field(default=4, ge=0, le=1000)
    """Pairs of held-out pictures with the shapes between them, and as many sums of codes."""
    steps: int = pydantic.Field(default=7, ge=2, le=100)
    """Shapes from one end to the other, both included."""
