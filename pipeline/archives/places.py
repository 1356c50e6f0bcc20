"""Where files lie: folders that mirrors name, and the entries of D.json that speak of them."""

from __future__ import annotations

import os
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.archives.addresses import shown as shown_address
from pipeline.archives.contents import ContentSums
from pipeline.errors import UserError
from pipeline.state.files import parse_json

ABSENT = "absent.json"  # in a tree that was fetched: names of files that no mirror has


def local_folder(mirror: str) -> Path | None:
    """The folder a mirror names, or None for an address."""
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError as error:
        raise UserError(
            "a mirror is no address", got=shown_address(mirror), do="correct `mirrors` of the data set"
        ) from error
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    return Path(mirror).expanduser() if parts.scheme not in ("http", "https") else None


def local_folders(mirrors: Sequence[str], where: str) -> list[Path]:
    """The folders among mirrors, in their order; UserError for one that is not there.

    where : key of the configuration, for messages.
    """
    folders = [folder for folder in map(local_folder, mirrors) if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                "a mirror is not a folder",
                where=f"{where}.mirrors",
                got=str(folder),
                do="correct the path, or remove the line to use the official addresses",
            )
    return folders


def folder_entry(folder: Path, sums: ContentSums | None = None) -> dict[str, Any]:
    """A folder that stands for an archive; what is in it is looked at when its shapes are listed."""
    return {
        "name": folder.resolve().name,
        "path": shown(folder),
        "bytes": sum(file.info.st_size for file in (sums or ContentSums()).files(folder.resolve())),
        "sha256": "",
        "mirror": shown(folder.parent),
    }


def shown(path: Path) -> str:
    """Relative below the working directory, so that a run can be moved; absolute elsewhere."""
    full = Path(os.path.abspath(path))
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)


def read_absent(data: bytes | None) -> set[str] | None:
    """The names in absent.json; None where nothing has been fetched, so that a folder is a choice of its owner's."""
    if data is None:
        return None
    try:
        return {str(name) for name in parse_json(data)}
    except (ValueError, TypeError) as error:
        raise UserError(
            "cannot read the list of absent files", got=str(error), do=f"delete {ABSENT} and fetch the data set again"
        ) from error
