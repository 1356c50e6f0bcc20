"""What each stage sees: the settings that it may depend on, the code behind it, and the other files that it reads.

Left out is what changes no product: where files are fetched from, limits of time, how many checkpoints are
kept, what is only shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pydantic

from pipeline import provenance
from pipeline.provenance import code_parts, files_digest_once
from pipeline.settings.base import Strict
from pipeline.settings.config import Config
from pipeline.settings.datasets import Procedural
from pipeline.settings.sources import GENERATED
from pipeline.settings.training import Experiment
from pipeline.workflow.heads import Head

# The functions behind the command of a rule, whose imports are the code of the stage.  Fetching is left out on
# purpose (an edited downloader must not download 39 GB again), and so is listing: lists are compared themselves.
CODE = {
    "generate": ("pipeline.stages.generate",),
    "rooms": ("pipeline.stages.rooms",),
    "fetch": (),
    "fetch_backgrounds": (),
    "index": (),
    "prepare": ("pipeline.stages.prepare",),
    "import_voxels": ("pipeline.stages.import_voxels",),
    "import_views": ("pipeline.stages.import_views",),
    "voxelize": ("voxelize.cli:_shard",),
    "backgrounds": ("render.__main__:backgrounds",),
    "render": ("render.__main__:shard",),
    "clusters": ("pipeline.stages.clusters",),
    "pack": ("render.__main__:pack",),
    "ledger": ("pipeline.stages.ledger",),
    "shard_index": ("pipeline.shards.command:_index",),
    "sheet": ("render.__main__:sheet",),
    "audit": ("render.__main__:audit",),
    "train": ("training.command.train:_train",),
    "photographs": ("pipeline.stages.photographs",),
    "evaluate": ("training.command.measure:_evaluate",),
    "page": ("training.command.use:_page",),
    "gallery": ("report.__main__:_gallery",),
    "report": ("report.__main__:_page",),
}
# Stages that read a data set by its own adapter.
_BY_ADAPTER = {"prepare", "import_voxels", "import_views"}
_PAGE = ("*.html", "*.css", "*.js")
_DRAWER = "dist/scene.js"
_BUNDLES = (_DRAWER, "dist/runtime.js", "dist/runtime.wasm.gz")
_READ_BY_PAGE = ("camera.js", "unpack.js", "overlay.js")
# Keys of an experiment that change neither its weights nor what is measured of them.
NOT_LEARNED = {"datasets", "keep_checkpoints", "device", "processes", "compile", "tensorboard", "wandb"}
_LIMITS = {"seconds_per_shape"}
_PREPARED = {"texture_px", "max_faces", "above_max_faces"}


class Values:
    """Settings under their keys in config.yaml, and which of them have their default."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.defaults: set[str] = set()

    def section(self, prefix: str, section: Strict, *, only: set[str] | None = None, but: Collection[str] = ()) -> None:
        """Take keys of one section; `only` these, or all `but` those."""
        keys = set(type(section).model_fields) - set(but) if only is None else only
        for key, value, default in _flat(section, keys):
            self.add(f"{prefix}{key}", value, default)

    def add(self, key: str, value: Any, default: Any = None) -> None:
        """Take one value."""
        self.values[key] = value
        if value == default:
            self.defaults.add(key)


def _flat(section: Strict, keys: set[str]) -> Iterator[tuple[str, Any, Any]]:
    plain = section.model_dump(mode="json")
    for key in sorted(keys):
        value, default = getattr(section, key), type(section).model_fields[key].get_default(call_default_factory=True)
        if isinstance(value, Strict):
            for below, inner, inner_default in _flat(value, set(type(value).model_fields)):
                yield f"{key}.{below}", inner, inner_default
        else:
            yield key, plain[key], pydantic.TypeAdapter(Any).dump_python(default, mode="json")


def head_of(config: Config, rule: str, name: str) -> Head:
    """What the stage `rule` sees for the data set, experiment or set of photographs `name`."""
    seen = _settings(config, rule, name)
    code = list(CODE[rule])
    if rule in _BY_ADAPTER:
        code.append("pipeline.sources." + config.datasets[name].entry.adapter.partition(":")[0])
    return Head(rule, name, seen.values, code_parts(*code), _files(config, rule), frozenset(seen.defaults))


def is_shared(rule: str) -> bool:
    """Whether all data sets share what a stage sees."""
    return rule in _SHARED


def checks(config: Config, rule: str, name: str) -> dict[str, Any]:
    """Settings that only decide whether a stage may pass: another value runs it again, and nothing that follows."""
    if rule == "ledger":
        return {f"datasets.{name}.max_rejected_percent": config.datasets[name].max_rejected_percent}
    return {}


