"""Progress for people (a bar with ETA on a terminal) and for machines (JSON lines in a log).

``for item in progress(items, "voxelize", log=log): ...`` draws a bar on stderr when it is a
terminal, prints a line now and then when it is not, and `log.write(...)` adds events.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from pipeline.errors import QUIET, as_called, cannot_write
from pipeline.foreign import visible, visible_lines

T = TypeVar("T")


class Log:
    """JSON lines: ``{"time": ..., "event": ..., ...}``; a Log of None writes nothing."""

    def __init__(self, path: str | Path | None):
        self._path = Path(path or "")
        self._file: RawIOBase | None = None
        if path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer, which on a full disk would complain once more when it is closed.
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open as long as the log

    def write(self, event: str, **values: Any) -> None:
        """Append one event; values must be JSON."""
        if self._file is not None:
            line = json.dumps({"time": round(time.time(), 3), "event": event, **values}).encode() + b"\n"
            try:
                while line:
                    line = line[self._file.write(line) :]
            except OSError as error:
                raise cannot_write(error, self._path) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def progress(
    items: Iterable[T],
    title: str,
    *,
    total: int | None = None,
    unit: str = "shape",
    log: Log | None = None,
    every_s: float = 30.0,
) -> Iterator[T]:
    """Yield the items; a bar with ETA on a terminal, a log line every `every_s` seconds anywhere."""
    total = total if total is not None else (len(items) if hasattr(items, "__len__") else None)  # type: ignore[arg-type]
    start = last = time.monotonic()
    # Many jobs of the DAG share one terminal: there each prints one line at its end instead of a bar.
    quiet = not sys.stderr.isatty() or os.environ.get("PIPELINE_BARS") == "0" or QUIET in os.environ
    bar = tqdm(items, desc=visible(title), total=total, unit=unit, disable=quiet, leave=False, file=sys.stderr)
    for done, item in enumerate(bar, start=1):
        yield item
        now = time.monotonic()
        if log is not None and (now - last >= every_s or done == total):
            last, elapsed = now, now - start
            eta = elapsed / done * (total - done) if total else None
            log.write(
                "progress",
                title=title,
                done=done,
                total=total,
                elapsed_s=round(elapsed, 2),
                eta_s=None if eta is None else round(eta, 1),
            )


def say(message: str, *, needed: bool = False) -> None:
    """One line for the person at the terminal; a terminal that is gone is no reason to stop working.

    needed : said under --quiet too, as what went wrong is.
    """
    if QUIET in os.environ and not needed:
        return
    with contextlib.suppress(OSError):
        tqdm.write(as_called(visible(message)), file=sys.stderr)


def tell(text: str) -> None:
    """What a command was asked for, on standard output: one line or several."""
    print(as_called(visible_lines(text)))
