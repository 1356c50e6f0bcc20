"""Thingi10K: ten thousand files of things that people print, with all the faults of such files.

    Thingi10K/raw_meshes/<file id>.stl           or .obj, .ply, .off; 99.6 % are STL
    metadata/input_summary.csv                   ID, Thing ID, License, Link, ...
    metadata/contextual_data.csv                 Thing ID, Date, Category, Sub-category, Name, Author, License

Zhou and Jacobson, arXiv:1605.04797; the layout is that of Thingi10K.tar.gz and of the folder metadata on
the Hub (datasets/Thingi10K/Thingi10K).  Files of one thing belong together and are in one split.
Which way they stand is that of their format (pipeline/meshes/frames.py).
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import Matrix
from pipeline.errors import UserError
from pipeline.manifest import Shape
from pipeline.meshes import frames
from pipeline.meshes.files import Files
from pipeline.settings.categories import folded
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Licence, Source, checksum_of, split_member
from pipeline.sources.objects.licences import code_of
from pipeline.state.tables import read_foreign, read_named

_HUB = "https://huggingface.co/datasets/Thingi10K/Thingi10K/resolve/main"
_TOP = "Thingi10K"
_FILES, _THINGS = "metadata/input_summary.csv", "metadata/contextual_data.csv"
_COLUMNS = {_FILES: {"ID", "Thing ID", "License"}, _THINGS: {"Thing ID", "Category", "Name", "Author"}}
_MEMBER = re.compile(r"(?:.*/)?raw_meshes/(?P<id>\d+)\.(?:stl|obj|ply|off)", re.IGNORECASE)
_NO_CATEGORY = "uncategorised"


class _About(NamedTuple):
    category: str
    licence: Licence
    thing: str


class Thingi10k(Source):
    """Every mesh file."""

    title = "Thingi10K"
    page = "https://huggingface.co/datasets/Thingi10K/Thingi10K"
    terms = (
        "each file under the licence that its author gave it, named in the ledger (some forbid commercial use; "
        "`licences` chooses). Cite Zhou and Jacobson, arXiv:1605.04797."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """One tar and the two tables."""
        tables = [RemoteFile(name, (f"{_HUB}/{name}",)) for name in (_FILES, _THINGS)]
        return [RemoteFile(f"{_TOP}.tar.gz", (f"{_HUB}/{_TOP}.tar.gz",), unpack=True), *tables]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every mesh; one that the tables do not name has the licence `unknown`."""
        known = _tables(archives)
        for entry in archives.get(_TOP).entries():
            match = _MEMBER.fullmatch(entry.name)
            if match is None:
                continue
            about = known.get(match["id"], _About(_NO_CATEGORY, Licence("unknown"), ""))
            reason, detail = entry.problem or ("" if entry.size else "empty"), entry.name
            if dataset.licences is not None and about.licence.code not in dataset.licences:
                reason, detail = "licence", f"its licence is {about.licence.code}; {about.licence.credit}"
            terms = Entry("licence", 0, f"{about.licence.code} {about.licence.credit}")
            yield Found(
                about.category,
                match["id"],
                None,
                f"{_TOP}!{entry.name}",
                entry.size,
                checksum_of([entry, terms]),
                reason,
                detail,
                f"thing {about.thing}" if about.thing else "",
            )

    def frame_of(self, member: str) -> Matrix:
        """The frame of the file's format."""
        return frames.to_world(posixpath.splitext(member)[1])

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """Meshes need no other file."""
        folder, _, name = split_member(shape)[1].rpartition("/")
        return name, archives.get(_TOP).files(f"{folder}/")

    def licence(self, archives: Archives, shape: Shape) -> Licence:
        """As the table of files says."""
        if _TOP not in archives.memo:
            archives.memo[_TOP] = _tables(archives)
        about: _About | None = archives.memo[_TOP].get(shape.name)
        return about.licence if about else Licence("unknown")


def _tables(archives: Archives) -> dict[str, _About]:
    """What is known of each file by its number."""
    things = {row["Thing ID"]: row for row in _rows(archives, _THINGS)}
    found = {}
    for row in _rows(archives, _FILES):
        thing = row["Thing ID"] or ""
        about = things.get(thing, {})
        said = folded(about.get("Category") or "")
        title = " ".join(html.unescape(about.get("Name") or "").split()) or f"thing {thing}"
        author = html.unescape(about.get("Author") or "").strip() or "an unknown author"
        credit = f'"{title}" by {author}, https://www.thingiverse.com/thing:{thing}'
        category = said if said not in ("", "none") else _NO_CATEGORY
        found[row["ID"]] = _About(category, Licence(code_of(row["License"]), credit), thing)
    return found


def _rows(archives: Archives, name: str) -> list[dict[str, str]]:
    try:
        text = archives.text(name) or ""
        lacking = _COLUMNS[name] - set((read_foreign(text, ",") or [[]])[0])
        if lacking:
            raise ValueError(f"no column {', '.join(sorted(lacking))}")
        return read_named(text, ",")
    except ValueError as error:
        raise UserError(
            "cannot read a table of Thingi10K", where=name, got=str(error), do="fetch the file again"
        ) from error


THINGI10K = Thingi10k()
