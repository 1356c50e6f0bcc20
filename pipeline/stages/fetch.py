"""Get the archives of one data set, or find them where they already are.

    python -m pipeline fetch --dataset D --settings JSON [--mirror DIR] [--seed N] [--keep] -o archives/D.json

A mirror that is a folder (or ``file://``) is used in place: nothing is copied, and an
unpacked folder stands for its zip.  Addresses are downloaded into ``archives/D/``.  With ``--keep``
what lies in a mirror is put there too, for jobs that cannot see the mirror.  The list
that is written last names every file with its size and SHA-256.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.archives import tar
from pipeline.archives.archive import directory_digest
from pipeline.archives.checks import problem_of
from pipeline.archives.contents import ContentSums
from pipeline.archives.nested import take_out
from pipeline.archives.places import folder_entry, local_folder, local_folders, shown
from pipeline.archives.remote import FETCHED, RemoteFile
from pipeline.atomic import atomic_folder
from pipeline.errors import UserError
from pipeline.manifest import sha256_of
from pipeline.progress import Log, say
from pipeline.settings.backgrounds import Backgrounds
from pipeline.settings.datasets import Dataset
from pipeline.settings.parse import parse
from pipeline.sources.backgrounds import PHOTOGRAPHS
from pipeline.sources.base import source_of
from pipeline.stages import trees
from pipeline.state.files import read_state, write_state_if_changed


def fetch_dataset(
    name: str,  # of the data set in the configuration
    dataset: Dataset,
    output: Path,  # D.json
    *,
    mirror: Path | None = None,  # a folder to try before the configured mirrors
    keep: bool = False,  # put what lies in a mirror beside D.json, in the folder D
    seed: int = 1,  # of the choice of shapes, for a source that publishes them one by one
    log: Log,
) -> None:
    """Make every file of the data set available; D.json is written last."""
    source = source_of(dataset.layout)
    if dataset.source == "folder":
        entries = [own_folder(name, dataset)]
    elif source.tree:
        entries = [trees.fetched(source, dataset, f"datasets.{name}", output, keep=keep, seed=seed, log=log)]
    else:
        mirrors = [*([str(mirror)] if mirror else []), *dataset.mirrors]
        entries = _entries(
            source.title,
            source.terms,
            source.page,
            mirrors,
            f"datasets.{name}",
            lambda offered: _wanted(source.files(dataset, offered), dataset),
            output,
            log,
            keep=keep,
        )
    write_state_if_changed(output, record_of(name, entries))
    made = "generated, in the layout of " if dataset.source == "procedural" else ""
    _report(name, entries, f"{made}{source.title}", log)


def record_of(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What D.json holds."""
    return {"dataset": name, "files": entries}


def own_folder(name: str, dataset: Dataset, sums: ContentSums | None = None) -> dict[str, Any]:
    """The entry of a folder of one's own; its name is no part of what its shapes are made from."""
    folder = Path(dataset.path or ".")
    if not folder.is_dir():
        raise UserError(
            "there is no such folder",
            where=f"datasets.{name}.path",
            got=str(folder),
            do="give the folder that has one sub-folder per category",
        )
    return folder_entry(folder, sums) | {"name": "folder", "root": "folder"}


def located(
    name: str, dataset: Dataset, record: Path, *, mirror: Path | None = None, sums: ContentSums, seed: int = 1
) -> tuple[list[dict[str, Any]], bool] | None:
    """Where the files of a data set lie now, and whether `record` (D.json) says so; None where one has to be fetched.

    Reads no more of an archive than its directory.  An entry of a file that is not the recorded one has no SHA-256.
    """
    known = recorded(record)
    if source_of(dataset.layout).tree:
        return trees.located(source_of(dataset.layout), dataset, known, sums, seed=seed)
    mirrors = [*([str(mirror)] if mirror else []), *dataset.mirrors]
    folders = [folder for folder in map(local_folder, mirrors) if folder is not None and folder.is_dir()]
    offered = sorted({child.name for folder in folders for child in folder.iterdir()}) if folders else None
    found = []
    for file in _wanted(source_of(dataset.layout).files(dataset, offered), dataset):
        entry = _now(file, folders, known, sums)
        if entry is not None:
            found.append(entry)
        elif not file.optional or file.name in known:
            return None
    return (found, found == list(known.values())) if found else None


