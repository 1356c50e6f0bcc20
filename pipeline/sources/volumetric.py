"""3DShapeNets' volumetric data: 30^3 voxels in MATLAB files, twelve poses an object.

    volumetric_data/<category>/30/{train,test}/<category>_000000182_1.mat      key "instance", int8

Wu et al., "3D ShapeNets", CVPR 2015.  +Z is up; pose 1 has its front at -X (seen on the mean
of the chairs) and the others are turned by multiples of 30 degrees about the vertical, so a
shape is an object and its grid is pose 1.  With `poses: 12` the others are shapes too, for networks
that see no picture, and all poses of one object fall into the same split.  The
voxels stay as they are, with one empty layer around (32^3); pictures are drawn of their
surface.  The official chair folder really holds twelve files of a night stand: files whose
name does not begin with their category are refused as strays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import Grid
from pipeline.errors import Reject
from pipeline.formats.matlab import read_matlab_grid
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, is_clutter, split_member

_MEMBER = re.compile(
    r"(?:.*/)?(?P<category>[^/]+)/30/(?P<split>train|test)/(?P<name>[^/]+)_(?P<pose>\d+)\.mat", re.IGNORECASE
)
_SIDE = 30
_FILE = RemoteFile("3DShapeNetsCode.zip", ("http://3dshapenets.cs.princeton.edu/3DShapeNetsCode.zip",))


class Volumetric(Source):
    """Voxels first; `voxels` takes the place of a mesh file."""

    title = "3DShapeNets volumetric"
    # (x, y, z) -> (y, z, x): +Z up becomes +Y up, the front at -X becomes -Z.
    to_world = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    page = "https://3dshapenets.cs.princeton.edu"
    terms = "3DShapeNets: for academic use only (Princeton's notice). Cite Wu et al., 3D ShapeNets, CVPR 2015."

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The official zip; of a local mirror that lacks it, every zip there."""
        if offered is None or _FILE.name in offered:
            return [_FILE]
        return [RemoteFile(name) for name in offered if name.endswith(".zip")] or [_FILE]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every object once, by its first pose; and by its others, as far as `poses` asks for them."""
        for archive in archives.names:
            objects: dict[tuple[str, str, str], list[tuple[int, Entry]]] = {}
            for entry in archives.get(archive).entries():
                match = _MEMBER.fullmatch(entry.name)
                if match is not None and not is_clutter(entry.name):
                    key = (match["category"].lower(), match["name"], match["split"].lower())
                    objects.setdefault(key, []).append((int(match["pose"]), entry))
            for (category, name, split), poses in objects.items():
                first, entry = min(poses, key=lambda pose: pose[0])
                reason, detail = "", ""
                if not name.startswith(category):
                    reason, detail = "stray", f"{name} lies in the folder of {category}, {len(poses)} files"
                elif first != 1:
                    reason, detail = "missing_pose", f"{entry.name}: pose 1 is not there"
                yield _found(archive, category, name, split, entry, reason=reason, detail=detail)
                for pose, entry in sorted(poses, key=lambda pose: pose[0]) if not reason else ():
                    if 1 < pose <= dataset.poses:
                        yield _found(archive, category, f"{name}_{pose:02d}", split, entry, of=name)

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The MATLAB file of pose 1."""
        archive, path = split_member(shape)
        folder, _, name = path.rpartition("/")
        return name, archives.get(archive).files(f"{folder}/")

    def voxels(self, archives: Archives, shape: Shape) -> Grid:
        """(32, 32, 32) in world axes."""
        member, files = self.model(archives, shape)
        data = files.read(member)
        if data is None:
            raise Reject("missing_mesh", f"{shape.member} is not there")
        grid = np.pad(read_instance(data), 1)
        return np.ascontiguousarray(grid.transpose(1, 2, 0))


def _found(
    archive: str,
    category: str,
    name: str,
    split: str,
    entry: Entry,
    *,
    reason: str = "",
    detail: str = "",
    of: str = "",  # the object, for another pose than its first
) -> Found:
    reason, detail = reason or entry.problem or ("" if entry.size else "empty"), detail or entry.name
    group = f"{category}/{of}" if of else ""
    member = f"{archive}!{entry.name}"
    return Found(category, name, split, member, entry.size, entry.checksum, reason, detail, group)


def read_instance(data: bytes) -> Grid:
    """The grid (30, 30, 30) of one MATLAB file in its own axes."""
    return read_matlab_grid(data, "instance", _SIDE)


VOLUMETRIC = Volumetric()
