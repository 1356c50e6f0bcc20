"""A file that exists is whole: temporary name beside it, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `final`; publish it on success, remove it on failure.

    The name starts with a dot and ends in the final suffix, so tools that look at the
    suffix still work and `ls` never shows a half-written file.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{final.name}.", suffix=f".tmp{final.suffix}", dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise disk_error(error, final) from error
    finally:
        temporary.unlink(missing_ok=True)


def disk_error(error: OSError, path: Path) -> UserError:
    """Name the path and what to do when a file cannot be written."""
    return UserError(
        f"cannot write {path}: {error.strerror or error}",
        where=str(path.parent),
        do="free some space or choose another `output` in config.yaml, then run the same command again",
    )


def write_text(path: str | Path, text: str) -> None:
    """Publish a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Publish a JSON file atomically, keys sorted so that equal content gives equal bytes."""
    write_text(path, json_text(value))


def write_text_if_changed(path: str | Path, text: str) -> None:
    """Leave an equal file alone, so that its time does not wake up the jobs that read it."""
    path = Path(path)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def write_json_if_changed(path: str | Path, value: Any) -> None:
    """`write_json`, leaving an equal file alone."""
    write_text_if_changed(path, json_text(value))


def json_text(value: Any) -> str:
    """Keys sorted, so that equal content gives equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