def recorded(record: Path) -> dict[str, dict[str, Any]]:
    """The entries of D.json by their names; nothing where it cannot be read."""
    try:
        return {entry["name"]: entry for entry in read_state(record, FETCHED)["files"]}
    except UserError:
        return {}


def _now(
    file: RemoteFile, folders: list[Path], known: dict[str, dict[str, Any]], sums: ContentSums
) -> dict[str, Any] | None:
    """The entry of one file as it lies in a local mirror, or where it was fetched to."""
    before = known.get(file.name, known.get(file.folder))
    unpacked = file.is_tar and file.unpack
    for folder in folders:
        for candidate in (folder / file.name, folder / file.folder):
            if candidate.is_dir():
                return folder_entry(candidate, sums)
            if candidate.is_file() and not unpacked:
                return _same_as(before, candidate, file.name, str(folder))
            if candidate.is_file():  # its name holds the SHA-256 of the tar that it was unpacked from
                same = before is not None and before["bytes"] == candidate.stat().st_size
                return before if before is not None and same and Path(before["path"]).is_dir() else None
    if before is None or not Path(before["path"]).exists():
        return None
    path = Path(before["path"])
    return before if path.is_dir() else _same_as(before, path, file.name, before["mirror"])


def _same_as(before: dict[str, Any] | None, path: Path, name: str, mirror: str) -> dict[str, Any]:
    entry = {"name": name, "path": shown(path), "bytes": path.stat().st_size, "sha256": "", "mirror": mirror}
    entry["directory"] = directory_digest(path)
    same = before is not None and all(before.get(key) == entry[key] for key in ("bytes", "directory"))
    return entry | {"sha256": before["sha256"]} if before is not None and same else entry


def _wanted(files: list[RemoteFile], dataset: Dataset) -> list[RemoteFile]:
    """Generated archives have the published names, and bytes of their own."""
    if dataset.source != "procedural":
        return files
    return [dataclasses.replace(file, sha256="", md5="", bytes=None) for file in files]


def fetch_backgrounds(settings: Backgrounds, output: Path, *, keep: bool = False, log: Log) -> None:
    """Make the archive of photographs available; the record has the form of a data set's."""
    collection = PHOTOGRAPHS[settings.source]
    entries = _entries(
        collection.title,
        collection.terms,
        collection.page,
        list(settings.mirrors),
        "backgrounds",
        lambda offered: [collection.file],
        output,
        log,
        keep=keep,
    )
    write_state_if_changed(output, record_of("backgrounds", entries))
    _report("backgrounds", entries, collection.title, log)


def _entries(
    title: str,
    terms: str,
    page: str,
    mirrors: list[str],
    where: str,  # key of the configuration, for messages
    files: Callable[[list[str] | None], list[RemoteFile]],  # from the names that local mirrors offer
    output: Path,
    log: Log,
    *,
    keep: bool,
) -> list[dict[str, Any]]:
    folders = local_folders(mirrors, where)
    offered = sorted({child.name for folder in folders for child in folder.iterdir()}) if folders else None
    if len(folders) < max(1, len(mirrors)):  # what lies in a folder has been agreed to by whoever put it there
        say(f"fetch: terms of {title}: {terms} See {page}")
    wanted = files(offered)
    entries = [entry for file in wanted for entry in _get(file, mirrors, folders, output, log, keep=keep)]
    if not entries:
        raise UserError(
            f"no file of {title} was found",
            where=", ".join(map(str, folders)) or where,
            wanted=", ".join(file.name for file in wanted),
            do=f"put the official files there; see {page}",
        )
    return entries


def _report(name: str, entries: list[dict[str, Any]], title: str, log: Log) -> None:
    total = sum(entry["bytes"] for entry in entries)
    log.write("fetch", dataset=name, files=len(entries), bytes=total)
    say(f"fetch: {name}: {len(entries)} files, {total / 1e6:.1f} MB, {title}")


