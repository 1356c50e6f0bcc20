"""One entry that stands for several runs."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.settings import config
from pipeline.settings.config import expanded

DATA = {"datasets": {"d": {"source": "modelnet10"}}}


def check(**entries: Any) -> dict[str, Any]:
    values = {name: {"datasets": ["d"], **entry} for name, entry in entries.items()}
    return dict(config.check({**DATA, "experiments": values}).experiments)


def test_seeds_count_from_the_entrys_own() -> None:
    found = check(a={"seeds": 3}, b={"seeds": 2, "seed": 7}, c={})
    assert {name: run.seed for name, run in found.items()} == {"a": 1, "a-2": 2, "a-3": 3, "b": 7, "b-2": 8, "c": 1}


def test_values_are_tried_each_with_each() -> None:
    found = check(a={"vary": {"kl_weight": [0.2, 0.5], "mirror": [True, False]}, "seeds": 2})
    assert len(found) == 8
    run = found["a-kl_weight-0.2-mirror-false-2"]
    assert (run.kl_weight, run.mirror, run.seed) == (0.2, False, 2)


def test_entries_without_series_stay_as_they_are() -> None:
    entries = {"a": {"datasets": ["d"]}, "b": "no table"}
    assert expanded(entries, "x") == entries


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": {"seeds": 0}}, "a number from 1 to"),
        ({"a": {"seeds": True}}, "a number from 1 to"),
        ({"a": {"vary": [1]}}, "a list of values for each key"),
        ({"a": {"vary": {"kl_weight": []}}}, "a list of values for each key"),
        ({"a": {"vary": {"kl_wait": [1]}}}, "unknown key `experiments.a-kl_wait-1.kl_wait`; did you mean 'kl_weight'?"),
        ({"a": {"seeds": 2}, "a-2": {}}, "a second experiment 'a-2'"),
    ],
)
def test_what_makes_no_series_is_explained(entries: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        check(**entries)
    assert message in str(caught.value)
