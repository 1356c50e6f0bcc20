"""A process of its own that voxelizes, so that no mesh can stop or kill the stage.

The parent hands over one job at a time and waits no longer than the limit.  A worker that
takes longer is killed, one that dies (out of memory, a crash in a library) is noticed; both
are a rejection of that one shape, and the next shape gets a fresh worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pipeline.errors import Reject, UserError

Job = Callable[..., Any]


class Worker:
    """``with Worker(function, common) as worker: worker.run(seconds, item)`` -> ``function(common, item)``."""

    def __init__(self, function: Job, common: Any):
        self._function, self._common = function, common
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
            what, where, got, wanted, do = value
            raise UserError(what, where=where, got=got, wanted=wanted, do=do)
        return value

    def _start(self) -> Connection:
        here, there = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(there, self._function, self._common), daemon=True)
        self._process.start()
        there.close()
        self._pipe = here
        if not here.poll(300.0) or here.recv() != "ready":
            self._stop()
            raise UserError("a worker process did not start", do="look for a full disk or too little memory")
        return here

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection, function: Job, common: Any) -> None:
    """The worker's loop.  The first message says that imports are done, so they do not count as a shape's time."""
    pipe.send("ready")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            item = pipe.recv()
            try:
                answer: tuple[str, Any] = ("done", function(common, item))
            except Reject as reject:
                answer = ("reject", (reject.reason, reject.detail))
            except UserError as error:
                answer = ("user", (error.what, error.where, error.got, error.wanted, error.do))
            except MemoryError:
                answer = ("reject", ("out_of_memory", "the mesh or its grid does not fit into memory"))
            pipe.send(answer)
