"""A file that exists is whole: temporary name beside it, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}


# What a killed writer of another machine has left is nobody's after this long; no job lives a week without a write.
_FORGOTTEN_S = 7 * 86_400.0


@contextlib.contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `final`; publish it on success, remove it on failure.

    The name starts with a dot and ends in the final suffix, so tools that look at the
    suffix still work and `ls` never shows a half-written file.  What an earlier writer of the
    same file left when it was killed is removed first.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final)
    temporary = final.parent / f"{_prefix(final)}{_owner()}{os.urandom(4).hex()}.tmp{final.suffix}"
    try:
        temporary.touch(mode=0o666, exist_ok=False)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise disk_error(error, final, f"more than {_size(temporary):,} bytes for this file") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """The same for a folder that does not exist yet: it appears with everything in it, or not at all."""
    final.parent.mkdir(parents=True, exist_ok=True)
    sweep(final)
    temporary = final.parent / f"{_prefix(final)}{_owner()}{os.urandom(4).hex()}.tmp{final.suffix}"
    try:
        temporary.mkdir()
        yield temporary
        os.replace(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise disk_error(error, final) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(final: Path) -> None:
    """Remove what dead writers of `final` have left; what a living one is writing stays.

    A temporary name holds the machine (and its process table) and the number of its writer.
    """
    pattern = re.compile(re.escape(_prefix(final)) + r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp" + re.escape(final.suffix))
    for name in os.listdir(final.parent):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        left = final.parent / name
        with contextlib.suppress(FileNotFoundError):  # two sweep at once
            if match[1] == _machine():
                dead = not _alive(int(match[2]))
            else:
                dead = time.time() - left.stat().st_mtime > _FORGOTTEN_S
            if dead and left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif dead:
                left.unlink()


def disk_error(error: OSError, path: Path, wanted: str = "") -> UserError:
    """Name the path, the bytes and what to do when a file cannot be written."""
    folder = path.parent
    while not folder.exists():
        folder = folder.absolute().parent
    free = shutil.disk_usage(folder).free
    return UserError(
        f"cannot write {path}: {error.strerror or error}",
        where=str(path.parent),
        got=f"{free:,} bytes free",
        wanted=wanted,
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


def _prefix(final: Path) -> str:
    return f".{final.name}."


def _owner() -> str:
    return f"{_machine()}-{os.getpid()}-"


@functools.cache
def _machine() -> str:
    """8 hex digits of this process table: process numbers mean something only inside one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        table = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: the name of the machine has to do
        boot, table = os.uname().nodename, ""
    return hashlib.sha256(f"{boot} {table}".encode()).hexdigest()[:8]


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
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
