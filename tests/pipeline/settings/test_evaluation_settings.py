"""What config.yaml may say of measuring, and what the plan makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.settings import config
from pipeline.settings.evaluation import Evaluation
from pipeline.settings.parse import parse
from pipeline.workflow.graph import Job
from pipeline.workflow.plan import Plan

BASE: dict[str, Any] = {"datasets": {"d": {"source": "modelnet10"}}, "experiments": {"e": {"datasets": ["d"]}}}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"evaluation": {"sample": 9}}, "unknown key `evaluation.sample`; did you mean 'samples'"),
        ({"evaluation": {"classify_on": ["dd"]}}, "unknown data set 'dd'; did you mean 'd'"),
        ({"photographs": {"ikea": {"source": "ikeaa", "path": "x"}}}, "photographs.ikea.source"),
        ({"photographs": {"ikea": {"source": "ikea"}}}, "photographs.ikea.path"),
        ({"photographs": {"I K": {"source": "ikea", "path": "x"}}}, "photograph set name 'I K'"),
    ],
)
def test_wrong_keys_stop_before_any_job(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        config.check(BASE | section)
    assert message in str(error.value)


def needed(plan: Plan, label: str) -> list[str]:
    """What the evaluation of the experiment `e` reads under this name."""
    return [path for need in plan.graph.needs(Job("evaluate", "e")) if need.label == label for path in need.files]


def test_photographs_have_the_size_of_the_views(tmp_path: Path) -> None:
    def plan() -> Plan:
        section = {"photographs": {"ikea": {"source": "ikea", "path": str(tmp_path)}}, "render": {"size_px": 128}}
        return Plan(BASE | section)

    before = plan()
    assert json.loads(before.photographs("ikea")) == {"source": "ikea", "path": str(tmp_path), "size_px": 128}
    assert needed(before, "photographs") == ["results/photographs/ikea.npz"]
    job = Job("photographs", "ikea")
    pictures = before.sources(job)
    assert plan().sources(job) == pictures
    (tmp_path / "new.jpg").write_bytes(b"1")
    assert plan().sources(job) != pictures


def test_how_much_is_measured_trains_nothing_again() -> None:
    plain, other = Plan(BASE), Plan(BASE | {"evaluation": {"samples": 9, "views": [1, 5], "classify_on": ["d"]}})
    assert plain.experiment("e") == other.experiment("e")
    assert plain.head("train", "e").digest == other.head("train", "e").digest
    assert parse(Evaluation, other.section("evaluation"), "x") == other.config.evaluation
    assert plain.section("evaluation") == "{}" and needed(plain, "classified") == needed(plain, "photographs") == []
    assert needed(other, "classified") == ["results/shards/d/index.json"]
