"""The files that a person names: files, and folders in which they are looked for."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError, in_words


def files_among(
    given: Sequence[Path],
    suffixes: Sequence[str],  # of the files looked for in folders, such as ".obj"
    *,
    what: str,  # "mesh"
    commands: Sequence[str] = (),  # words that may have been meant instead of a path
    command: str = "",  # "python -m voxelize"
) -> list[tuple[Path, Path]]:
    """(file, its name below what was given) of every file, those of a folder sorted; UserError for anything else."""
    found: list[tuple[Path, Path]] = []
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
            if not inside:
                raise UserError(f"no {what} in this folder", where=str(path), wanted=", ".join(suffixes))
            found += [(file, file.relative_to(path)) for file in inside]
        elif path.is_file():
            found.append((path, Path(path.name)))
        else:
            meant = difflib.get_close_matches(str(path), commands, n=1)
            raise nothing_there(path, do=f"if the command is meant: `{command} {meant[0]}`" if meant else "")
    return found


def nothing_there(path: Path, do: str = "") -> UserError:
    """Why a path that is neither a file nor a folder cannot be read."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return UserError("no such file", where=str(path), do=do)
    except OSError as error:
        return in_words(error)
    kind = "a link to a file that is not there" if path.is_symlink() else "a device, a pipe or a socket"
    return UserError("this is neither a file nor a folder", where=str(path), got=kind)
