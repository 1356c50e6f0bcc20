"""A folder of one's own meshes: one sub-folder a category, any mesh format, read in place.

my_meshes/
    chair/office_1.obj          category chair, name office_1; its materials and pictures
    chair/office_1.mtl          may lie anywhere inside my_meshes/
    chair/old/throne.glb        name old-throne
    splits.csv                  optional: columns shape,split with e.g. "chair/office_1,test"
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import SPLITS, Matrix
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes import frames
from pipeline.meshes.files import Files
from pipeline.meshes.load import SUFFIXES
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, checksum_of, split_member

SPLIT_FILE = "splits.csv"
_WITH_COMPANIONS = (".obj", ".gltf", ".ply")


class Folder(Source):
    """The user's own folder; `up_axis` and `yaw_deg` in the configuration say how it stands.

    Without them every file stands as its format's frame says (pipeline/meshes/frames.py).
    """

    title = "a folder of meshes"
    terms = "your own meshes: whatever you may do with them"
    official_val = True

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """Nothing to fetch: `fetch` lists the folder itself."""
        return []

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every mesh file; a mesh outside a category folder is refused by name."""
        for archive in archives.names:
            opened = archives.get(archive)
            splits = _splits(opened.files(f"{archive}/").open_bytes(SPLIT_FILE))
            entries = list(opened.entries())
            yield from _orphans(archive, [entry.name for entry in entries])
            companions = _companions(entries)
            for entry in entries:
                parts = entry.name.split("/")[1:]
                stem, suffix = posixpath.splitext("/".join(parts))
                if suffix.lower() not in SUFFIXES:
                    continue
                category, _, rest = stem.partition("/")
                reason = entry.problem or ("" if entry.size else "empty")
                if not rest:
                    category, rest, reason = "none", stem, "no_category"
                name = rest.replace("/", "-")
                beside = [companions.get(group, "") for group in _groups(entry.name)]
                own = entry._replace(checksum="-".join([entry.checksum, *beside]))
                yield Found(
                    category,
                    name,
                    splits.get(f"{category}/{name}"),
                    f"{archive}!{entry.name}",
                    entry.size,
                    checksum_of([own] if suffix.lower() in _WITH_COMPANIONS else [entry]),
                    reason,
                    entry.name,
                )

    def frame_of(self, member: str) -> Matrix:
        """The frame of the file's format."""
        return frames.to_world(posixpath.splitext(member)[1])

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The root is the whole folder, so materials may be shared between models."""
        archive, path = split_member(shape)
        return path.removeprefix(f"{archive}/"), archives.get(archive).files(f"{archive}/")


def _splits(data: bytes | None) -> dict[str, str]:
    if data is None:
        return {}
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace"))))
    bad = [row for row in rows if not row.get("shape") or row.get("split") not in SPLITS]
    if bad:
        raise UserError(
            "cannot read the split file",
            where=SPLIT_FILE,
            got=str(bad[0]),
            wanted=f"columns shape,split; split is one of {', '.join(SPLITS)}",
            do="correct the line",
        )
    return {row["shape"]: row["split"] for row in rows}


def _companions(entries: list[Entry]) -> dict[str, str]:
    """Identity of the materials and pictures of each group: one that changes counts for the meshes that may use it."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        if posixpath.splitext(entry.name)[1].lower() not in SUFFIXES:
            groups.setdefault(_groups(entry.name)[-1], []).append(entry)
    return {group: checksum_of(members) for group, members in groups.items()}


def _groups(name: str) -> list[str]:
    """The category of a file and, below it, the model's own folder where it has one."""
    parts = name.split("/")
    return ["/".join(parts[:2]), "/".join(parts[:3])] if len(parts) > 3 else ["/".join(parts[:2])]


def _orphans(archive: str, names: list[str]) -> Iterator[Found]:
    """Folders that hold materials and no mesh: a model whose mesh was lost."""
    with_mesh = {posixpath.dirname(name) for name in names if posixpath.splitext(name)[1].lower() in SUFFIXES}
    for name in names:
        parts = name.split("/")[1:]
        if name.lower().endswith(".mtl") and posixpath.dirname(name) not in with_mesh and len(parts) > 1:
            stem = "-".join(parts[1:]).removesuffix(".mtl")
            yield Found(
                parts[0], stem, None, f"{archive}!{name}", reason="missing_mesh", detail=f"{name} stands beside no mesh"
            )


FOLDER = Folder()
