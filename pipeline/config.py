"""config.yaml as one typed, strict object: a wrong key, type or range stops before any job.

An unknown key is an error with "did you mean"; `load` reads a file, `check` a dictionary
(what Snakemake has merged from `config.yaml`, `--configfile` and `--config`).
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from pipeline.errors import UserError
from pipeline.settings.base import Strict
from pipeline.settings.datasets import Backgrounds, Dataset
from pipeline.settings.evaluation import Evaluation, PhotographSet
from pipeline.settings.stages import Render, Report, Shards, Voxels
from pipeline.settings.training import Experiment

NAME = r"^[a-z0-9][a-z0-9_.-]*$"


class Config(Strict):
    """The whole of config.yaml."""

    seed: int = 1
    """Seed of splits, cameras, lights, backgrounds and generated shapes."""
    output: str = "results"
    """Folder for everything that is made; relative to the working directory."""
    datasets: dict[str, Dataset]
    """Data sets by name (small letters, digits, dots, dashes, underscores)."""
    backgrounds: Backgrounds = Backgrounds()
    voxels: Voxels = Voxels()
    render: Render = Render()
    shards: Shards = Shards()
    experiments: dict[str, Experiment] = {}
    """Training runs by name."""
    photographs: dict[str, PhotographSet] = {}
    """Sets of photographs with voxels, by name, that every experiment that reads pictures is judged on."""
    evaluation: Evaluation = Evaluation()
    report: Report = Report()

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> Config:
        for kind, names in (
            ("data set", self.datasets),
            ("experiment", self.experiments),
            ("photograph set", self.photographs),
        ):
            for name in names:
                if not re.match(NAME, name):
                    raise ValueError(f"{kind} name {name!r} must be small letters, digits, '.', '_' or '-'")
        for name, experiment in self.experiments.items():
            for dataset in experiment.datasets:
                if dataset not in self.datasets:
                    hint = did_you_mean(dataset, list(self.datasets))
                    raise ValueError(f"experiment {name!r} names the unknown data set {dataset!r}{hint}")
        if self.backgrounds.colour == "transparent" and self.shards.storage == "composite":
            raise ValueError(
                "backgrounds.colour 'transparent' keeps foregrounds only; set shards.storage to 'layers' for it"
            )
        for dataset in self.evaluation.classify_on:
            if dataset not in self.datasets:
                hint = did_you_mean(dataset, list(self.datasets))
                raise ValueError(f"evaluation.classify_on names the unknown data set {dataset!r}{hint}")
        return self


M = TypeVar("M", bound=Strict)


def load(path: str | Path) -> Config:
    """Read and check one YAML file."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            "cannot read the configuration",
            where=str(path),
            got=error.strerror or str(error),
            do="give the path of an existing YAML file",
        ) from error
    except yaml.YAMLError as error:
        raise UserError(
            "the configuration is not valid YAML",
            where=str(path),
            got=" ".join(str(error).split()),
            do="mind the indentation; every key ends in a colon and a space",
        ) from error
    return check(values, where=str(path))


def check(values: Any, where: str = "config.yaml") -> Config:
    """Check a dictionary; every problem is named in one message."""
    return parse(Config, values, where)


def parse(model: type[M], values: Any, where: str) -> M:
    """Validate `values` as `model`; a UserError lists key, value and remedy of each problem."""
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except ValueError as error:
            raise UserError("this is not JSON", where=where, got=str(error), do="correct it and run again") from error
    if not isinstance(values, dict):
        raise UserError("expected a table of keys and values", where=where, got=type(values).__name__)
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [_explain(problem, model) for problem in error.errors(include_url=False)]
        raise UserError(
            "the configuration has a problem" if len(lines) == 1 else f"the configuration has {len(lines)} problems",
            where=where,
            got="\n        ".join(lines),
            do="correct the key and run the same command again",
        ) from error


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint to append to an "unknown ..." message."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def json_schema() -> str:
    """The JSON schema of config.yaml, for editors."""
    return json.dumps(Config.model_json_schema(), indent=1, sort_keys=True) + "\n"


def _explain(problem: Any, model: type[Strict]) -> str:
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place) or "(top level)"
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{key}`{did_you_mean(place[-1], _keys_beside(model, place[:-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    shown = "" if isinstance(value, dict) or problem["type"] == "missing" else f" (got {value!r})"
    return f"`{key}`: {message[0].lower() + message[1:]}{shown}"


def _keys_beside(model: Any, place: list[str]) -> list[str]:
    """Known keys of the section at `place`, found by walking the types."""
    for part in place:
        fields = getattr(model, "model_fields", None)
        # A name inside dict[str, Section] (`datasets.chairs`) keeps us in that section's type.
        if fields is not None and part in fields:
            model = _section(fields[part].annotation)
    return list(getattr(model, "model_fields", {}))


def _section(annotation: Any) -> Any:
    """The section type inside ``Section``, ``Section | None`` or ``dict[str, Section]``."""
    leaves = [annotation] if isinstance(annotation, type) else list(getattr(annotation, "__args__", ()))
    sections = [leaf for leaf in leaves if isinstance(leaf, type) and issubclass(leaf, Strict)]
    return sections[0] if sections else None