def _get(
    file: RemoteFile, mirrors: list[str], folders: list[Path], output: Path, log: Log, *, keep: bool
) -> list[dict[str, Any]]:
    """One entry of the list; none for an optional file that nobody has."""
    for folder in folders:
        for candidate in (folder / file.name, folder / file.folder):
            if keep and candidate.exists():
                candidate = _kept(candidate, output.parent / output.stem)
            if candidate.is_dir():
                return [folder_entry(candidate)]
            if candidate.is_file():
                return [_available(candidate, _sum_of(candidate, file), str(folder), file, output)]
    target = output.parent / output.stem / file.name
    if file.within is not None:
        for folder in folders:
            if (folder / file.within.name).is_file():
                taken = take_out(folder / file.within.name, target)
                return [_available(taken, _sum_of(taken, file), str(folder), file, output)]
    remote = [mirror for mirror in mirrors if local_folder(mirror) is None]
    addresses = [urllib.parse.urljoin(mirror.rstrip("/") + "/", file.name) for mirror in remote] or list(file.urls)
    if folders and not remote:
        addresses = []  # who names folders only does not want the network
    if not addresses:
        if file.optional:
            return []
        raise UserError(
            f"{file.name} is in none of the mirrors",
            where=", ".join(map(str, folders)),
            do="put the file there, or add the address of another mirror",
        )
    from pipeline.archives.download import download  # the HTTP client takes a moment to load

    try:
        found = download(file, addresses, target, log=log)
    except UserError as error:
        if file.within is None:
            raise
        say(f"fetch: {file.name} is taken out of {file.within.name}; by itself it is not offered ({error.got})")
        _get(file.within, mirrors, folders, output, log, keep=keep)
        taken = take_out(target.with_name(file.within.name), target)
        return [_available(taken, _sum_of(taken, file), file.within.name, file, output)]
    return [] if found is None else [_available(target, found.sha256, found.url, file, output)]


def _kept(path: Path, folder: Path) -> Path:
    """A second name in `folder` for what lies in a mirror; a copy where the file system gives no second name."""
    target = folder / path.name
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        with atomic_folder(target) as temporary:
            shutil.copytree(path, temporary, copy_function=_link, dirs_exist_ok=True)
    else:
        temporary = target.with_name(f".{target.name}.tmp")
        _link(path, temporary)
        os.replace(temporary, target)
    return target


def _link(path: str | Path, target: str | Path) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _sum_of(path: Path, file: RemoteFile) -> str:
    """SHA-256 of a file in a mirror; of one that nobody has published a sum of, after its own sums were checked."""
    sha256 = sha256_of(path)
    if sha256 != file.sha256 and (problem := problem_of(path, file.name)):
        raise UserError(
            "a file in a mirror is damaged", where=str(path), got=problem, do="copy it again from where it came from"
        )
    return sha256


def _available(path: Path, sha256: str, mirror: str, file: RemoteFile, output: Path) -> dict[str, Any]:
    """The entry of one file; of a tar that adapters read from, the folder it is unpacked to."""
    entry = _entry(path, sha256, mirror, file)
    if not file.is_tar or not file.unpack:
        return entry
    target = output.parent / output.stem / f"{file.folder}-{sha256[:12]}"
    if not target.is_dir():
        say(f"fetch: unpacking {path.name}")
        with atomic_folder(target) as temporary:
            tar.extract(path, temporary)
    inside = target / file.folder
    return entry | {"name": file.folder, "path": shown(inside if inside.is_dir() else target)}


def _entry(path: Path, sha256: str, mirror: str, file: RemoteFile) -> dict[str, Any]:
    if file.sha256 and sha256 != file.sha256:
        say(f"fetch: {path} is not the published file (another SHA-256); it is used as it is")
    entry = {"name": file.name, "path": shown(path), "bytes": path.stat().st_size, "sha256": sha256, "mirror": mirror}
    return entry if file.is_tar and file.unpack else entry | {"directory": directory_digest(path)}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command asks for besides settings, output and log."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", help="name of the data set")
    what.add_argument("--backgrounds", action="store_true", help="the photographs views are put in front of")
    parser.add_argument("--mirror", type=Path, help="a folder to try first")
    parser.add_argument("--keep", action="store_true", help="put what lies in a mirror beside the list of files")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of shapes that are fetched one by one")


def run(given: argparse.Namespace, log: Log) -> None:
    """The command."""
    if given.backgrounds:
        fetch_backgrounds(parse(Backgrounds, given.settings, "--settings"), given.output, keep=given.keep, log=log)
    else:
        settings = parse(Dataset, given.settings, "--settings")
        fetch_dataset(
            given.dataset,
            settings,
            given.output,
            mirror=given.mirror,
            keep=given.keep,
            seed=given.seed,
            log=log,
        )
