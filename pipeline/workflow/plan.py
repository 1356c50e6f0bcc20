"""The plan behind the Snakefile: which jobs there are, and which of them are out of date.

Every product has a record (``<output>/made/<rule>/...``) with a digest of what it was made from: the settings
that its stage sees, the stage's code, and the digests of its inputs, down to the lists of shapes.  The plan, in
the main process, computes the same digest from what is there now.  Where they differ the job is due, and so is
every job whose product follows from it; nothing else is.  File times and ``.snakemake`` are not asked.

A product is in one of three states (`Plan.state`).  ``whole``: to Snakemake its job has no inputs, so nothing can
make it run.  ``due``: its job has its inputs and is forced.  ``absent``: it was removed, and what was made from it is
not out of date for that; its job runs only where something needs it.

Planning writes nothing.  `begin`, called when a run really starts, takes the lock and publishes what it found;
`end` notes what was listed in the course of it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import runlock
from pipeline.errors import is_there
from pipeline.settings import config as configuration
from pipeline.settings.config import Config
from pipeline.stages.fetch import recorded as recorded_files
from pipeline.state.record import SMALL_BYTES, changed
from pipeline.workflow.damage import Shards
from pipeline.workflow.graph import PATHS, Graph, Job
from pipeline.workflow.heads import Head, HeadStore, differences, digest_of
from pipeline.workflow.limits import LABEL, Limits, limit_of
from pipeline.workflow.lists import ListKeeper, Lists
from pipeline.workflow.memo import forget, remembered
from pipeline.workflow.places import Shared
from pipeline.workflow.published import Published
from pipeline.workflow.records import read as read_record
from pipeline.workflow.seen import checks, head_of, is_shared
from pipeline.workflow.sent import Sent

# Rules that list what others made: lists are known by what they say.
_ONLY_LISTS = {"index"}


class Plan(Published, Sent):
    """Everything the rules ask for, from one checked configuration.

    main : whether this is the process that plans; a job of it takes what the plan has published.
    place : from the output folder, where the products lie.
    """

    def __init__(
        self,
        values: dict[str, Any],
        where: str = "config.yaml",
        *,
        main: bool = True,
        place: Callable[[str], Shared] = lambda out: Shared(),
    ):
        self.config: Config = configuration.check(values, where)
        self.out = self.config.output.rstrip("/")
        self.main = main
        self.place = place(self.out)
        self.datasets = sorted(self.config.datasets)
        self.experiments = sorted(self.config.experiments)
        self.graph = Graph(self.config, self.out, self.shards, apart=self.place.apart)
        if main:
            self._pull()
        self.store = HeadStore(Path(self.out) / "made" / "heads")
        self.lists = ListKeeper(self.config, self.out, self.store, self.place)
        self.due_found: Callable[[Sequence[str]], object] = lambda files: None
        self.asked: dict[Job, None] = {}  # what Snakemake has asked for and will run
        self._forced: set[Job] = set()
        self._damaged = Shards(self.out)
        self._limits = Limits(self.graph)
        self._late = False
        self._lock_before = runlock.last_holder(Path(self.out))

    # ---- shards ----------------------------------------------------------------------------

    def shards(self, name: str) -> list[str]:
        """Names of a data set's shards: ``["000", "001", ...]``."""
        return [f"{number:03d}" for number in range(self.count(name))]

    @remembered
    def count(self, name: str) -> int:
        """How many shards a data set has."""
        asked = self.config.datasets[name].shards
        if isinstance(asked, int):
            return asked
        if not self.main:
            return int(self._published["shards"][name])
        return self.lists_of(name).shards

    def lists_of(self, name: str) -> Lists:
        """What is known of the shape lists of a data set."""
        generated = name in self.graph.sourced("procedural")
        return self.lists.of(name, regenerated=generated and self._made_otherwise(Job("generate", name)))

    def _made_otherwise(self, job: Job) -> bool:
        """Whether a product that is made again may be another than it was."""
        if self.state(job) != "absent":
            return self.state(job) == "due"
        return (self.recorded(job) or {}).get("digest") != self.digest(job)

    # ---- digests ---------------------------------------------------------------------------

    @remembered
    def head(self, rule: str, name: str) -> Head:
        """What a stage sees."""
        return head_of(self.config, rule, "" if is_shared(rule) else name)

    @remembered
    def head_digest(self, rule: str, name: str) -> str:
        """The digest under which products of this head are known."""
        if not self.main:
            return str(self._published["heads"][f"{rule}/{'' if is_shared(rule) else name}"])
        return self.store.stands_for(self.head(rule, name))

    @remembered
    def sources(self, job: Job) -> dict[str, str | None]:
        """Digest of each thing that a product follows from, by name; None where it is not known yet."""
        found: dict[str, str | None] = {}
        for need in self.graph.needs(job):
            if need.content and need.jobs:
                digests = [self.digest(other) for other in need.jobs]
                known = [digest for digest in digests if digest is not None]
                found[need.label] = digest_of(known) if len(known) == len(digests) else None
        limit = self.limit(job)
        return found | self._outside(job) | ({LABEL: limit} if limit else {})

    @remembered
    def limit(self, job: Job) -> str | None:
        """A limit of time that has become a part of what a product is made from."""
        limits = limit_of(self.config, job)
        if not limits:
            return None
        if self.main:
            return self._limits.known(job, self.recorded(job), limits)
        kept: str | None = self._published.get("limits", {}).get("/".join(job))
        return kept

    def _outside(self, job: Job) -> dict[str, str | None]:
        """What no job makes: lists of shapes, folders of pictures."""
        if job.rule in ("prepare", "import_voxels", "import_views", "pack"):
            return {"shapes": self._list_digest(job.name, int(job.shard), splits=job.rule == "pack")}
        if job.rule in ("clusters", "ledger"):
            return {"shapes": self._lists_digest(job.name)}
        if job.rule == "backgrounds" and self.config.backgrounds.source == "folder":
            return {"pictures": self._folder("backgrounds", self.config.backgrounds.path or ".")}
        if job.rule == "train" and (weights := self.config.experiments[job.name].encoder_weights) is not None:
            return {"encoder_weights": self._folder(f"weights-{job.name}", weights)}
        if job.rule == "photographs":
            return {"pictures": self._folder(f"photographs-{job.name}", self.config.photographs[job.name].path)}
        return {}

    def _list_digest(self, name: str, number: int, *, splits: bool) -> str | None:
        digests = self._list_digests(name)
        return digests[number][0 if splits else 1] if digests is not None and number < len(digests) else None

    def _lists_digest(self, name: str) -> str | None:
        digests = self._list_digests(name)
        rejects = self.lists_of(name).rejects if self.main and not self._late else self.lists.rejects(name)
        return None if digests is None else digest_of([[pair[0] for pair in digests], rejects])

    @remembered
    def _list_digests(self, name: str) -> list[tuple[str, str]] | None:
        """Of each list, with and without splits; a job reads those that were written before it started."""
        return self.lists_of(name).digests if self.main and not self._late else self.lists.on_disk(name)

    @remembered
    def digest(self, job: Job) -> str | None:
        """Of everything that a product follows from; None where something of it is not known yet."""
        sources = self.sources(job)
        if None in sources.values():
            return None
        return digest_of([job.rule, self.head_digest(job.rule, job.name), sources])

    def record(self, job: Job) -> dict[str, Any]:
        """What a job's product is recorded with when it is made."""
        record: dict[str, Any] = {"digest": self.digest(job), "head": self.head_digest(job.rule, job.name)}
        limits = limit_of(self.config, job)
        record |= {"sources": self.sources(job), "checks": checks(self.config, job.rule, job.name)}
        return record | ({"limits": limits} if limits else {})

    @remembered
    def recorded(self, job: Job) -> dict[str, Any] | None:
        """The record of the product that is there; None where there is none that can be read."""
        return read_record(Path(self.graph.made(job)))

    # ---- what is out of date -------------------------------------------------------------------

    @remembered
    def state(self, job: Job) -> str:
        """``whole``, ``due``, or ``absent``: not there, and to be made where something needs it."""
        if not self._there(job):
            return "absent"
        return "due" if self.reasons(job) else "whole"

    @remembered
    def _there(self, job: Job) -> bool:
        """Whether a job has left anything."""
        if job.rule in _ONLY_LISTS and self.lists_of(job.name).digests is not None:
            return not self.lists_of(job.name).lost
        return any(self.place.exists(path) for path in self.graph.outputs(job))

    @remembered
    def reasons(self, job: Job) -> tuple[str, ...]:
        """Why a product that is there is out of date, in words; nothing for one that is not."""
        if job in self._forced:
            return ("asked for by hand",)
        if any(self._tainted(other) for need in self.graph.needs(job) if need.content for other in need.jobs):
            return ("what it is made from is asked for by hand",)
        if job.rule in _ONLY_LISTS:
            known = self.lists_of(job.name)
            return () if known.digests is not None else (known.other or known.why,)
        lost = [path for path in self.graph.outputs(job) if not self.place.exists(path)] or self._lost_network(job)
        if lost:
            return tuple(f"{path} is missing" for path in lost)
        if (lost_archive := self._lost_archive(job)) is not None:
            return (lost_archive,)
        damage = self._damaged.problem(job) or self._changed(job)
        return (damage,) if damage else self._outdated(job)

    def _changed(self, job: Job) -> str:
        """A product that is not the one that was made: another size, or in a small file other bytes."""
        made, names = self.recorded(job), [path.removeprefix(f"{self.out}/") for path in self.graph.outputs(job)]
        look = made is not None and not self.place.apart
        found = changed(made or {}, Path(self.out), names, read=SMALL_BYTES) if look else ()
        return next((f"{self.out}/{name} was changed: {problem}" for name, problem in found), "")

    def _lost_network(self, job: Job) -> list[str]:
        """The network of a training, which later jobs read; its other checkpoints may be removed."""
        best = f"runs/{job.name}/checkpoints/best.safetensors"
        made = self.recorded(job) if job.rule == "train" and not self.place.apart else None
        lost = made is not None and best in made["outputs"] and not self.place.exists(f"{self.out}/{best}")
        return [f"{self.out}/{best}"] if lost else []

    def _lost_archive(self, job: Job) -> str | None:
        """Why something is fetched again although the record of it is there."""
        if job.rule == "fetch_backgrounds" and not self.place.apart:
            lost = any(not is_there(path) for path in self._fetched_pictures())
            return "its archive was removed" if lost else None
        if job.rule == "fetch" and not self.lists_of(job.name).fetched:
            return self.lists_of(job.name).why or "an archive is not the one that was fetched"
        return None

    def _outdated(self, job: Job) -> tuple[str, ...]:
        before, now = self.recorded(job), self.record(job)
        if before is None:
            return ("no record says what it was made from",)
        if (
            now["digest"] is not None
            and before.get("digest") == now["digest"]
            and before.get("checks") == now["checks"]
        ):
            return ()
        lines = []
        if before.get("head") != now["head"]:
            lines += differences(self.head(job.rule, job.name), self.store.known.get(str(before.get("head"))))
        old = before.get("sources", {})
        new = now["sources"]
        changed = [what for what in dict.fromkeys([*new, *old]) if old.get(what) != new.get(what)]
        lines += [
            f"{self.limit(job)}: shapes had taken longer" if what == LABEL else f"other {what}" for what in changed
        ]
        was = before.get("checks", {})
        lines += [f"{key} {was.get(key)} -> {value}" for key, value in now["checks"].items() if was.get(key) != value]
        return tuple(lines) or ("its inputs are others",)

    @remembered
    def _tainted(self, job: Job) -> bool:
        """Whether a job or anything that it follows from is asked for by hand."""
        return job in self._forced or any(
            self._tainted(other) for need in self.graph.needs(job) if need.content for other in need.jobs
        )

    def force(self, words: Iterable[str], everything: bool = False, targets: Iterable[str] = ()) -> None:
        """Run the jobs of these rules or files whatever their state, and what follows from them.

        words : as after ``--forcerun``; everything : ``--forceall``; targets : those of ``--force``.
        """
        self._forced.update(job for word in (*words, *targets) for job in self.graph.target(word))
        self._forced.update(self.graph.everything() if everything else ())
        if self._forced:
            self.lists = ListKeeper(self.config, self.out, self.store, self.place)
        forget(self)

    def planned(self, targets: Iterable[str]) -> list[Job]:
        """The jobs that a run for these targets would do, each after what it needs: what Snakemake will do."""
        wanted = [job for target in targets for job in self.graph.target(target)]
        run: dict[Job, bool] = {}
        waiting = list(wanted)
        while waiting:
            job = waiting.pop()
            if job in run:
                continue
            run[job] = self.state(job) != "whole"
            if run[job]:
                waiting += [other for need in self.graph.needs(job) for other in need.jobs]
        return [job for job in self.graph.below(wanted) if run.get(job)]

    def files(self, target: str) -> list[str]:
        """What a target rule asks for."""
        return [path for job in self.graph.target(target) for path in self.graph.outputs(job)]

    # ---- for the rules -----------------------------------------------------------------------

    def inputs(self, rule: str) -> Callable[[Any], dict[str, Any]]:
        """The input function of a rule, for `unpack`."""

        def inputs(wildcards: Any) -> dict[str, Any]:
            job = self.job(rule, wildcards)
            state = self.state(job) if self.main else "due"
            if state == "whole":
                return {}
            if self.main:
                self.asked[job] = None
            if state == "due" and self.main:
                self.due_found([*self.graph.outputs(job), self.graph.made(job)])
            return {need.label: self._files(need.files, need.jobs) for need in self.graph.needs(job)}

        return inputs

    def _files(self, files: Sequence[str], jobs: Sequence[Job]) -> list[str]:
        """Files of rules that will run, and those that are there: lists that the plan writes may not be yet."""
        listed = not self.main or any(job.rule == "index" and self.state(job) != "whole" for job in jobs)
        by_rules = bool(jobs) and (listed or jobs[0].rule not in _ONLY_LISTS)
        return [path for path in files if by_rules or self.place.exists(path)]

    def suspended(self, experiment: str) -> list[str]:
        """What a job that trains goes on from, where there is anything and the run's folder is not there by itself."""
        path = self.graph.suspended(experiment)
        return [path] if self.place.apart and not self.main and self.place.exists(path) else []

    def index_rules(self) -> dict[str, str]:
        """Name of the rule that lists each data set that comes as archives; no two alike (`a-b`, `a.b`)."""
        names: dict[str, str] = {}
        for dataset in self.graph.archived:
            name = "index_" + re.sub("[-.]", "_", dataset)
            while name in names.values():
                name += "_"
            names[dataset] = name
        return names

    def job(self, rule: str, wildcards: Mapping[str, str] | Any) -> Job:
        """The job of a rule that Snakemake means."""
        words = wildcards if isinstance(wildcards, Mapping) else dict(wildcards.items())
        name = next((words[key] for key in ("dataset", "experiment", "photographs") if key in words), "")
        return Job(rule, str(name), str(words.get("shard", "")))

    def made(self, rule: str) -> Callable[[Any], str]:
        """The text of a job's record, which its command writes when it has succeeded."""

        def made(wildcards: Any) -> str:
            job = self.job(rule, wildcards)
            # What is listed in the course of this run is known when the job starts, and not before.
            plan = self if self.digest(job) is not None else self._later()
            record = plan.record(job) | {"outputs": self.graph.products(job)}
            return json.dumps(record | {"at": self.graph.made(job).removeprefix(f"{self.out}/")}, sort_keys=True)

        return made

    def _later(self) -> Plan:
        """This plan as a job sees it that starts now: with the lists that lie on the disk by then."""
        later = copy.copy(self)
        forget(later, but=("head", "head_digest", "_folder", "count"))
        later._late = True
        return later

    def advice(self) -> list[str]:
        """What a person should know before the run: a data set that has nothing to be tested on."""
        lines = []
        for name in self.graph.trained_on:
            listing = self.lists_of(name).listing
            lost = [split for split, count in listing.counts().items() if not count] if listing is not None else []
            if lost:
                lines.append(
                    f"{name}: no shape falls into {' and '.join(lost)}; raise datasets.{name}.test_percent and "
                    "val_percent, or name shapes in splits.csv (docs/sources.md)"
                )
        return lines

    def _fetched_pictures(self) -> list[str]:
        record = Path(self.out) / PATHS["fetch_backgrounds"]
        return [str(entry["path"]) for entry in recorded_files(record).values()]
