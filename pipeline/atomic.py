"""A file that exists is whole: temporary name beside it, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import NO_ROOM, cannot_write
from pipeline.parent import process_table

# What a killed writer of another machine has left is nobody's after this long; no job lives a week without a write.
_FORGOTTEN_S = 7 * 86_400.0
_LONGEST_NAME = 200  # bytes; what a temporary name adds must fit into the 255 that file systems take


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `final`; publish it on success, remove it on failure.

    The name starts with a dot and ends in the final suffix, so tools that look at the
    suffix still work and `ls` never shows a half-written file.  What an earlier writer of the
    same file left when it was killed is removed first.  Raises UserError where it cannot be written.
    """
    final = Path(final)
    temporary = _temporary(final)
    try:
        _make_way(final)
        temporary.touch(mode=0o666, exist_ok=False)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if not _is_about(error, temporary, final):
            raise
        raise cannot_write(error, final, f"more than {_size(temporary):,} bytes for this file") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """The same for a folder that does not exist yet: it appears with everything in it, or not at all."""
    temporary = _temporary(final)
    try:
        _make_way(final)
        temporary.mkdir()
        yield temporary
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if not _is_about(error, temporary, final):
            raise
        raise cannot_write(error, final) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(final: Path) -> None:
    """Remove what dead writers of `final` have left; what a living one is writing stays.

    A temporary name holds the machine (and its process table) and the number of its writer.
    """
    owner = r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp"
    pattern = re.compile(re.escape(_prefix(final)) + owner + re.escape(_suffix(final)))
    for name in os.listdir(final.parent):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        left = final.parent / name
        with contextlib.suppress(OSError):  # two sweep at once, or it is somebody else's
            if match[1] == process_table():
                dead = not _alive(int(match[2]))
            else:
                dead = time.time() - left.stat().st_mtime > _FORGOTTEN_S
            if dead and left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif dead:
                left.unlink()


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


def _make_way(final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final)


def _temporary(final: Path) -> Path:
    return final.parent / f"{_prefix(final)}{process_table()}-{os.getpid()}-{os.urandom(4).hex()}.tmp{_suffix(final)}"


def _prefix(final: Path) -> str:
    name = os.fsencode(final.name)
    return f".{final.name}." if len(name) < _LONGEST_NAME else f".{hashlib.sha256(name).hexdigest()[:16]}."


def _suffix(final: Path) -> str:
    return final.suffix if len(os.fsencode(final.suffix)) < 20 else ""


def _is_about(error: OSError, temporary: Path, final: Path) -> bool:
    """Whether an error is about the file that is written, and not about another that is read meanwhile."""
    if error.errno in NO_ROOM or error.filename is None:
        return error.errno is not None
    path = Path(os.fsdecode(error.filename))
    return path in (temporary, final) or path in final.parents or temporary in path.parents


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the new name last; where a folder cannot be opened or synchronised, its file system has to see to that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)
