"""A process of its own that voxelizes, so that no mesh can stop or kill the stage.

The parent hands over one job at a time and waits no longer than the limit.  A worker that
takes longer is killed, one that dies (out of memory, a crash in a library) is noticed; both
are a rejection of that one shape, and the next shape gets a fresh worker.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pipeline.errors import Reject, UserError

Job = Callable[..., Any]
_START_SECONDS = 900.0  # imports and, on a fresh machine, the compiler


class Worker:
    """``with Worker(function, common) as worker: worker.run(seconds, item)`` -> ``function(common, item)``."""

    def __init__(self, function: Job, common: Any, warm_up: Callable[[Any], None] | None = None):
        """`warm_up` runs first in every new process, with `common`; its time counts for no item."""
        self._function, self._common, self._warm_up = function, common, warm_up
        # spawn: nothing of the parent's threads and locks is inherited.
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, seconds: float, item: Any) -> Any:
        """The function's result; Reject("timeout" | "crash") where there is none, its own Reject or UserError."""
        pipe = self._pipe if self._pipe is not None else self._start()
        try:
            pipe.send(item)
            if not pipe.poll(seconds):
                self._stop()
                raise Reject("timeout", f"took longer than {seconds:g} s")
            kind, value = pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join()
            code = self._process.exitcode
            self._stop()
            raise Reject("crash", f"the engine's process ended with code {code}") from error
        if kind == "reject":
            raise Reject(*value)
        if kind == "user":
            raise _user_error(value)
        return value

    def _start(self) -> Connection:
        here, there = self._context.Pipe()
        job = (there, self._function, self._common, self._warm_up)
        self._process = self._context.Process(target=_serve, args=job, daemon=True)
        self._process.start()
        there.close()
        self._pipe = here
        kind: str
        value: Any
        try:
            kind, value = here.recv() if here.poll(_START_SECONDS) else ("late", None)
        except (EOFError, ConnectionError):
            kind, value = "dead", None
        if kind == "ready":
            return here
        self._stop()
        if kind == "user":
            raise _user_error(value)
        raise UserError("a worker process did not start", got=kind, do="look for a full disk or too little memory")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection, function: Job, common: Any, warm_up: Callable[[Any], None] | None) -> None:
    """The worker's loop.  The first message says that all is imported and compiled."""
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        started = _answer(lambda: warm_up(common) if warm_up else None)
        pipe.send(("ready", None) if started[0] == "done" else started)
        while True:
            item = pipe.recv()
            pipe.send(_answer(functools.partial(function, common, item)))


def _answer(call: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "done", call()
    except Reject as reject:
        return "reject", (reject.reason, reject.detail)
    except UserError as error:
        return "user", (error.what, error.where, error.got, error.wanted, error.do)
    except MemoryError:
        return "reject", ("out_of_memory", "the mesh or its grid does not fit into memory")


def _user_error(parts: tuple[str, str, str, str, str]) -> UserError:
    what, where, got, wanted, do = parts
    return UserError(what, where=where, got=got, wanted=wanted, do=do)