# Stages whose settings and code have no part for a single data set.
_SHARED = {"voxelize", "render", "clusters", "pack", "ledger", "shard_index", "sheet", "audit", "gallery"}
_SEEDED = {"generate", "rooms", "index", "backgrounds", "render", "pack", "train"}


def _settings(config: Config, rule: str, name: str) -> Values:
    seen = Values()
    if rule in _SEEDED:
        seen.add("seed", config.seed)
    if rule in ("generate", "fetch", "index", *_BY_ADAPTER):
        _of_dataset(config, rule, name, seen)
    elif rule in ("rooms", "fetch_backgrounds", "backgrounds"):
        _of_backgrounds(config, rule, seen)
    elif rule == "voxelize":
        seen.section("voxels.", config.voxels, but=_LIMITS)
    elif rule == "render":
        seen.section("render.", config.render, but=_LIMITS | _PREPARED)
    elif rule == "pack":
        seen.section("shards.", config.shards)
        seen.add("backgrounds.colour", _behind(config), "photo")
    elif rule == "train":
        _of_experiment(config.experiments[name], f"experiments.{name}.", seen)
    elif rule == "evaluate":
        seen.section("evaluation.", config.evaluation, but={"classify_on"})
    elif rule == "photographs":
        seen.add(f"photographs.{name}.source", config.photographs[name].source)
        seen.add("render.size_px", config.render.size_px)
    elif rule in ("sheet", "gallery"):
        seen.section("report.", config.report, only={"shapes" if rule == "sheet" else "gallery_shapes"})
    elif rule == "report":
        seen.section("report.", config.report, but={"shapes", "gallery_shapes"})
    return seen


def _of_dataset(config: Config, rule: str, name: str, seen: Values) -> None:
    dataset, prefix = config.datasets[name], f"datasets.{name}."
    if rule == "generate":
        seen.section(f"{prefix}procedural.", dataset.procedural or Procedural())
        return
    seen.add(f"{prefix}source", dataset.layout if dataset.source == GENERATED else dataset.source)
    if rule == "index":
        seen.section(prefix, dataset, only={"categories", "licences", "shapes_per_category", "shards", "split"})
        seen.section(prefix, dataset, only={"val_percent", "test_percent"})
    elif rule == "prepare":
        seen.section(prefix, dataset, only={"up_axis", "yaw_deg"})
        seen.section("render.", config.render, only=_PREPARED)
    elif rule == "import_voxels":
        seen.add("voxels.resolution", config.voxels.resolution)
    elif rule == "import_views":
        seen.add("render.size_px", config.render.size_px)


def _of_backgrounds(config: Config, rule: str, seen: Values) -> None:
    settings = config.backgrounds
    if rule == "rooms":
        seen.section("backgrounds.", settings, only={"count"})
        seen.add("datasets.*.procedural.nasty", config.plants_faults, False)
    elif rule == "fetch_backgrounds":
        seen.add("backgrounds.source", settings.source)
    else:
        seen.section("backgrounds.", settings, but={"mirrors", "path", "colour", "bank_px"})
        if settings.bank_px is None:
            seen.add("render.size_px", config.render.size_px)
        else:
            seen.add("backgrounds.bank_px", settings.bank_px)


def _behind(config: Config) -> str:
    return config.backgrounds.colour if config.backgrounds.source == "none" else "photo"


def _of_experiment(experiment: Experiment, prefix: str, seen: Values) -> None:
    plain = experiment.model_dump(mode="json")
    preset = type(experiment)(datasets=experiment.datasets, preset=experiment.preset).model_dump(mode="json")
    for key in sorted(set(plain) - NOT_LEARNED - {"preset"}):
        seen.add(f"{prefix}{key}", plain[key], preset[key])


def _files(config: Config, rule: str) -> dict[str, str]:
    if rule == "gallery":
        return {"report/gallery": files_digest_once(provenance.ROOT / "report" / "gallery", (*_PAGE, _DRAWER))}
    if rule == "page":
        return {
            "report/try": files_digest_once(provenance.ROOT / "report" / "try", _PAGE),
            "report/gallery": files_digest_once(provenance.ROOT / "report" / "gallery", (*_READ_BY_PAGE, *_BUNDLES)),
        }
    if rule == "report":
        return {
            "report/templates": files_digest_once(provenance.ROOT / "report" / "templates", _PAGE),
            "report/gallery": files_digest_once(provenance.ROOT / "report" / "gallery", ("unpack.js", _DRAWER)),
            "docs/metrics.md": files_digest_once(provenance.ROOT / "docs", ("metrics.md",)),
        }
    if rule == "render" and config.render.backend != "raster":
        return {
            "render/backends/shaders": files_digest_once(provenance.ROOT / "render" / "backends" / "shaders", ("*",))
        }
    return {}
