"""ModelNet10 and ModelNet40: OFF files in one zip, ``<set>/<category>/{train,test}/<name>.off``.

Wu et al., "3D ShapeNets", CVPR 2015.  +Z is up, -Y the front; the official split has no validation part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.archives.remote import RemoteFile
from pipeline.conventions import UP_AXIS_TO_WORLD
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, is_clutter, split_member

_MEMBER = re.compile(r"(?:.*/)?(?P<category>[^/]+)/(?P<split>train|test)/(?P<name>[^/]+)\.off", re.IGNORECASE)


class ModelNet(Source):
    """Either of the two; they differ in their file only."""

    to_world = UP_AXIS_TO_WORLD["z"]
    page = "https://modelnet.cs.princeton.edu"
    terms = (
        "ModelNet: for academic use only; the models were collected from the web and belong to their "
        "authors (Princeton's notice). Cite Wu et al., 3D ShapeNets, CVPR 2015."
    )

    def __init__(self, title: str, file: RemoteFile):
        self.title, self._file = title, file

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The official zip; of a local mirror that lacks it, every zip there."""
        if offered is None or self._file.name in offered:
            return [self._file]
        zips = [RemoteFile(name) for name in offered if name.endswith(".zip")]
        return zips or [self._file]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every OFF member; the folder above ``train`` or ``test`` is the category."""
        for archive in archives.names:
            for entry in archives.get(archive).entries():
                match = _MEMBER.fullmatch(entry.name)
                if match is None or is_clutter(entry.name):
                    continue
                reason = entry.problem or ("" if entry.size else "empty")
                yield Found(
                    match["category"].lower(),
                    match["name"],
                    match["split"].lower(),
                    f"{archive}!{entry.name}",
                    entry.size,
                    entry.checksum,
                    reason,
                    entry.name,
                )

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """An OFF file needs no other."""
        archive, path = split_member(shape)
        folder, _, name = path.rpartition("/")
        return name, archives.get(archive).files(f"{folder}/" if folder else "")


MODELNET10 = ModelNet(
    "ModelNet10",
    RemoteFile(
        "ModelNet10.zip",
        (
            "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
            "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
        ),
        bytes=473402300,
    ),
)
MODELNET40 = ModelNet(
    "ModelNet40",
    RemoteFile(
        "ModelNet40.zip",
        ("http://modelnet.cs.princeton.edu/ModelNet40.zip",),
        bytes=2039180837,
        md5="79bcee68fdf02f581938ba15f4cdca51",
    ),
)
