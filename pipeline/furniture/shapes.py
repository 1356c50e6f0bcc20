"""`make_shape`: one piece of furniture from (seed, category, index)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pipeline import seeds
from pipeline.errors import UserError
from pipeline.furniture import bed, bookcase, chair, desk, sofa, table
from pipeline.furniture.assemble import assemble
from pipeline.furniture.draw import Draw
from pipeline.furniture.materials import Look
from pipeline.furniture.parts import Part
from pipeline.meshes.mesh import Mesh


class _Class(NamedTuple):
    draw_parameters: Callable[[Draw], Any]
    draw_looks: Callable[[Draw, Any], dict[str, Look]]
    build: Callable[[Any], list[Part]]


_CLASSES = {
    module.__name__.rpartition(".")[2]: _Class(module.draw_parameters, module.draw_looks, module.build)
    for module in (bed, bookcase, chair, desk, sofa, table)
}
CATEGORIES = tuple(_CLASSES)
"""The six classes of the IKEA test of the 3D-VAE-GAN paper (arXiv 1610.07584, table 2)."""


def parameters(seed: int, category: str, index: int) -> Any:
    """The parameters of one shape: a frozen dataclass of numbers in metres and degrees and named variants."""
    return _class_of(category).draw_parameters(Draw(seeds.generator(seed, "furniture", category, index)))


def make_shape(seed: int, category: str, index: int) -> Mesh:
    """One piece of furniture in metres, +Y up, front towards -Z, standing on y = 0.

    The same arguments give the same mesh, whatever else is made.
    Raises UserError for an unknown category.
    """
    kind = _class_of(category)
    chosen = parameters(seed, category, index)
    # Looks have a stream of their own, so a change of palette moves no geometry.
    looks = kind.draw_looks(Draw(seeds.generator(seed, "furniture look", category, index)), chosen)
    mesh = assemble(kind.build(chosen), looks)
    mesh.vertices -= np.array([0.0, mesh.vertices[:, 1].min(), 0.0])
    return mesh


def _class_of(category: str) -> _Class:
    if category not in _CLASSES:
        raise UserError(
            "unknown furniture category",
            where="pipeline.furniture",
            got=category,
            wanted=", ".join(CATEGORIES),
        )
    return _CLASSES[category]
