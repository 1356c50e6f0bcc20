"""config.yaml as one typed, strict object: a wrong key, type or range stops before any job.

An unknown key is an error with "did you mean"; `load` reads a file, `check` a dictionary
(what Snakemake has merged from `config.yaml`, `--configfile` and `--config`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pydantic
import yaml

from pipeline.errors import UserError
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.base import Strict
from pipeline.settings.datasets import Dataset
from pipeline.settings.evaluation import Evaluation
from pipeline.settings.parse import did_you_mean, parse
from pipeline.settings.photographs import PhotographSet
from pipeline.settings.render import Render
from pipeline.settings.report import Report
from pipeline.settings.shards import Shards
from pipeline.settings.training import Experiment
from pipeline.settings.voxels import Voxels

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

    @pydantic.field_validator("output")
    @classmethod
    def _output_is_a_folder(cls, value: str) -> str:
        """Refuse what cannot be a folder of a run, before any path is made of it."""
        parts = value.rstrip("/").split("/")
        if not any(parts) or ".." in parts:
            raise ValueError(f"{value!r} names no folder of its own; give a name such as results")
        if value.startswith(("-", "~")):
            raise ValueError(f"{value!r} would be taken for an option or a home folder; put ./ before it")
        if any(character in "{}" or not character.isprintable() for character in value):
            raise ValueError(f"{value!r} has a brace or a control character, which paths of the workflow cannot have")
        if max(len(part.encode()) for part in parts) > 255:
            raise ValueError("a name of more than 255 bytes cannot be a folder")
        return value

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


def json_schema() -> str:
    """The JSON schema of config.yaml, for editors; `make schema` writes it to config.schema.json."""
    return json.dumps(Config.model_json_schema(), indent=1, sort_keys=True)
