"""``splits.csv`` of an own folder: which of its shapes belong to which part.

shape,split
chair/office_1,test             category/name, as the index names it,
chair/old/throne.glb,val        or the path of the mesh, with or without its suffix
"""

from __future__ import annotations

import csv
import dataclasses
import io
import posixpath
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.conventions import SPLITS
from pipeline.errors import UserError
from pipeline.settings.parse import did_you_mean
from pipeline.sources.base import Found

_SHOWN = 20  # lines that an error lists


class Line(NamedTuple):
    """One line of the table."""

    number: int
    shape: str
    split: str


def with_splits(found: Sequence[Found], table: bytes, where: str, own: str = "") -> list[Found]:
    """The same shapes, with the splits that the table gives; a line that names none of them is an error.

    own : the category of a flat folder, whose lines may name shapes without it.
    """
    keys = [f"{item.category}/{item.name}" for item in found]
    key_of = {_path_of(item): key for item, key in zip(found, keys)} | {key: key for key in keys}
    given: dict[str, Line] = {}
    lost: list[Line] = []
    for line in read_splits(table, where):
        spellings = [line.shape, posixpath.splitext(line.shape)[0]]
        meant = next((key_of[s] for name in spellings for s in (name, f"{own}/{name}") if s in key_of), None)
        if meant is None:
            lost.append(line)
        elif given.setdefault(meant, line).split != line.split:
            raise UserError(
                f"{meant} has two splits", where=where, got=_listed([given[meant], line]), do="remove one of the lines"
            )
    if lost:
        hint = did_you_mean(lost[0].shape, sorted(key_of)) if len(key_of) < 1000 else ""
        raise UserError(
            "the split file names shapes that are not there",
            where=where,
            got=_listed(lost),
            wanted=f"category/name of a mesh in the folder{hint}",
            do="correct the lines or remove them; without them these shapes might be trained on",
        )
    return [
        dataclasses.replace(item, split=given[key].split) if key in given else item for item, key in zip(found, keys)
    ]


def read_splits(table: bytes, where: str) -> list[Line]:
    """The lines of the table; a UserError that lists those that cannot be read."""
    try:
        text = table.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = table.decode("latin-1")  # as spreadsheets of Windows write
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=next((mark for mark in ",;\t" if mark in head), ","))
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        if not {"shape", "split"} <= set(columns):
            raise _unreadable(
                where, f"the columns {', '.join(columns) or 'of an empty file'}", "correct the first line"
            )
        lines = [_line(rows.line_num, dict(zip(columns, row))) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _unreadable(where, f"line {rows.line_num}: {error}", "correct the line") from error
    bad = [line for line in lines if not line.shape or line.split not in SPLITS]
    if bad:
        raise _unreadable(where, _listed(bad), "correct these lines")
    return lines


def _path_of(item: Found) -> str:
    """Path of a mesh below the folder, without its suffix."""
    path = item.member.partition("!")[2].partition("/")[2]
    return unicodedata.normalize("NFC", posixpath.splitext(path)[0])


def _line(number: int, row: dict[str, str]) -> Line:
    name = row.get("shape", "").strip().replace("\\", "/")
    shape = unicodedata.normalize("NFC", posixpath.normpath(name)) if name else ""
    return Line(number, shape, row.get("split", "").strip().lower())


def _listed(lines: Sequence[Line]) -> str:
    shown = [f"line {line.number}: {line.shape},{line.split}" for line in lines[:_SHOWN]]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n        ".join(shown + more)


def _unreadable(where: str, got: str, do: str) -> UserError:
    return UserError(
        "cannot read the split file",
        where=where,
        got=got,
        wanted=f"columns shape,split; split is one of {', '.join(SPLITS)}",
        do=do,
    )
