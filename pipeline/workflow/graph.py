"""The jobs of a run: which files each makes, what it needs for that, and which of it its product follows from.

The rules (pipeline/rules/) take their inputs from here, and so do the digests by which the plan knows what is out
of date: one place says what depends on what.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pipeline.settings.config import Config
from pipeline.settings.sources import GENERATED, Kind

PATHS = {
    "generate": "mirror/{name}",
    "fetch": "archives/{name}.json",
    "prepare": "prepared/{name}/{shard}.zip",
    "import_voxels": "voxels/{name}/{shard}.zip",
    "voxelize": "voxels/{name}/{shard}.zip",
    "import_views": "renders/{name}/{shard}.h5",
    "render": "renders/{name}/{shard}.h5",
    "rooms": "mirror/backgrounds",
    "fetch_backgrounds": "archives/backgrounds.json",
    "backgrounds": "backgrounds/bank.npz",
    "clusters": "clusters/{name}.json",
    "pack": "shards/{name}/{shard}.h5",
    "ledger": "ledger/{name}.tsv",
    "shard_index": "shards/{name}/index.json",
    "sheet": "samples/{name}/sheet.png",
    "gallery": "samples/{name}/gallery.html",
    "audit": "audits/{name}.json",
    "train": "runs/{name}/train.json",
    "photographs": "photographs/{name}.npz",
    "evaluate": "runs/{name}/results.json",
    "page": "runs/{name}/try.html",
    "report": "report.html",
}
TRAINED = ("config.json", "metrics.jsonl", "timing.jsonl", "timeline", "checkpoints")
EVALUATED = ("predictions.npz", "samples.npz", "results.md", "latent.npz", "interpolations.npz")


class Job(NamedTuple):
    """One job: a rule, and what it is about."""

    rule: str
    name: str = ""  # data set, experiment or set of photographs
    shard: str = ""


class Need(NamedTuple):
    """One named input of a job."""

    label: str  # as the rule calls it
    jobs: tuple[Job, ...]  # that make it; none for a file that no rule makes
    files: tuple[str, ...]
    content: bool = True  # whether the product follows from what is in it; else it only has to be there before


class Graph:
    """The jobs of a configuration, below `out`; `shards` says how many shards a data set has.

    apart : no two jobs see the same folder, so that each names every file that it reads or leaves.
    """

    def __init__(self, config: Config, out: str, shards: Callable[[str], list[str]], *, apart: bool = False):
        self.config, self.out, self.shards, self.apart = config, out, shards, apart
        self.datasets = sorted(config.datasets)
        self.experiments = sorted(config.experiments)

    # ---- data sets ---------------------------------------------------------------------------

    def sourced(self, *sources: str) -> list[str]:
        """Names of the data sets from these sources."""
        return [name for name in self.datasets if self.config.datasets[name].source in sources]

    @functools.cached_property
    def archived(self) -> list[str]:
        """Names of the data sets that come as archives: all but folders of one's own."""
        return [name for name in self.datasets if self.config.datasets[name].source != "folder"]

    @functools.cache  # noqa: B019 - lives as long as the plan
    def imported(self, kind: Kind) -> list[str]:
        """Names of the data sets whose voxels or views are taken over instead of made.

        Voxels of another size than asked for are made from the mesh, where there is one.
        """
        wanted = self.config.voxels.resolution
        entries = {name: self.config.datasets[name].entry for name in self.datasets}
        return [
            name
            for name, entry in entries.items()
            if kind in entry.provides and (kind != "voxels" or not entry.prepared or entry.resolution == wanted)
        ]

    @functools.cached_property
    def prepared(self) -> list[str]:
        """Names of the data sets of which something is made from a mesh."""
        return [name for name in self.datasets if self.config.datasets[name].entry.prepared]

    @functools.cached_property
    def trained_on(self) -> list[str]:
        """Every data set that some experiment reads."""
        return sorted({name for experiment in self.config.experiments.values() for name in experiment.datasets})

    def per_shard(self, stage: str, name: str) -> tuple[Job, ...]:
        """The jobs of a stage, one a shard; ``voxels`` and ``renders`` are made by whichever rule serves the set."""
        rule = self.maker(stage, name)
        return tuple(Job(rule, name, shard) for shard in self.shards(name))

    def maker(self, stage: str, name: str) -> str:
        """The rule that makes the voxels or the views of a data set."""
        if stage == "voxels":
            return "import_voxels" if name in self.imported("voxels") else "voxelize"
        if stage == "renders":
            return "import_views" if name in self.imported("views") else "render"
        return stage

    # ---- files ---------------------------------------------------------------------------------

    def path(self, job: Job) -> str:
        """The first file that a job makes."""
        if job.rule == "index":
            return f"{self.out}/index/{job.name}/rejects.jsonl"
        return f"{self.out}/{PATHS[job.rule].format(name=job.name, shard=job.shard)}"

    def made(self, job: Job) -> str:
        """The record of what a job was made from."""
        return f"{self.out}/made/" + "/".join(filter(None, job)) + ".json"

    def list_file(self, name: str, shard: str) -> str:
        """The shape list of one shard."""
        return f"{self.out}/index/{name}/{shard}.tsv"

    def outputs(self, job: Job) -> list[str]:
        """All files that a job makes, but its record."""
        if job.rule == "index":
            lists = [self.list_file(job.name, shard) for shard in self.shards(job.name)]
            return [*lists, self.path(job), *self.left_beside(job)]
        if job.rule == "evaluate":
            more = [*EVALUATED, *(["photographs.npz"] if self.config.photographs else [])]
            return [self.path(job), *(f"{self.out}/runs/{job.name}/{file}" for file in more)]
        return [self.path(job), *self.left_beside(job)]

    def left_beside(self, job: Job) -> list[str]:
        """Files and folders that a job leaves beside its product; named where they have to be carried."""
        if not self.apart:
            return []
        if job.rule in ("fetch", "fetch_backgrounds"):
            return [self.path(job).removesuffix(".json")]
        if job.rule == "index":
            return [f"{self.out}/index/{job.name}/categories.json"]
        if job.rule == "gallery":
            return [self.path(job).removesuffix(".html") + "-data"]
        return [f"{self.out}/runs/{job.name}/{file}" for file in TRAINED] if job.rule == "train" else []

    def suspended(self, name: str) -> str:
        """What an interrupted training leaves for the next job where no two jobs see the same folder."""
        return f"{self.out}/logs/train/{name}.tar"

    def products(self, job: Job) -> list[str]:
        """The files, and folders of files, that a job's record has the sums of; names below the output folder.

        Lists say for themselves what they list, and are written again when archives have moved.
        """
        if job.rule in ("fetch", "fetch_backgrounds", "index"):
            return []
        if job.rule == "train":
            return [f"runs/{job.name}"]
        more = [f"{self.out}/ledger/{job.name}.refused.tsv"] if job.rule == "ledger" else []
        return [path.removeprefix(f"{self.out}/") for path in (*self.outputs(job), *more)]

    # ---- what a job needs ------------------------------------------------------------------------

    def needs(self, job: Job) -> list[Need]:
        """The inputs of a job."""
        rule: Callable[[str, str], Iterator[Need]] | None = getattr(self, f"_{job.rule}", None)
        return list(rule(job.name, job.shard)) if rule else []

    def _of(self, label: str, jobs: Iterable[Job], content: bool = True) -> Need:
        jobs = tuple(jobs)
        return Need(label, jobs, tuple(self.path(job) for job in jobs), content)

    def _carried(self, label: str, jobs: Iterable[Job], files: Iterable[str]) -> Iterator[Need]:
        """Files that are read by way of another one, and are in place where all jobs see one folder."""
        if self.apart:
            yield Need(label, tuple(jobs), tuple(files), content=False)

    def _contents(self, record: str, jobs: Iterable[Job]) -> Iterator[Need]:
        """The archives that a record of fetched files names."""
        yield from self._carried("contents", jobs, [record.removesuffix(".json")])

    def _packs(self, datasets: Iterable[str]) -> Iterator[Need]:
        """The shards behind indexes."""
        jobs = [job for name in dict.fromkeys(datasets) for job in self.per_shard("pack", name)]
        yield from self._carried("packs", jobs, map(self.path, jobs))

    def _fetch(self, name: str, shard: str) -> Iterator[Need]:
        if name in self.sourced(GENERATED):
            yield self._of("mirror", [Job("generate", name)])

    def _index(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("archives", [Job("fetch", name)])
        yield from self._contents(f"{self.out}/archives/{name}.json", [Job("fetch", name)])

    def _listed(self, name: str, shards: Iterable[str]) -> Iterator[Need]:
        """Lists are content by themselves: what they say counts, not how they came about."""
        jobs = (Job("index", name),) if name in self.archived else ()
        yield Need("shapes", jobs, tuple(self.list_file(name, shard) for shard in shards), content=False)

    def _from_archives(self, name: str, shard: str) -> Iterator[Need]:
        yield from self._listed(name, [shard])
        jobs = (Job("fetch", name),) if name in self.archived else ()
        yield Need("archives", jobs, (f"{self.out}/archives/{name}.json",), content=False)
        yield from self._contents(f"{self.out}/archives/{name}.json", jobs)

    _prepare = _import_voxels = _from_archives

    def _import_views(self, name: str, shard: str) -> Iterator[Need]:
        yield from self._from_archives(name, shard)
        if name in self.prepared:
            yield self._of("prepared", [Job("prepare", name, shard)])

    def _voxelize(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("prepared", [Job("prepare", name, shard)])

    _render = _voxelize

    def _backgrounds(self, name: str, shard: str) -> Iterator[Need]:
        made = {"procedural": [Job("rooms")], "folder": []}
        jobs = made.get(self.config.backgrounds.source, [Job("fetch_backgrounds")])
        yield self._of("source", jobs)
        if jobs == [Job("fetch_backgrounds")]:
            yield from self._contents(self.path(jobs[0]), jobs)

    def _bank(self) -> Need:
        return self._of("bank", [] if self.config.backgrounds.source == "none" else [Job("backgrounds")])

    def _pack(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("renders", [Job(self.maker("renders", name), name, shard)])
        yield self._of("voxels", [Job(self.maker("voxels", name), name, shard)])
        yield self._bank()
        yield self._clustered(name)
        yield from self._listed(name, [shard])

    def _clusters(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("voxels", self.per_shard("voxels", name))
        yield from self._listed(name, self.shards(name))

    def _clustered(self, name: str) -> Need:
        return self._of("clusters", [Job("clusters", name)] if self.config.datasets[name].split == "clusters" else [])

    def _ledger(self, name: str, shard: str) -> Iterator[Need]:
        jobs = (Job("index", name),) if name in self.archived else ()
        yield Need("index", jobs, (f"{self.out}/index/{name}/rejects.jsonl",), content=False)
        yield from self._listed(name, self.shards(name))
        yield self._of("prepared", self.per_shard("prepare", name) if name in self.prepared else [])
        yield self._of("voxels", self.per_shard("voxels", name))
        yield self._of("renders", self.per_shard("renders", name))
        yield self._clustered(name)

    def _shard_index(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("shards", self.per_shard("pack", name))
        yield self._of("ledger", [Job("ledger", name)], content=False)

    def _audit(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("index", [Job("shard_index", name)])
        yield from self._packs([name])

    def _sheet(self, name: str, shard: str) -> Iterator[Need]:
        yield self._of("index", [Job("shard_index", name)])
        yield self._bank()
        yield from self._packs([name])

    def _gallery(self, name: str, shard: str) -> Iterator[Need]:
        yield from self._sheet(name, shard)
        yield self._of("ledger", [Job("ledger", name)])
        yield self._of("prepared", self.per_shard("prepare", name) if name in self.prepared else [])

    def _train(self, name: str, shard: str) -> Iterator[Need]:
        datasets = self.config.experiments[name].datasets
        yield self._of("shards", [Job("shard_index", dataset) for dataset in datasets])
        # Gates: data that lost too many shapes or whose axes are wrong are not trained on.
        yield self._of("audits", [Job("audit", dataset) for dataset in datasets], content=False)
        yield self._of("ledgers", [Job("ledger", dataset) for dataset in datasets], content=False)
        # Shards stored in layers are composited while training, from the bank itself.
        yield self._bank() if self.config.shards.storage == "layers" else self._of("bank", [])
        weights = self.config.experiments[name].encoder_weights
        yield from self._carried("encoder_weights", [], [] if weights is None else [weights])
        yield from self._packs(datasets)

    def _evaluate(self, name: str, shard: str) -> Iterator[Need]:
        datasets = self.config.experiments[name].datasets
        yield self._of("run", [Job("train", name)])
        yield self._of("shards", [Job("shard_index", dataset) for dataset in datasets])
        yield self._of("classified", [Job("shard_index", d) for d in self.config.evaluation.classify_on])
        yield self._of("photographs", [Job("photographs", p) for p in sorted(self.config.photographs)])
        yield from self._carried("trained", [Job("train", name)], self.left_beside(Job("train", name)))
        yield from self._packs([*datasets, *self.config.evaluation.classify_on])

    def _page(self, name: str, shard: str) -> Iterator[Need]:
        evaluated, trained = Job("evaluate", name), Job("train", name)
        yield self._of("results", [evaluated])
        # The network and its held-out pictures lie below the folder of the results.
        yield from self._carried("answers", [evaluated], self.outputs(evaluated)[1:])
        yield from self._carried("trained", [trained], self.left_beside(trained))

    def _report(self, name: str, shard: str) -> Iterator[Need]:
        labels = {"sheets": "sheet", "indexes": "shard_index", "audits": "audit", "ledgers": "ledger"}
        for label, rule in labels.items():
            yield self._of(label, [Job(rule, dataset) for dataset in self.datasets])
        evaluated = [Job("evaluate", experiment) for experiment in self.experiments]
        yield self._of("results", evaluated)
        # The page looks for these below the folder of the results.
        yield from self._carried("answers", evaluated, (path for job in evaluated for path in self.outputs(job)[1:]))
        trained = [Job("train", experiment) for experiment in self.experiments]
        shown = [path for job in trained for path in self.outputs(job) if not path.endswith("/checkpoints")]
        yield from self._carried("trained", trained, shown)
        voxels = [job for dataset in self.datasets for job in self.per_shard("voxels", dataset)]
        yield from self._carried("voxels", voxels, map(self.path, voxels))
        # There are links to them.
        yield self._of("pages", [Job("page", experiment) for experiment in self.experiments], content=False)

    # ---- what one can ask for ----------------------------------------------------------------------

    def target(self, name: str) -> list[Job]:
        """The jobs of a target rule, of a rule, or the job that makes a file; nothing where there is none."""
        per_dataset = {"shards_all": self.datasets, "train_all": self.trained_on, "all": self.datasets}
        jobs: list[Job] = []
        for dataset in per_dataset.get(name, ()):
            jobs += [*self.per_shard("pack", dataset), Job("shard_index", dataset), Job("ledger", dataset)]
            jobs += [Job("audit", dataset)] if name != "shards_all" else []
        if name in ("samples", "all"):
            jobs += [Job(rule, dataset) for rule in ("sheet", "gallery") for dataset in self.datasets]
        if name in ("train_all", "evaluate_all", "all"):
            jobs += [Job("train", experiment) for experiment in self.experiments]
        if name in ("evaluate_all", "all"):
            jobs += [Job("evaluate", experiment) for experiment in self.experiments]
        if name == "all":
            jobs += [*(Job("page", experiment) for experiment in self.experiments), Job("report")]
        if name == "download_all":
            needed = self.below([*(Job("fetch", dataset) for dataset in self.archived), *self._bank().jobs])
            jobs += [job for job in needed if job.rule in ("fetch", "fetch_backgrounds")]
        if name in ("voxelize_all", "render_all"):
            stage = "voxels" if name == "voxelize_all" else "renders"
            jobs += [job for dataset in self.datasets for job in self.per_shard(stage, dataset)]
        return jobs or [job for job in self.everything() if name == job.rule or name in self.outputs(job)]

    def everything(self) -> list[Job]:
        """Every job that the largest target can need."""
        return self.below(self.target("all"))

    def below(self, jobs: Iterable[Job]) -> list[Job]:
        """These jobs and all that they need, each after what it needs."""
        order: dict[Job, None] = {}
        waiting = [(job, False) for job in reversed(list(jobs))]
        while waiting:
            job, ready = waiting.pop()
            if job in order:
                continue
            if ready:
                order[job] = None
                continue
            waiting.append((job, True))
            waiting += [(other, False) for need in self.needs(job) for other in need.jobs if other not in order]
        return list(order)
