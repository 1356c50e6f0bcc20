"""A folder of one's own meshes: one sub-folder a category, any mesh format, read in place.

my_meshes/
    chair/office_1.obj          category chair, name office_1; its materials and pictures
    chair/office_1.mtl          may lie anywhere inside my_meshes/
    chair/old/throne.glb        name old-throne
    splits.csv                  optional: columns shape,split with e.g. "chair/office_1,test"

A folder that holds meshes and no sub-folder with meshes is one category, named after it.
"""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import Matrix
from pipeline.manifest import Shape
from pipeline.meshes import frames
from pipeline.meshes.files import Files
from pipeline.meshes.load import SUFFIXES
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, checksum_of, split_member
from pipeline.sources.splits import with_splits

SPLIT_FILE = "splits.csv"
_WITH_COMPANIONS = (".obj", ".gltf", ".ply")
_HINTS = {
    "linked_folder": " is a link to a folder, which is not followed; copy the folder, or mount it there",
    "broken_link": " is a link that leads nowhere",
    "outside": " is a link that leads out of the folder; copy the file",
    "no_category": " lies beside the folders of the categories; move it into one",
}


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
        """Every mesh file; a mesh beside category folders and a link to a folder are refused by name."""
        for archive in archives.names:
            opened = archives.get(archive)
            entries = list(opened.entries())
            own = _own_category(entries, Path(dataset.path or "."))
            found = [*([] if own else _orphans(archive, entries)), *_meshes(archive, entries, own)]
            table = opened.files(f"{archive}/").read(SPLIT_FILE)
            yield from found if table is None else with_splits(found, table, f"{dataset.path}/{SPLIT_FILE}", own)

    def frame_of(self, member: str) -> Matrix:
        """The frame of the file's format."""
        return frames.to_world(posixpath.splitext(member)[1])

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The root is the whole folder, so materials may be shared between models."""
        archive, path = split_member(shape)
        return path.removeprefix(f"{archive}/"), archives.get(archive).files(f"{archive}/")


def _is_mesh(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in SUFFIXES


def _own_category(entries: list[Entry], folder: Path) -> str:
    """The folder's own name where its meshes lie in no sub-folder, else nothing."""
    depths = {entry.name.count("/") for entry in entries if _is_mesh(entry.name)}
    return folder.resolve().name if depths == {1} else ""


def _meshes(archive: str, entries: list[Entry], own: str) -> Iterator[Found]:
    """Every mesh, and every link to a folder, which may hold some."""
    companions = _Companions(entries, 1 if own else 2)
    for entry in entries:
        path = entry.name.partition("/")[2]
        linked = entry.problem == "linked_folder"
        if not linked and not _is_mesh(path):
            continue
        stem = path if linked else posixpath.splitext(path)[0]
        category, _, rest = (own, "", stem) if own and not linked else stem.partition("/")
        reason = entry.problem or ("" if entry.size else "empty")
        if not rest:
            category, rest, reason = (stem, stem, reason) if linked else ("none", stem, "no_category")
        yield Found(
            unicodedata.normalize("NFC", category),
            unicodedata.normalize("NFC", rest.replace("/", "-")),
            None,
            f"{archive}!{entry.name}",
            entry.size,
            companions.checksum(entry),
            reason,
            f"{entry.name}{_HINTS.get(reason, '')}",
        )


class _Companions:
    """Identity of materials and pictures: one that changes counts for the meshes that may use it.

    depth : how many folders a category's name has, from the top.
    """

    def __init__(self, entries: list[Entry], depth: int):
        self._depth = depth
        used = {group for entry in entries if _is_mesh(entry.name) for group in self._groups(entry.name)}
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            if not _is_mesh(entry.name):
                group = next((group for group in reversed(self._groups(entry.name)) if group in used), "")
                groups.setdefault(group, []).append(entry)
        self._sums = {group: checksum_of(members) for group, members in groups.items()}

    def checksum(self, entry: Entry) -> str:
        """Identity of a mesh with what it may use: of its own folder, its category, and of no category."""
        if posixpath.splitext(entry.name)[1].lower() in _WITH_COMPANIONS:
            beside = [self._sums.get(group, "") for group in (*self._groups(entry.name), "")]
            entry = entry._replace(checksum="-".join([entry.checksum, *beside]))
        return checksum_of([entry])

    def _groups(self, name: str) -> list[str]:
        """The category of a file and, below it, the model's own folder where it has one."""
        folders, depth = name.split("/")[:-1], self._depth
        return ["/".join(folders[:end]) for end in ([depth, depth + 1] if len(folders) > depth else [depth])]


def _orphans(archive: str, entries: list[Entry]) -> Iterator[Found]:
    """Folders that hold materials and no mesh: a model whose mesh was lost."""
    with_mesh = {posixpath.dirname(entry.name) for entry in entries if _is_mesh(entry.name)}
    for name in (entry.name for entry in entries):
        parts = name.split("/")[1:]
        if name.lower().endswith(".mtl") and posixpath.dirname(name) not in with_mesh and len(parts) > 1:
            stem = "-".join(parts[1:]).removesuffix(".mtl")
            yield Found(
                parts[0], stem, None, f"{archive}!{name}", reason="missing_mesh", detail=f"{name} stands beside no mesh"
            )


FOLDER = Folder()
