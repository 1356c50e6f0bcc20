"""What adapters of such sources share: shapes that tables name, which of them to fetch, and what became of them.

A tree is filled by `fetch` in the order in which shapes are chosen (`place_in_choice`), until
each category has as many as `shapes_per_category` asks for; so `index`, which chooses in the
same order, finds them all.  A folder of one's own is used as it is: what it lacks was not wanted.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pipeline.archives.archive import Entry
from pipeline.archives.places import ABSENT, read_absent
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import Matrix
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes import frames
from pipeline.meshes.files import Files
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Licence, Source, checksum_of, place_in_choice, split_member
from pipeline.state.files import parse_json

_MOST_BYTES = 2**31  # of a table, unpacked


class GlbTree(Source):
    """A source of which each shape is one GLB file."""

    def frame_of(self, member: str) -> Matrix:
        """That of glTF."""
        return frames.to_world(".glb")

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """A GLB needs no other file."""
        folder, _, name = split_member(shape)[1].rpartition("/")
        return name, archives.get(self.tree).files(f"{folder}/")


class Listed(NamedTuple):
    """One shape as the tables name it."""

    category: str
    name: str
    member: str  # its mesh, below the tree
    licence: Licence
    reason: str = ""  # why it cannot be used, whatever its file is like
    detail: str = ""

    @property
    def key(self) -> str:
        """``category/name``."""
        return f"{self.category}/{self.name}"


def allowed(shape: Listed, dataset: Dataset) -> Listed:
    """The same, refused where its licence is not one of those that are asked for."""
    if shape.reason or dataset.licences is None or shape.licence.code in dataset.licences:
        return shape
    return shape._replace(reason="licence", detail=f"its licence is {shape.licence.code}; {shape.licence.credit}")


def in_order(
    shapes: Iterable[Listed], files: Files, dataset: Dataset, seed: int, address: str
) -> Iterator[list[RemoteFile]]:
    """The meshes to fetch, until each category has as many as are asked for or no more are left."""
    waiting: dict[str, list[Listed]] = defaultdict(list)
    for shape in shapes:
        if not shape.reason:
            waiting[shape.category].append(shape)
    limit = dataset.shapes_per_category
    for group in waiting.values():
        group.sort(key=lambda shape: place_in_choice(seed, shape.key), reverse=True)  # the last is the next
    have = dict.fromkeys(waiting, 0)
    while step := [
        shape
        for category, group in sorted(waiting.items())
        for shape in _taken(group, len(group) if limit is None else limit - have[category])
    ]:
        yield [RemoteFile(shape.member, (f"{address}/{shape.member}",), optional=True) for shape in step]
        for shape in step if limit is not None else ():
            folder, _, name = shape.member.rpartition("/")
            have[shape.category] += name in files.names_in(folder)


def found(shapes: Iterable[Listed], archives: Archives, tree: str, *, grouped: bool = False) -> Iterator[Found]:
    """What became of each shape that the tables name; those that were never wanted are passed over.

    grouped : whether one mesh may stand under several names, which then must not meet in two splits.
    """
    absent = read_absent(archives.tree(tree).open_bytes(ABSENT))
    for shape in shapes:
        mesh = archives.identity(tree, shape.member)
        reason, detail = shape.reason, shape.detail
        if mesh is None and not reason:
            if absent is None:
                reason, detail = "not_in_mirror", f"{shape.member} is not in the folder"
            elif shape.member in absent:
                reason, detail = "not_found", f"no mirror has {shape.member}"
            else:
                continue
        mesh = mesh or Entry(f"{tree}/{shape.member}", 0, "")
        terms = Entry("licence", 0, f"{shape.licence.code} {shape.licence.credit}")
        yield Found(
            shape.category,
            shape.name,
            None,
            f"{tree}!{tree}/{shape.member}",
            mesh.size,
            checksum_of([mesh, terms]) if mesh.checksum else "",
            reason or ("" if mesh.size else "empty"),
            detail or shape.member,
            group=shape.member if grouped else "",
        )


def table(files: Files, name: str, title: str) -> bytes:
    """The content of a gzip file of a tree; a UserError where it is absent or damaged."""
    packed = files.open_bytes(name)
    if packed is None:
        raise UserError(
            f"a table of {title} is not there", where=name, do="fetch the data set again, or complete the mirror"
        )
    parts: list[bytes] = []
    left = _MOST_BYTES
    while packed.strip(b"\0"):  # one stream may follow another
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(packed, left))
        except zlib.error as error:
            raise _unreadable(title, name, str(error)) from error
        left -= len(parts[-1])
        if not stream.eof or left <= 0:
            raise _unreadable(title, name, "it ends in the middle, or unpacks to more than 2 GiB")
        packed = stream.unused_data
    return b"".join(parts)


def json_table(files: Files, name: str, title: str) -> dict[str, Any]:
    """The object in a gzip file of JSON."""
    try:
        value = parse_json(table(files, name, title), ours=False)
    except ValueError as error:
        raise _unreadable(title, name, str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(title, name, f"JSON of type {type(value).__name__}")
    return value


def _unreadable(title: str, name: str, got: str) -> UserError:
    return UserError(
        f"cannot read a table of {title}", where=name, got=got, do="delete the file and fetch the data set again"
    )


def _taken(group: list[Listed], count: int) -> list[Listed]:
    return [group.pop() for _ in range(min(max(count, 0), len(group)))]
