"""Collections of photographs that views can stand in front of, as their publishers offer them.

The SUN397 archive has answered 404 at times; any folder of pictures does as well
(``backgrounds: {source: folder, path: ...}``).
"""

from __future__ import annotations

import dataclasses

from pipeline.archives.remote import RemoteFile


@dataclasses.dataclass(frozen=True)
class Photographs:
    """One collection."""

    title: str
    file: RemoteFile
    terms: str
    page: str


PHOTOGRAPHS = {
    "sun397": Photographs(
        "SUN397",
        RemoteFile(
            "SUN397.tar.gz",
            ("http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",),
            bytes=39077296924,
            sha256="f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
            md5="8ca2778205c41d23104230ba66911c7a",
        ),
        "SUN database: for research; the photographs belong to their owners. Cite Xiao et al., CVPR 2010.",
        "https://vision.princeton.edu/projects/2010/SUN/",
    ),
    "sun2012": Photographs(
        "SUN2012",
        RemoteFile(
            "SUN2012pascalformat.tar.gz",
            ("http://groups.csail.mit.edu/vision/SUN/releases/SUN2012pascalformat.tar.gz",),
        ),
        "SUN database: for research; the photographs belong to their owners. Cite Xiao et al., CVPR 2010.",
        "http://groups.csail.mit.edu/vision/SUN/",
    ),
}
