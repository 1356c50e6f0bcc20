"""The files of one model, in a folder or in a zip: a mesh asks for its materials and pictures here by name."""

from __future__ import annotations

import dataclasses
import posixpath
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import Reject

MAX_FILE_BYTES = 2**30


@dataclasses.dataclass
class Files:
    """The files of one model: `read` answers bytes, or None for a name that is absent or outside the root.

    Names are POSIX paths relative to the root; `missing` and `refused` collect what was asked
    for in vain.
    """

    open_bytes: Callable[[str], bytes | None]
    missing: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of_folder(cls, root: Path) -> Files:
        """The files below a folder; links that lead outside are refused."""
        base = root.resolve()

        def read(name: str) -> bytes | None:
            path = (base / name).resolve()
            if not path.is_relative_to(base) or not path.is_file():
                return None
            if path.stat().st_size > MAX_FILE_BYTES:
                raise Reject("too_large", f"{name} has {path.stat().st_size} bytes")
            return path.read_bytes()

        return cls(read)

    @classmethod
    def of_zip(cls, archive: zipfile.ZipFile, prefix: str = "") -> Files:
        """The members of an open zip below `prefix` (which ends in a slash or is empty)."""

        def read(name: str) -> bytes | None:
            try:
                info = archive.getinfo(prefix + name)
                if info.file_size > MAX_FILE_BYTES:
                    raise Reject("too_large", f"{name} has {info.file_size} bytes")
                return archive.read(info)
            except KeyError:
                return None
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
                raise Reject("bad_member", f"{name} cannot be unpacked: {error}") from error

        return cls(read)

    def read(self, name: str) -> bytes | None:
        """One file's bytes; None is noted in `missing` or `refused`."""
        clean = posixpath.normpath(name)
        if clean.startswith(("/", "../")) or clean == ".." or "\0" in clean or clean[1:2] == ":":
            self.refused.append(name)
            return None
        data = self.open_bytes(clean)
        if data is None:
            self.missing.append(name)
        return data

    def beside(self, member: str) -> Callable[[str], bytes | None]:
        """A reader of names as `member` writes them, relative to its own folder."""
        folder = posixpath.dirname(member)
        return lambda name: self.read(posixpath.join(folder, name))
