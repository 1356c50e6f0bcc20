"""What each command is sent: its settings as JSON, and what it asks a cluster for.

A stage gets the values that it needs and no others; what a product depends on is said in `pipeline.workflow.seen`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.errors import UserError
from pipeline.settings.base import Strict
from pipeline.settings.config import Config
from pipeline.settings.datasets import Dataset, ImportViewsSettings, ImportVoxelsSettings, PrepareSettings, Procedural
from pipeline.settings.photographs import PhotographSettings
from pipeline.settings.shards import PackSettings

# What `index` does not look at.
_NOT_INDEXED = {"mirrors", "path", "up_axis", "yaw_deg", "max_rejected_percent"}
_FETCHED = {"source", "mirrors", "path", "procedural", "categories", "licences", "shapes_per_category"}


class Sent:
    """The settings of one configuration, as commands get them."""

    config: Config
    out: str

    def dataset(self, name: str) -> Dataset:
        """The section of a data set."""
        return self.config.datasets[name]

    def fetch(self, dataset: str) -> str:
        """JSON for `fetch`."""
        return _some(self.dataset(dataset), _FETCHED)

    def index(self, dataset: str) -> str:
        """JSON for `index`."""
        settings = self.dataset(dataset)
        return _some(settings, set(type(settings).model_fields) - _NOT_INDEXED)

    def generate(self, dataset: str) -> str:
        """JSON for `generate`."""
        return _json(self.dataset(dataset).procedural or Procedural())

    def prepare(self, dataset: str) -> str:
        """JSON for `prepare`."""
        render = self.config.render
        return _json(
            PrepareSettings.of(
                self.dataset(dataset),
                texture_px=render.texture_px,
                max_faces=render.max_faces,
                above_max_faces=render.above_max_faces,
            )
        )

    def pack(self) -> str:
        """JSON for `pack`."""
        return _json(PackSettings.of(self.config.shards, self.config.backgrounds))

    def import_voxels(self, dataset: str) -> str:
        """JSON for `import_voxels`."""
        source = self.dataset(dataset).layout
        return _json(ImportVoxelsSettings(source=source, resolution=self.config.voxels.resolution))

    def import_views(self, dataset: str) -> str:
        """JSON for `import_views`."""
        return _json(ImportViewsSettings(source=self.dataset(dataset).layout, size_px=self.config.render.size_px))

    def ledger(self, dataset: str) -> str:
        """JSON for `ledger`."""
        return _some(self.dataset(dataset), {"source", "path", "max_rejected_percent"})

    def photographs(self, name: str) -> str:
        """JSON for one set of photographs, at the size of the pictures that the networks read."""
        chosen = self.config.photographs[name]
        return _json(PhotographSettings(source=chosen.source, path=chosen.path, size_px=self.config.render.size_px))

    def section(self, name: str) -> str:
        """JSON of a whole section: ``voxels``, ``render``, ``shards``, ``backgrounds``, ``report``."""
        return _json(getattr(self.config, name))

    def experiment(self, name: str) -> str:
        """JSON of one experiment: its preset, and what it changes of that preset."""
        settings = self.config.experiments[name]
        preset = type(settings)(datasets=settings.datasets, preset=settings.preset).model_dump(mode="json")
        changed = {key: value for key, value in settings.model_dump(mode="json").items() if value != preset[key]}
        return json.dumps({"datasets": settings.datasets, "preset": settings.preset, **changed}, sort_keys=True)

    def bank(self) -> list[str]:
        """The bank of backgrounds, where there is to be one."""
        return [] if self.config.backgrounds.source == "none" else [f"{self.out}/backgrounds/bank.npz"]

    def background_source(self, made: Any) -> str:
        """The folder or fetch record that the bank is read from."""
        return str(made[0]) if made else str(self.config.backgrounds.path)

    def gpus(self, experiment: str) -> int:
        """GPUs that a training asks a cluster for: one a process, none where the experiment stays on the CPU."""
        settings = self.config.experiments[experiment]
        return 0 if settings.device == "cpu" else settings.processes

    def launcher(self, experiment: str, asked: Mapping[str, Any]) -> str:
        """The command that starts a training: by itself, or by a `torchrun` for each task of a job on several nodes.

        asked : the resources of the job.  With ``mpi`` (`srun`) and ``tasks`` the command runs on the job's first
        host, where all tasks meet; the tasks share the experiment's processes evenly.
        """
        if not asked.get("mpi"):
            return "python -m training"
        tasks = int(asked.get("tasks") or int(asked.get("nodes", 1)) * int(asked.get("tasks_per_node", 1)))
        processes = self.config.experiments[experiment].processes
        if processes % tasks:
            raise UserError(
                "the tasks of a training cannot share its processes evenly",
                where=f"experiments.{experiment}.processes",
                got=f"{processes} processes, {tasks} tasks",
                do="set `processes` to nodes x GPUs of a node, and `tasks` of `train` in the profile to the nodes",
            )
        return (
            f"{asked['mpi']} --ntasks={tasks} --kill-on-bad-exit=1 python -m torch.distributed.run "
            f"--nnodes={tasks} --nproc-per-node={processes // tasks} --rdzv-backend=c10d "
            '--rdzv-id="${SLURM_JOB_ID:-0}" '
            '--rdzv-endpoint="$(hostname):$((20000 + ${SLURM_JOB_ID:-0} % 20000))" '
            "--signals-to-handle=SIGTERM,SIGINT,SIGUSR1 -m -- training"
        )

    def train_threads(self, experiment: str, *, gpu: bool) -> int:
        """CPU cores of a training: for each process its arithmetic, and beside a `gpu` two more to feed that.

        On the CPU a batch is read in a twentieth of the time that learning from it takes.
        """
        settings = self.config.experiments[experiment]
        return settings.processes * (settings.threads + 2 * gpu)


def _json(settings: Strict) -> str:
    # Only what differs from the defaults travels.
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def _some(settings: Strict, keys: set[str]) -> str:
    return json.dumps(settings.model_dump(mode="json", exclude_defaults=True, include=keys), sort_keys=True)
