"""How long another process has worked or slept, without the time in which the machine let it wait.

A limit in seconds by the clock on the wall would reject a shape because something else was
busy.  What is counted here, from /proc (proc(5)):

    time on a processor   of the process and of the programs that it runs
    sleep                 while none of its threads is ready to run or waits for a disk: it would
                          sleep as long on an idle machine, perhaps for ever

Waiting for a processor, for a disk, or stopped by a signal is not counted, and never more than
the wall's time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WAITING_FOR_OTHERS = "RDTt"  # ready to run, waiting for a disk, stopped


class UsedTime:
    """Counts for one process, from now on; call `so_far` often, as sleep is sampled."""

    def __init__(self, process: int):
        self._process = process
        self._used_s = 0.0
        self._wall_s = time.monotonic()
        self._processor_s, _ = _look(process)

    def so_far(self) -> float:
        """Seconds used."""
        wall_s, (processor_s, asleep) = time.monotonic(), _look(self._process)
        passed = wall_s - self._wall_s
        self._used_s += passed if asleep else min(passed, max(0.0, processor_s - self._processor_s))
        self._wall_s, self._processor_s = wall_s, processor_s
        return self._used_s


def _look(process: int) -> tuple[float, bool]:
    """Seconds on a processor, and whether all is asleep: of a process and all that it has started."""
    processor_s, asleep = 0.0, True
    waiting = [process]
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        try:
            state, ticks = _numbers(folder / "stat")
            processor_s += ticks / _TICKS_PER_S
            for thread in (folder / "task").iterdir():
                asleep &= _numbers(thread / "stat")[0] not in _WAITING_FOR_OTHERS
                waiting += map(int, (thread / "children").read_text(encoding="ascii").split())
            asleep &= state not in _WAITING_FOR_OTHERS
        except OSError:  # it has just ended, or there is no /proc: what is left is the wall's time
            continue
    return processor_s, asleep


def _numbers(stat: Path) -> tuple[str, int]:
    """State, and ticks on a processor with those of children that have ended."""
    # The name of the program stands in brackets and may hold anything.
    words = stat.read_bytes().rpartition(b")")[2].split()
    return words[0].decode("ascii"), sum(map(int, words[11:15]))
