"""Where the products of a run lie: in a folder that every process sees, or in a storage that Snakemake carries them to.

Without a shared file system (``--default-storage-provider``) each job works in an empty folder.  Snakemake brings
its inputs to ``.snakemake/storage/...`` and takes its outputs away; `local` says where that is.  The plan's own
notes (records, lists of shapes) are small and not inputs of jobs: `pull` brings them below ``results/`` of the
process that asks, and `push` takes back what the plan has written there.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import os
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, is_there

_AT_A_TIME = 16  # connections


class Shared:
    """One folder for all."""

    apart = False

    def exists(self, path: str) -> bool:
        """Whether a product is there."""
        return is_there(path)

    def local(self, path: str) -> str:
        """Where a command finds or leaves a product."""
        return path

    def pull(self, path: str) -> None:
        """Bring a file, or all below a folder."""

    def push(self, path: str) -> None:
        """Take back what was written of it here."""

    def send(self, folder: Path, path: str) -> None:
        """Put a folder of this machine under the name `path`."""


class Apart(Shared):
    """A storage behind one of Snakemake's plugins.

    provider : the default storage provider of the workflow; prefix : ``--default-storage-prefix``.
    """

    apart = True

    def __init__(self, provider: Any, prefix: str, out: str):
        if os.path.isabs(out):
            raise UserError(
                "`output` must be a relative path where the results lie in a storage",
                where="config.yaml",
                got=out,
                do="write `output: results`; --default-storage-prefix says where in the storage",
            )
        self._provider = provider
        self._prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
        self._out = out
        self._seen: dict[str, tuple[int, int]] = {}  # files here, as they were pulled or pushed
        self._keys: list[str] | None = None
        self._inventory = types.SimpleNamespace(exists_in_storage={}, exists_local={}, mtime={}, size={}, checksum={})

    def exists(self, path: str) -> bool:
        thing = self._object(path)
        if not self._listed():
            return bool(thing.exists())
        key = thing.cache_key()
        return bool(self._inventory.exists_in_storage.get(key)) or next(self._below(key), None) is not None

    def local(self, path: str) -> str:
        return str(self._object(path).local_path())

    def pull(self, path: str) -> None:
        thing = self._object(path)
        if not self._listed():
            if thing.exists():
                _bring(thing, Path(path))
        else:
            key = thing.cache_key()
            names = [path] if self._inventory.exists_in_storage.get(key) else []
            names += [path + below.removeprefix(key) for below in self._below(key)]
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                list(pool.map(self._pull_one, names))
        self._seen |= _stamps(Path(path))

    def push(self, path: str) -> None:
        changed = {name: stamp for name, stamp in _stamps(Path(path)).items() if self._seen.get(name) != stamp}
        for name, stamp in changed.items():
            self._put(Path(name), name)
            self._seen[name] = stamp

    def send(self, folder: Path, path: str) -> None:
        self._put(folder.resolve(), path)

    def _put(self, source: Path, path: str) -> None:
        thing = self._object(path)
        thing.set_local_path(source)
        thing.store_object()

    def _object(self, path: str) -> Any:
        return self._provider.object(f"{self._prefix}{os.path.normpath(path)}")

    def _listed(self) -> bool:
        """Whether the storage lists all that it has at once, as S3 does."""
        if self._keys is None:
            top = self._object(f"{self._out}/-")
            with ThreadPoolExecutor(1) as pool:  # the thread of the plan may have a loop of its own
                pool.submit(asyncio.run, top.inventory(self._inventory)).result()
            self._keys = sorted(key for key, there in self._inventory.exists_in_storage.items() if there)
            self._lists = self._inventory.exists_in_storage.get(top.get_inventory_parent()) is True
        return self._lists

    def _below(self, key: str) -> Iterator[str]:
        keys = self._keys or []
        for number in range(bisect.bisect_left(keys, f"{key}/"), len(keys)):
            if not keys[number].startswith(f"{key}/"):
                return
            yield keys[number]

    def _pull_one(self, path: str) -> None:
        thing, here = self._object(path), Path(path)
        key = thing.cache_key()
        written, size = self._inventory.mtime[key].storage(), self._inventory.size[key]
        with contextlib.suppress(FileNotFoundError):
            info = here.stat()
            if info.st_size == size and info.st_mtime == written:
                return
        _bring(thing, here)
        os.utime(here, (written, written))


def _bring(thing: Any, here: Path) -> None:
    here.parent.mkdir(parents=True, exist_ok=True)
    thing.set_local_path(here)
    thing.retrieve_object()


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    files = [path] if path.is_file() else [below for below in path.rglob("*") if below.is_file()]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}
