"""Signals that ask a training to save and leave."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator

# Ctrl-C, a cancelled job, a lost terminal, and what profiles/slurm sends two minutes before the wall time.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def heeded(numbers: Iterable[signal.Signals]) -> list[signal.Signals]:
    """Those that this process has to obey: under nohup a lost terminal is ignored, and stays so.

    The other signals may be ignored by the Snakemake that started this process; they are for the trainer all the same.
    """
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in numbers if not (nohup and number == signal.SIGHUP)]


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the signals of `STOPPING` set instead of killing; the old handlers come back at the end."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def ask(number: int, _: object) -> None:
        # A second Ctrl-C acts at once.  A cluster signals every process of a job, and the launcher of several
        # passes that on: the same SIGTERM comes twice.
        if event.is_set() and number == signal.SIGINT:
            restore()
            signal.raise_signal(number)
        event.set()

    old = {number: signal.signal(number, ask) for number in heeded(STOPPING)}
    try:
        yield event
    finally:
        restore()
