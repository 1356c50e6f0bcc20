"""Errors that speak to a person, and the one place where they are printed.

A `UserError` says what happened, where, what was found, what was wanted and what to do.
What the system refuses (an OSError) is put into the same form by `in_words`.  Anything else
that reaches `run_command` is a defect of ours and keeps its traceback.
A `Reject` is not an error: it is one shape's entry in the ledger.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import parent
from pipeline.foreign import visible_field

# The disk, or what one may use of it, is full.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WAY_OUT = {
    errno.EACCES: "give the user who runs this the right to it (`ls -ld` shows whose it is), or name another place",
    errno.EPERM: "give the user who runs this the right to it, or name another place",
    errno.EROFS: "this file system can only be read: name another place (`output` in config.yaml, `-o` of a command)",
    errno.ENOENT: "correct the path, or make what it names",
    errno.ENOTDIR: "a file stands where a folder is wanted: move it away, or name another place",
    errno.EEXIST: "a file stands where a folder is wanted: move it away, or name another place",
    errno.EISDIR: "a folder stands where a file is wanted: move it away, or name another place",
    errno.ENOTEMPTY: "a folder stands in the way: move it away, or name another place",
    errno.ENAMETOOLONG: "choose shorter names: most file systems take 255 bytes for each",
    errno.ELOOP: "links lead in a circle: remove one of them",
    errno.EMFILE: "allow more open files (`ulimit -n 4096`), or use fewer cores",
    errno.ENFILE: "close other programs, or use fewer cores",
    errno.ENOMEM: "give the job more memory, or use fewer cores",
    errno.EAGAIN: "use fewer cores, or wait for what else runs on this machine",
    errno.EIO: "the disk fails (`dmesg` says more): look after it, then run the same command again",
}


QUIET = "PIPELINE_QUIET"  # set to 1 by --quiet, for this process and those below it
# Set by the installed command (shapes/entry.py) for all that it starts.
CALLED = "SHAPES_COMMAND"


_COMMAND = re.compile(
    r"(?P<run>(?:PATH=\S+ )?\bsnakemake (?=-|[a-z]+_all\b))"
    r"|python -m (?P<room>pipeline|training|shapes)\b"
    r"|python -m (?=voxelize\b|render\b|report\b)"
)


def as_called(text: str) -> str:
    """The commands in a text as this person calls them: ``python -m training check``, or ``shapes check``."""
    name = os.environ.get(CALLED)
    if not name:
        return text
    return _COMMAND.sub(lambda found: f"{name} run " if found["run"] else name if found["room"] else f"{name} ", text)


class UserError(Exception):
    """A problem that the user can solve; the message is printed without a traceback."""

    def __init__(self, what: str, *, where: str = "", got: str = "", wanted: str = "", do: str = ""):
        self.what, self.where, self.got, self.wanted, self.do = what, where, got, wanted, do
        parts = [visible_field(what)]
        parts += [
            f"  {label}: {visible_field(text)}"
            for label, text in (("where", where), ("got", got), ("wanted", wanted), ("what to do", do))
            if text
        ]
        super().__init__("\n".join(parts))


class Refusal(UserError):
    """What the system refuses.  It says nothing of what a file holds, and the same command may do better later: so
    nothing is made again, passed over or set aside because of it."""


# These say that there is no such file.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


def is_refusal(error: BaseException) -> bool:
    """Whether the system refuses a file that is there; libraries that find fault with a file name no error number."""
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _ABSENT


def is_there(path: str | Path) -> bool:
    """As os.path.exists, which takes a file of a disk that fails for a moment for one that is not there.

    Raises OSError where the system refuses to say.
    """
    try:
        os.stat(path)
    except OSError as error:
        if is_refusal(error):
            raise
        return False
    return True


def remedy(path: str | Path, suffix: str) -> str:
    """What to do about a file that cannot be read; only one that looks like a product of ours is to be deleted.

    suffix : of the products that are read there, such as ``".h5"``.
    """
    if not os.path.isfile(path):
        return f"correct the path, or make what it names (a file of this pipeline that ends in {suffix})"
    if not str(path).endswith(suffix):
        return f"name a file of this pipeline that ends in {suffix}"
    return "delete the file and run the command that makes it again"


class Reject(Exception):
    """One shape that cannot be used: `reason` is a short code, `detail` a sentence."""

    def __init__(self, reason: str, detail: str = ""):
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


def in_words(error: OSError, path: str | Path = "") -> UserError:
    """What the system refused, as an error that names the path, where the error does, and the way out."""
    name = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else path
    path = os.fsdecode(name)
    if error.errno in NO_ROOM:
        return cannot_write(error, Path(path or "."))
    said = error.strerror or " ".join(str(error).split())[:300] or type(error).__name__
    return (Refusal if is_refusal(error) else UserError)(
        f"cannot use {path}: {said}" if path else f"the system refused: {said}",
        where=str(Path(path).parent) if path else "",
        do=_WAY_OUT.get(error.errno or 0, "run the same command again; if it stays, look at the file system"),
    )


def cannot_write(error: OSError, path: Path, wanted: str = "") -> UserError:
    """Why `path` could not be written: its name, the free bytes where the disk is full, and what to do."""
    said = error.strerror or " ".join(str(error).split())[:300]
    if error.errno is not None and error.errno not in NO_ROOM:
        do = _WAY_OUT.get(error.errno, "run the same command again; if it stays, look at the file system")
        return UserError(f"cannot write {path}: {said}", where=str(path.parent), do=do)
    folder = path.absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    return UserError(
        f"cannot write {path}: {said}",
        where=str(path.parent),
        got=f"{shutil.disk_usage(folder).free:,} bytes free",
        wanted=wanted,
        do="free some space or choose another `output` in config.yaml, then run the same command again",
    )


def complain(error: UserError) -> None:
    """An error in words, on standard error."""
    print(as_called(f"error: {error}"), file=sys.stderr, flush=True)


def run_command(main: Callable[[], int | None], *, interrupted: str = "interrupted") -> int:
    """Run a command line's main(); what a user can solve becomes one clear message and exit code 1.

    The command ends when the workflow that started it dies (pipeline/parent.py).
    interrupted : what is said after Ctrl-C; only some commands go on from where they were.
    """
    parent.watch()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal does not know is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except UserError as error:
        complain(error)
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        complain(in_words(error))
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
