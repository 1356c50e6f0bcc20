"""Start the processes of one training on this machine, as `torchrun --nproc-per-node N` would.

Compared with `torchrun`, a message of the ranks is printed once, a signal reaches every rank, and no
traceback of the launcher follows a plain message.  `torchrun` itself works too:

    torchrun --standalone --nproc-per-node 4 -m -- training train ...
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from pipeline import parent
from training.run.signals import heeded

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
GRACE_S = 30.0  # for the others to end after the first has failed
_LOOK_S = 0.1


def start(processes: int, arguments: Sequence[str]) -> int:
    """Run ``python -m training <arguments>`` in every rank; the first failure's exit code, or 0."""
    port = _free_port()
    with tempfile.TemporaryFile() as said_by_others:
        ranks = [_rank(number, processes, port, arguments, said_by_others) for number in range(processes)]

        def pass_on(number: int, _: object) -> None:
            for rank in ranks:
                rank.send_signal(number)

        # Under nohup a lost terminal is to be ignored, and stays so.
        old = {number: signal.signal(number, pass_on) for number in heeded(PASSED_ON)}
        try:
            code = _wait(ranks)
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
            for number, handler in old.items():
                signal.signal(number, handler)
        if code and ranks[0].returncode <= 0:  # the first rank had nothing to say about it
            said_by_others.seek(0)
            sys.stderr.write(said_by_others.read().decode(errors="replace"))
        return code


def _rank(
    number: int, processes: int, port: int, arguments: Sequence[str], said_by_others: IO[Any]
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "training", *arguments],
        env=environment,
        stdout=None if number == 0 else said_by_others,
        stderr=None if number == 0 else said_by_others,
        start_new_session=True,  # Ctrl-C reaches them once, through the launcher
        preexec_fn=functools.partial(parent.end_with_parent, signal.SIGTERM),  # so that none is left behind
    )


def _wait(ranks: list[subprocess.Popen[bytes]]) -> int:
    """Until all have ended; after a failure the others, who wait for the failed one, are ended too."""
    failed_at: float | None = None
    code = 0
    while True:
        codes = [rank.poll() for rank in ranks]
        if failed := [one for one in codes if one]:
            code = code or failed[0]
            failed_at = failed_at or time.monotonic()
        if None not in codes:
            return code
        # A rank that ended by itself has said why, and so will the first: do not end it in the middle of that.
        if failed_at is not None and time.monotonic() - failed_at > (GRACE_S if code > 0 else 0.0):
            return code
        time.sleep(_LOOK_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
