"""The files of one model, in a folder or in a zip: a mesh asks for its materials and pictures here by name.

One resolver serves every format.  It takes names as Windows and macOS write them: back-slashes, another case,
accents composed or not, Latin-1, quotes, comments behind the name, absolute paths of the exporter's machine; and
as URIs write them, with %20 for a blank.  The first of these that is there is taken:

    1. the name as it is written, beside the file that names it
    2. the same without regard to case and to how accents are composed
    3. the last parts of the name, most of them first, beside the file that names it

Nothing outside the root is ever read.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import unicodedata
import weakref
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from pipeline.errors import Reject
from pipeline.formats.zipped import damage_as

MAX_FILE_BYTES = 2**30
_MOST_PARTS = 16  # of a path whose end is looked for
_QUOTED = re.compile(r"""\A(["'])(.*)\1""")


@dataclasses.dataclass
class Files:
    """The files of one model: `read` answers bytes, or None for a name that is absent or outside the root.

    Names are POSIX paths relative to the root; `missing` and `refused` collect what was asked
    for in vain.
    """

    open_bytes: Callable[[str], bytes | None]
    names_in: Callable[[str], list[str]] = lambda _: []
    """The names in a folder below the root; "" is the root."""
    missing: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of_folder(cls, root: Path) -> Files:
        """The files below a folder; links that lead outside are refused."""
        base = os.path.realpath(root)

        def inside(name: str) -> str | None:
            path = os.path.realpath(os.path.join(base, name))
            return path if path == base or path.startswith(base.rstrip(os.sep) + os.sep) else None

        def read(name: str) -> bytes | None:
            path = inside(name)
            if path is None or not os.path.isfile(path):
                return None
            if os.path.getsize(path) > MAX_FILE_BYTES:
                raise Reject("too_large", f"{name} has {os.path.getsize(path)} bytes")
            return Path(path).read_bytes()

        def names_in(folder: str) -> list[str]:
            path = inside(folder)
            return os.listdir(path) if path is not None and os.path.isdir(path) else []

        return cls(read, names_in)

    @classmethod
    def of_zip(cls, archive: zipfile.ZipFile, prefix: str = "") -> Files:
        """The members of an open zip below `prefix` (which ends in a slash or is empty)."""

        def read(name: str) -> bytes | None:
            try:
                info = archive.getinfo(prefix + name)
            except KeyError:
                return None
            if info.file_size > MAX_FILE_BYTES:
                raise Reject("too_large", f"{name} has {info.file_size} bytes")
            with damage_as(lambda problem: Reject("bad_member", f"{name} cannot be unpacked: {problem}")):
                return archive.read(info)

        return cls(read, lambda folder: _folders_of(archive).get(posixpath.join(prefix, folder).strip("/"), []))

    def read(self, name: str, folder: str = "") -> bytes | None:
        """The bytes of the file that `name` means in `folder`; what is not found is noted in `missing` or `refused`."""
        outside = False
        for text in _readings(name):
            path = text.replace("\\", "/")
            absolute = path.startswith(("/", "~")) or path[1:2] == ":"
            outside |= absolute
            for place in dict.fromkeys(([] if absolute else [path]) + _endings(path)):
                clean = posixpath.normpath(posixpath.join(folder, place))
                if clean.startswith("../") or clean in ("..", ".") or not _can_be_a_name(clean):
                    outside |= clean != "."
                elif (data := self.exact(clean)) is not None:
                    return data
        (self.refused if outside else self.missing).append(name)
        return None

    def exact(self, path: str) -> bytes | None:
        """The bytes at a path relative to the root, without regard to case and composition; None if it is not there."""
        data = self.open_bytes(path)
        if data is None and (spelt := self._spelt(path)) is not None:
            data = self.open_bytes(spelt)
        return data

    def beside(self, member: str) -> Callable[[str], bytes | None]:
        """A reader of names as `member` writes them, relative to its own folder."""
        folder = posixpath.dirname(member)
        return lambda name: self.read(name, folder)

    def _spelt(self, path: str) -> str | None:
        """The path as the file system spells it, without regard to case and composition; None if it is not there."""
        found = ""
        for part in path.split("/"):
            names = self.names_in(found)
            if part not in names:
                wanted = _fold(part)
                alike = sorted(name for name in names if wanted in _spellings(name))
                if not alike:
                    return None
                part = alike[0]
            found = posixpath.join(found, part)
        return found


def _endings(path: str) -> list[str]:
    """The last parts of a path: of ``a/b/c`` these are ``b/c`` and ``c``."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")][-_MOST_PARTS:]
    return ["/".join(parts[at:]) for at in range(1 if len(parts) > 1 else 0, len(parts))]


def _can_be_a_name(path: str) -> bool:
    """Whether a file system can be asked for it: no zero bytes, no halves of letters."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _readings(name: str) -> Iterator[str]:
    """What a text may mean as a name: all of it, what is in quotes or before a comment, what a URI's escapes say."""
    text = name.strip()
    yield text
    if quoted := _QUOTED.match(text):
        yield quoted[2].strip()
    before = re.split(r"\s#", text, maxsplit=1)[0].strip()
    if before != text:
        yield before.strip("\"'")
    if "%" in text:
        yield unquote(text)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _spellings(name: str) -> set[str]:
    """The folded texts that a name of a folder or a zip may stand for: bytes that are no UTF-8 are read as Latin-1."""
    found = {_fold(name)}
    try:
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            found.add(_fold(os.fsencode(name).decode("latin-1")))
        elif not name.isascii():
            old = name.encode("cp437")  # how zipfile reads names that do not say they are UTF-8
            found.add(_fold(old.decode("latin-1")))
            found.add(_fold(old.decode("utf-8")))
    except UnicodeError:
        pass  # not from such a zip
    return found


_FOLDERS: weakref.WeakKeyDictionary[zipfile.ZipFile, dict[str, list[str]]] = weakref.WeakKeyDictionary()


def _folders_of(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    """The names in each folder of a zip; made once for each open archive."""
    if archive not in _FOLDERS:
        found: dict[str, set[str]] = {}
        for name in archive.namelist():
            parts = name.strip("/").split("/")
            for depth, part in enumerate(parts):
                found.setdefault("/".join(parts[:depth]), set()).add(part)
        _FOLDERS[archive] = {folder: sorted(names) for folder, names in found.items()}
    return _FOLDERS[archive]
