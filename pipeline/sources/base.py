"""What every adapter answers: which files it needs, which shapes they hold, where one's files are.

A member in a `Shape` is written ``<archive>!<path inside>``; `Archives` opens the archives
that `fetch` has listed in ``<dataset>.json`` and keeps them open while a job runs.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.archives.archive import Archive, Entry, open_archive
from pipeline.archives.contents import ContentSums
from pipeline.archives.remote import FETCHED, RemoteFile
from pipeline.conventions import UP_AXIS_TO_WORLD, Grid, Matrix
from pipeline.errors import Reject, UserError
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.seeds import uniform
from pipeline.settings.datasets import Dataset
from pipeline.settings.sources import SOURCES
from pipeline.state.files import read_state


@dataclasses.dataclass(frozen=True)
class Found:
    """One shape an adapter has found, or one it has to refuse."""

    category: str
    name: str
    split: str | None  # the official one; None where there is none
    member: str  # "<archive>!<path>"
    size: int = 0
    checksum: str = ""
    reason: str = ""  # why it cannot be used: a reason code, or nothing
    detail: str = ""
    group: str = ""  # what it has in common with others that must fall into the same split; nothing: its own name


class Licence(NamedTuple):
    """Under which terms one shape may be used, and who has to be named."""

    code: str  # `LicenceCode` of pipeline/settings/sources.py
    credit: str = ""  # title, author and address, as far as the publisher says them

    @classmethod
    def facts_of(cls, licence: Licence | None) -> dict[str, str]:
        """What a shape's record keeps of it; nothing where the source has one licence for all."""
        return {} if licence is None else {"licence": licence.code, "credit": licence.credit}


class Source(abc.ABC):
    """An adapter; instances hold no state."""

    title: str = ""
    to_world: Matrix = UP_AXIS_TO_WORLD["y"]
    """Rotation of its files into world axes, after which its objects stand upright and face -Z."""
    terms: str = ""
    """Licence and terms in one or two sentences, shown before the set is fetched."""
    page: str = ""
    """Where it is described, and where access is asked for."""
    official_val: bool = False
    """Whether the official split has a validation part."""
    views_per_shape: int = 0
    """Pictures of each shape, of a source that provides views."""
    cameras: str = ""
    """What its cameras are known from, where they are not published."""
    tree: str = ""
    """Name of the folder that stands for all files of a source that publishes each shape as a file of its own; of
    these only the chosen ones are fetched."""
    packed: tuple[str, ...] = ()
    """Tar files that a mirror may hold in place of such a tree."""

    @abc.abstractmethod
    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The files to fetch; `offered` are the names in a local mirror, None where there is none."""

    def chosen(self, files: Files, dataset: Dataset, seed: int) -> Iterator[list[RemoteFile]]:
        """What to fetch of a tree, step by step; `files` reads what the steps before have brought."""
        raise NotImplementedError(f"{self.title} is published as archives")

    def licence(self, archives: Archives, shape: Shape) -> Licence | None:
        """The licence of one shape; None where all have the one of the set (`terms`)."""
        return None

    @abc.abstractmethod
    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every shape of the archives, in any order, before categories and limits are applied."""

    def voxels(self, archives: Archives, shape: Shape) -> Grid:
        """Occupied voxels in world axes and in the unit box, of a source that provides voxels."""
        raise NotImplementedError(f"{self.title} publishes no voxels")

    def views(
        self, archives: Archives, shape: Shape, size_px: int, vertices: npt.NDArray[np.float64] | None
    ) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a `renders` shard, of a source that provides views.

        vertices : (V, 3), those of the prepared mesh; None where none is prepared.
        """
        raise NotImplementedError(f"{self.title} publishes no pictures")

    def frame_of(self, member: str) -> Matrix:
        """Rotation of one of its mesh files into world axes."""
        return self.to_world

    @abc.abstractmethod
    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The mesh of a shape relative to its model's root, and the files below that root."""


def source_of(layout: str) -> Source:
    """The adapter of a `Dataset.layout`; no other one is loaded."""
    module, _, name = SOURCES[layout].adapter.partition(":")
    source: Source = getattr(importlib.import_module(f"pipeline.sources.{module}"), name)
    return source


class Archives:
    """The archives of one data set, opened on first use; a context manager."""

    def __init__(self, entries: list[dict[str, Any]], where: str, sums: ContentSums | None = None):
        self._paths = {entry["name"]: Path(entry["path"]) for entry in entries}
        self._names = {entry["name"]: entry["root"] for entry in entries if "root" in entry}
        self._where = where
        self._open: dict[str, Archive] = {}
        self.memo: dict[str, Any] = {}  # what adapters have read of tables, for as long as a job runs
        self._own_sums = sums is None
        self._sums = ContentSums(Path(where).with_suffix(".contents")) if sums is None else sums

    @classmethod
    def load(cls, path: Path) -> Archives:
        """Read the list that `fetch` has written."""
        listed = read_state(
            path, FETCHED, what="cannot read the list of archives", do="delete it and fetch the data set again"
        )
        return cls(listed["files"], str(path))

    @property
    def names(self) -> list[str]:
        """Names of all archives and loose files, sorted."""
        return sorted(self._paths)

    def get(self, name: str) -> Archive:
        """One archive, opened once."""
        if name not in self._paths:
            raise UserError(
                "a shape list names an unknown archive",
                where=self._where,
                got=name,
                wanted=", ".join(self.names),
                do="delete the index and run the same command again",
            )
        if name not in self._open:
            self._open[name] = open_archive(self._paths[name], self._sums, self._names.get(name, ""))
        return self._open[name]

    def tree(self, name: str) -> Files:
        """The files of a tree (`Source.tree`), or of an archive, below its top."""
        return self.get(name).files(f"{name}/")

    def identity(self, name: str, member: str) -> Entry | None:
        """Size and checksum of one file of a tree, without a look at the others; None where it is not there."""
        path = self._paths[name] / member
        if not path.resolve().is_relative_to(self._paths[name].resolve()) or not path.is_file():
            return None
        return Entry(f"{name}/{member}", path.stat().st_size, self._sums.of(path))

    def text(self, name: str) -> str | None:
        """A loose text file beside the archives; None where it was not fetched."""
        path = self._paths.get(name)
        return path.read_text(encoding="utf-8", errors="replace") if path is not None and path.is_file() else None

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own_sums:
            self._sums.save()
        for archive in self._open.values():
            archive.close()


def split_member(shape: Shape) -> tuple[str, str]:
    """``"a.zip!b/c.off"`` -> ``("a.zip", "b/c.off")``."""
    archive, mark, path = shape.member.partition("!")
    if not mark:
        raise Reject("bad_member", f"{shape.member!r} names no archive")
    return archive, path


def place_in_choice(seed: int, key: str) -> float:
    """Where ``category/name`` stands in the order in which shapes are chosen: the smallest are taken first."""
    return uniform(seed, "choose", key)


def checksum_of(entries: Iterable[Entry]) -> str:
    """Identity of a model of many files: a changed picture or material counts as much as a changed mesh."""
    lines = sorted(f"{entry.name} {entry.size} {entry.checksum}\n" for entry in entries)
    return f"{zlib.crc32(''.join(lines).encode()):08x}"


def is_clutter(name: str) -> bool:
    """Whether a member is an operating system's litter, as in the official zips."""
    parts = name.split("/")
    return parts[0] == "__MACOSX" or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")
