"""Files that a publisher offers one by one, below one address: only those that are asked for are brought.

archives/D/objaverse/object-paths.json.gz        each published whole, so an interrupted run goes on where it was
archives/D/objaverse/glbs/000-023/<uid>.glb
archives/D/objaverse/absent.json                 names that no mirror has; they become lines of the ledger
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import shutil
import urllib.parse
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipeline.archives.download import Patience, download
from pipeline.archives.places import ABSENT
from pipeline.archives.remote import RemoteFile
from pipeline.atomic import atomic_path, write_json
from pipeline.errors import UserError
from pipeline.progress import Log, progress

_AT_ONCE = 8  # small files wait for the server, not for the line


class Tree:
    """The files below `folder`, filled from mirrors in their order."""

    def __init__(
        self,
        folder: Path,
        folders: Sequence[Path],  # mirrors on this machine, tried first
        addresses: Sequence[str],  # mirrors on the network
        *,
        official: bool,  # whether, without those, the publisher's own addresses may be asked
        log: Log,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ):
        self.folder, self._folders, self._addresses = folder, folders, addresses
        self._official, self._log, self._patience = official, log, patience
        self._absent: set[str] = set()

    def bring(self, files: Sequence[RemoteFile]) -> None:
        """Make these files available; an optional one that nobody has is noted.

        Raises UserError when a server cannot be reached, or lacks a file that is needed.
        """
        wanted = [file for file in files if not (self._place(file) / file.name).is_file()]
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                got = pool.map(self._get, wanted)
                for file, there in zip(wanted, progress(got, "fetch", total=len(wanted), unit="file", log=self._log)):
                    if not there:
                        self._absent.add(file.name)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def finish(self) -> None:
        """Note what is absent; written last."""
        write_json(self.folder / ABSENT, sorted(self._absent))

    def _place(self, file: RemoteFile) -> Path:
        """The folder, once it is sure that the name stays below it: names come from the publisher's tables."""
        parts = PurePosixPath(file.name).parts
        if not parts or ".." in parts or parts[0] == "/" or "\\" in file.name or not file.name.isprintable():
            raise UserError(
                "a table names a file outside of its set",
                where=str(self.folder),
                got=repr(file.name),
                do="check where the table comes from; nothing was fetched by this name",
            )
        return self.folder

    def _get(self, file: RemoteFile) -> bool:
        """Whether the file is there now."""
        target = self._place(file) / file.name
        for folder in self._folders:
            if (folder / file.name).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as temporary:
                    shutil.copyfile(folder / file.name, temporary)
                return True
        path = urllib.parse.quote(file.name)
        addresses = [f"{mirror.rstrip('/')}/{path}" for mirror in self._addresses]
        if self._official and not addresses:
            addresses = list(file.urls)
        if not addresses and file.optional:
            return False
        try:
            needed = dataclasses.replace(file, optional=False)  # so that a server that is down is no absent file
            download(needed, addresses, target, log=self._log, patience=self._patience, quiet=True)
        except UserError as error:
            if file.optional and _nobody_has_it(error):
                return False
            raise
        return True


def _nobody_has_it(error: UserError) -> bool:
    """Whether every address answered that there is no such file; a server that is down says something else."""
    return bool(error.got) and all("there is no such file" in answer for answer in error.got.splitlines())
