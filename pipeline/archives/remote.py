"""One file of a data set: as its publisher offers it, and as it is listed when it has been fetched."""

from __future__ import annotations

import dataclasses
from typing import Any

import pydantic

from pipeline.state.files import Stored


class Fetched(Stored):
    """One file or folder in the list that `fetch` leaves, ``archives/D.json``."""

    name: str
    path: str  # where it lies
    bytes: int
    sha256: str  # nothing for a folder
    mirror: str  # where it came from
    directory: str = ""  # digest of a zip's central directory
    root: str = ""  # with which the names in a folder begin
    chosen: Any = None  # of a tree: the settings that it was filled for


class FetchedList(Stored):
    """``archives/D.json``."""

    dataset: str
    files: list[Fetched]


FETCHED = pydantic.TypeAdapter(FetchedList)


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """Where it is, and what is known of it before it is fetched."""

    name: str  # file name below every mirror
    urls: tuple[str, ...] = ()  # official addresses, tried in order
    bytes: int | None = None
    sha256: str = ""
    md5: str = ""
    optional: bool = False  # its absence is noted, not fatal
    unpack: bool = False  # a tar whose files are read one by one
    within: RemoteFile | None = None  # a zip that holds it, taken where it is not offered by itself

    @property
    def folder(self) -> str:
        """Name of the folder that stands for this archive where it lies unpacked."""
        for suffix in (".zip", ".tgz", ".tar.gz", ".tar"):
            if self.name.endswith(suffix):
                return self.name.removesuffix(suffix)
        return self.name

    @property
    def is_tar(self) -> bool:
        """Whether it has to be unpacked before single files can be read: a tar has no directory."""
        return self.name.endswith((".tgz", ".tar.gz", ".tar"))
