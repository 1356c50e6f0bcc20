r"""Tables as text, one row a line: the one place where cells are written into .tsv and .csv files.

A cell never ends its line or its column, and no spreadsheet takes it for a formula: what begins with ``=``, ``+``,
``-`` or ``@`` and is no number gets a ``'`` before it (OWASP, "CSV Injection"), and so does what begins with ``'``.
A tab, a line end and a backslash are written ``\t``, ``\n``, ``\r`` and ``\\`` (IANA, text/tab-separated-values,
forbids the first in cells), the other characters of pipeline/foreign.py as ``\u001b``.  `read_table` takes all of
that back; a cell without such characters is itself.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.foreign import CONTROLS

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ODD_ROW = re.compile(rf"(?m)^[=+\-@']|(?!\n)[\\{CONTROLS}]")
_ODD = re.compile(rf"[\\{CONTROLS}]")
_WRITTEN = re.compile(r"\\(u[0-9a-f]{4}|[^u]|)", re.DOTALL)
_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_LONG = {short[1]: plain for plain, short in _SHORT.items()}


def write_table(header: Sequence[Any], rows: Iterable[Sequence[Any]], delimiter: str = "\t") -> str:
    """The text of a table, its header first."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(_escaped, rows))
    return out.getvalue()


def read_table(text: str, delimiter: str = "\t") -> list[list[str]]:
    """Inverse of `write_table`, the header included; ValueError for anything else."""
    return [_plain(row) for row in read_foreign(text, delimiter)]


def read_foreign(text: str, delimiter: str) -> list[list[str]]:
    """Rows of a table that somebody else wrote, as they are; ValueError for what is no table."""
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def read_named(text: str, delimiter: str = "\t") -> list[dict[str, str]]:
    """Rows of a foreign table by the names in its header; cells that a row lacks are empty."""
    header, *rows = read_foreign(text, delimiter) or [[]]
    return [dict.fromkeys(header, "") | dict(zip(header, row)) for row in rows if row]


def _escaped(row: Sequence[Any]) -> Sequence[Any]:
    cells = [str(cell) for cell in row]
    together = "\n".join(cells)
    if together.count("\n") == len(cells) - 1 and not _ODD_ROW.search(together):
        return cells
    return [_cell(cell) for cell in cells]


def _cell(cell: str) -> str:
    guarded = f"'{cell}" if cell[:1] in tuple("=+-@'") and not _NUMBER.fullmatch(cell) else cell
    return _ODD.sub(lambda odd: _SHORT.get(odd[0]) or f"\\u{ord(odd[0]):04x}", guarded)


def _plain(row: list[str]) -> list[str]:
    if not any("\\" in cell or cell.startswith("'") for cell in row):
        return row
    return [_WRITTEN.sub(_meant, cell.removeprefix("'")) for cell in row]


def _meant(written: re.Match[str]) -> str:
    word = written[1]
    if len(word) == 5:
        return chr(int(word[1:], 16))
    if word not in _LONG:
        raise ValueError(f"{written[0]!r} stands for nothing in a cell")
    return _LONG[word]
