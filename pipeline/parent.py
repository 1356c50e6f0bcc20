"""A command ends when the workflow that started it dies, whatever stands between the two.

Snakemake starts a shell and the shell a command, so a command whose Snakemake was killed has
still a living parent and would go on.  The rules therefore tell each command by `VARIABLE`
which process it works for; `watch` waits for that process and asks its own to end (SIGTERM,
on which the trainer saves).  Who starts a command by hand sets nothing, and may log out.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import select
import signal
import sys
import threading
from pathlib import Path

VARIABLE = "PIPELINE_PARENT"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def announcement() -> str:
    """What `VARIABLE` says of this process: its number, and the table in which the number means something."""
    return f"{os.getpid()}@{process_table()}"


def watch() -> None:
    """From now on: SIGTERM for this process when the one that `VARIABLE` names has ended, or has ended already."""
    number, _, table = os.environ.get(VARIABLE, "").partition("@")
    if table != process_table() or not number.isdecimal():
        return  # started by hand, on another machine, or in a container with processes of its own
    try:
        handle = os.pidfd_open(int(number))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGTERM)
        return
    except (OSError, AttributeError):  # Linux before 5.3, or another system
        return
    threading.Thread(target=_wait, args=(handle,), name="parent", daemon=True).start()


def end_with_parent(number: int) -> None:
    """Ask the kernel (Linux) to send this process a signal when the one that started it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)


@functools.cache
def process_table() -> str:
    """8 hex digits of this machine and its table of processes: numbers mean something only inside one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        table = os.readlink("/proc/self/ns/pid")
    except OSError:  # no /proc: the name of the machine has to do
        boot, table = os.uname().nodename, ""
    return hashlib.sha256(f"{boot} {table}".encode()).hexdigest()[:8]


def _wait(handle: int) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    with contextlib.suppress(OSError):
        poll.poll()
        os.kill(os.getpid(), signal.SIGTERM)
