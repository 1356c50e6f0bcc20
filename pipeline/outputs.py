"""What ``-o`` means, for every command that a person starts by hand: one rule.

out.glb      a suffix that the command knows: one file in that format
out, out/    no suffix, a slash at the end, or a folder that exists: a folder
-            standard output, where one file can be made
out.xyz      anything else is an error, never a folder of that name
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError


@dataclass(frozen=True)
class Output:
    """Where a command writes."""

    path: Path  # of the file or folder; "-" for standard output
    suffix: str  # ".glb"; empty for a folder
    shown: str  # as it was given

    @property
    def is_folder(self) -> bool:
        return not self.suffix

    @contextlib.contextmanager
    def place(self) -> Iterator[Path]:
        """The path to write to; for standard output a file that is passed on when it is whole."""
        if str(self.path) != "-":
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"out{self.suffix}"
            yield path
            sys.stdout.buffer.write(path.read_bytes())
            sys.stdout.buffer.flush()

    def require_folder(self, number: int, what: str) -> None:
        """UserError where several files would have to go into one."""
        if not self.is_folder and number > 1:
            raise UserError(
                f"{number} {what} do not go into one file",
                where="-o",
                got=self.shown,
                do=f"name a folder, such as {Path(self.shown).stem if self.path.suffix else 'out'}/",
            )


def output_of(
    given: str,
    suffixes: Sequence[str],  # of the files that can be made; none: folders only
    *,
    streamed: str = "",  # suffix of what goes to standard output; empty where nothing can
) -> Output:
    """What `given` asks for; UserError where it is neither a file that can be made nor a folder."""
    path = Path(given)
    if given == "-":
        if not streamed:
            raise _wrong("this cannot go to standard output", given, suffixes)
        return Output(path, streamed, given)
    if not given:
        raise _wrong("the output has no name", given, suffixes)
    if given.endswith("/") or path.name in ("", ".."):
        return Output(path, "", given)
    suffix = path.suffix.lower()
    if suffix in suffixes:
        if path.is_dir():
            raise _wrong("a folder stands where a file is wanted", given, suffixes)
        return Output(path, suffix, given)
    if suffix and not path.is_dir():
        raise _wrong("cannot write such a file", given, suffixes)
    return Output(path, "", given)


def one_format(asked: str | None, output: Output, option: str, default: str) -> str:
    """The suffix of the files: what `option` asks for, else what the output's name says, else the default."""
    if asked and output.suffix and output.path.suffix and f".{asked}" != output.suffix:
        raise UserError(
            "two formats are asked for at once",
            where=f"{option} and -o",
            got=f"{asked} and {output.shown}",
            do=f"leave {option} out, or give the file that suffix",
        )
    return f".{asked}" if asked else output.suffix or default


def _wrong(what: str, given: str, suffixes: Sequence[str]) -> UserError:
    files = f"a file that ends in {', '.join(suffixes)}, or " if suffixes else ""
    return UserError(
        what,
        where="-o",
        got=given or "nothing",
        wanted=f"{files}a folder",
        do="end the name of a folder in a slash, as in out/",
    )
