"""config.yaml as one typed, strict object: a wrong key, type or range stops before any job.

An unknown key is an error with "did you mean"; `load` reads a file, `check` a dictionary
(what Snakemake has merged from `config.yaml`, `--configfile` and `--config`).
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pydantic
import yaml

from pipeline.errors import UserError
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.base import Strict
from pipeline.settings.datasets import Dataset, Procedural
from pipeline.settings.evaluation import Evaluation
from pipeline.settings.parse import did_you_mean, misplaced, parse
from pipeline.settings.photographs import PhotographSet
from pipeline.settings.render import Render
from pipeline.settings.report import Report
from pipeline.settings.shards import Shards
from pipeline.settings.sources import GENERATED
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

    @property
    def plants_faults(self) -> bool:
        """Whether broken files are planted on purpose, among generated meshes and the backgrounds of such a run."""
        generated = [one.procedural or Procedural() for one in self.datasets.values() if one.source == GENERATED]
        return any(procedural.nasty for procedural in generated)

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
        for kind, section, names in (
            ("data set", "datasets", self.datasets),
            ("experiment", "experiments", self.experiments),
            ("photograph set", "photographs", self.photographs),
        ):
            for name in names:
                if not re.fullmatch(NAME, name):  # `match` lets a line end follow
                    text = f"{kind} name {name!r} must be small letters, digits, '.', '_' or '-'"
                    raise misplaced((section, name), text)
        if "backgrounds" in self.datasets:
            raise misplaced(("datasets", "backgrounds"), "a data set cannot be named 'backgrounds'; take another name")
        for name, experiment in self.experiments.items():
            for dataset in experiment.datasets:
                if dataset not in self.datasets:
                    hint = did_you_mean(dataset, list(self.datasets))
                    text = f"experiment {name!r} names the unknown data set {dataset!r}{hint}"
                    raise misplaced(("experiments", name, "datasets"), text)
        if self.backgrounds.colour == "transparent" and self.shards.storage == "composite":
            raise misplaced(
                ("backgrounds", "colour"),
                "backgrounds.colour 'transparent' keeps foregrounds only; set shards.storage to 'layers' for it",
            )
        for dataset in self.evaluation.classify_on:
            if dataset not in self.datasets:
                hint = did_you_mean(dataset, list(self.datasets))
                raise misplaced(
                    ("evaluation", "classify_on"),
                    f"evaluation.classify_on names the unknown data set {dataset!r}{hint}",
                )
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
            do="give the path of an existing YAML file, or make a folder with one: `python -m shapes init DIR`",
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
    if isinstance(values, dict) and isinstance(values.get("experiments"), dict):
        values = {**values, "experiments": expanded(values["experiments"], where)}
    return parse(Config, values, where)


def json_schema() -> str:
    """The JSON schema of config.yaml, for editors; `make schema` writes it to config.schema.json."""
    schema = Config.model_json_schema()
    # An entry of `experiments` may stand for several runs; the settings of one run do not know these two keys.
    schema["$defs"]["Experiment"]["properties"] |= {
        "seeds": {"type": "integer", "minimum": 1, "maximum": MOST_RUNS, "description": "Runs of equal settings."},
        "vary": {"type": "object", "description": "A list of values for each key that is varied."},
    }
    return json.dumps(schema, indent=1, sort_keys=True)


# ---- entries that stand for several runs ---------------------------------------------------

MOST_RUNS = 10_000


def expanded(experiments: dict[str, Any], where: str) -> dict[str, Any]:
    """Every experiment that the entries stand for, each under its own name.

    a: {datasets: [d], seeds: 3}                               -> a, a-2, a-3, with seeds 1, 2, 3
    b: {datasets: [d], vary: {kl_weight: [0.2, 0.5]}}          -> b-kl_weight-0.2, b-kl_weight-0.5
    c: {datasets: [d], seeds: 2, vary: {...}}                  -> each of them with each seed

    ``python -m training compare`` takes runs that differ in nothing but their seeds together.
    """
    found: dict[str, Any] = {}
    for name, entry in experiments.items():
        if not isinstance(entry, dict) or not {"seeds", "vary"} & set(entry):
            runs = {name: entry}
        else:
            runs = dict(_series(str(name), entry, where))
        for run, values in runs.items():
            if run in found:
                _refuse(f"`experiments.{name}`", f"a second experiment {run!r}", "another name for one of them", where)
            found[run] = values
    return found


def _series(name: str, entry: dict[str, Any], where: str) -> list[tuple[str, dict[str, Any]]]:
    seeds, vary = entry.get("seeds", 1), entry.get("vary", {})
    if not isinstance(seeds, int) or isinstance(seeds, bool) or not 1 <= seeds <= MOST_RUNS:
        _refuse(f"`experiments.{name}.seeds`", repr(seeds), f"a number from 1 to {MOST_RUNS}", where)
    if not isinstance(vary, dict) or not all(isinstance(values, list) and values for values in vary.values()):
        _refuse(f"`experiments.{name}.vary`", repr(vary), "a list of values for each key", where)
    plain = {key: value for key, value in entry.items() if key not in ("seeds", "vary")}
    first = plain.get("seed", 1)
    runs = []
    for values in itertools.product(*vary.values()):
        chosen = dict(zip(vary, values))
        label = "-".join([name, *(f"{key}-{_short(value)}" for key, value in chosen.items())])
        for number in range(seeds):
            run = label if number == 0 else f"{label}-{number + 1}"
            runs.append((run, {**plain, **chosen, **({"seed": first + number} if seeds > 1 else {})}))
    return runs


def _short(value: Any) -> str:
    """A value as part of a name: small letters, digits, dots, dashes and underscores."""
    text = "-".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^a-z0-9_.-]", "_", text.lower())


def _refuse(place: str, got: str, wanted: str, where: str) -> None:
    raise UserError(
        f"{place}: this series of experiments cannot be made",
        where=where,
        got=got,
        wanted=wanted,
        do="correct the key and run the same command again",
    )
