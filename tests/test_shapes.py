"""Shapes are types: the tests' check of them is on, finds a swapped axis, and leaves compiled code alone."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pipeline import conventions
from pipeline.conventions import Array, Float64, Grid, Points
from tests.shapes import check_module, checked, shapes_of


def test_the_product_is_checked_in_the_tests() -> None:
    with pytest.raises(TypeCheckError, match="pipeline.conventions.pack_grid"):
        conventions.pack_grid(np.zeros((2, 2, 3), bool))
    with pytest.raises(TypeCheckError, match="pipeline.conventions.unpack_grid"):
        conventions.unpack_grid(np.zeros(1, np.int64), 2)
    assert conventions.pack_grid(np.zeros((2, 2, 2), bool)).tolist() == [0]


def add(points: Float64[Array, "V 3"], offsets: Float64[Array, "V 3"] | None = None) -> Points:
    return points if offsets is None else points + offsets


def drop(points: Points, number: int, names: list[Grid]) -> Points:
    return points[number:]


@pytest.mark.parametrize(
    "points, offsets",
    [(np.zeros((3, 4)), None), (np.zeros((2, 3)), np.zeros((3, 3))), (np.zeros((2, 3), np.float32), None)],
)
def test_a_swapped_axis_another_number_and_another_element_type_fail(points: Points, offsets: Points | None) -> None:
    with pytest.raises(TypeCheckError):
        checked(add)(points, offsets)
    assert checked(add)(np.zeros((2, 3)), np.ones((2, 3))).sum() == 6


def test_labels_may_differ_and_what_is_drawn_by_chance_is_not_looked_at() -> None:
    assert set(shapes_of(drop)) == {"points", "return"}
    assert checked(drop)(np.zeros((4, 3)), 1, ["no grid"]).shape == (3, 3)


def test_methods_properties_and_dataclasses_are_checked_and_other_kinds_of_function_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("sample")
    monkeypatch.setitem(sys.modules, "sample", module)
    source = (
        "import dataclasses, functools\n"
        "from numba import njit\n"
        "from pipeline.conventions import Points\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Cloud:\n"
        "    points: Points\n"
        "    @property\n"
        "    def flat(self) -> Points: return self.points.reshape(-1)\n"
        "    @staticmethod\n"
        "    def same(points: Points) -> Points: return points\n"
        "@njit\n"
        "def compiled(points: Points) -> Points: return points\n"
        "@functools.cache\n"
        "def cached(number: int) -> Points: return number\n"
    )
    exec(source, module.__dict__)
    compiled, cached = module.__dict__["compiled"], module.__dict__["cached"]
    check_module(module)
    cloud = module.__dict__["Cloud"]
    with pytest.raises(TypeCheckError):
        cloud(np.zeros((3, 2)))
    with pytest.raises(TypeCheckError):
        _ = cloud(np.zeros((2, 3))).flat
    with pytest.raises(TypeCheckError):
        cloud.same(np.zeros(3))
    assert module.__dict__["compiled"] is compiled and module.__dict__["cached"] is cached
