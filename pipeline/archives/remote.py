"""One file of a data set as its publisher offers it."""

from __future__ import annotations

import dataclasses


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
