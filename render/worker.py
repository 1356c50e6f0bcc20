"""One shape at a time in a process of its own, so that a shape can crash, hang or eat memory alone.

The worker is a child that draws shape after shape; only when one kills it, or runs out of
time, is a new one started, for the next shape.  The result of a shape does not depend on
which worker drew it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from pipeline.errors import Reject, UserError

T = TypeVar("T")
Job = Callable[..., Any]


class IsolatedWorker(Generic[T]):
    """Calls ``make_job()`` once in the child, then the job it returns for every `call`.

    start : "fork" shares what the parent has compiled; "spawn" for libraries that hold a GL
        context, which must not be inherited
    memory_bytes : address space that the child may add to what it starts with; None for no limit
    """

    def __init__(self, make_job: Callable[[], Job], *, seconds: float, memory_bytes: int | None, start: str = "fork"):
        self._make_job, self._seconds, self._memory = make_job, seconds, memory_bytes
        self._context = multiprocessing.get_context(start)
        self._process: Any = None
        self._connection: Connection | None = None

    def call(self, *arguments: Any) -> T:
        """The job's result; Reject where the job rejects, crashes, runs out of time or memory."""
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send(arguments)
            if not self._connection.poll(self._seconds):
                self._kill()
                raise Reject("time", f"took longer than {self._seconds:g} s")
            kind, value = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise Reject("crash", self._how_it_ended()) from error
        if kind == "reject":
            raise Reject(*value)
        if kind == "user":
            raise UserError(value)
        result: T = value
        return result

    def close(self) -> None:
        """End the child."""
        if self._connection is not None:
            self._kill()

    def __enter__(self) -> IsolatedWorker[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, ours, self._make_job, self._memory), daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection = ours

    def _kill(self) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection = None
        self._process.kill()
        self._process.join()

    def _how_it_ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        self._kill()
        if code is not None and code < 0:
            return f"the process drawing it was ended by {signal.Signals(-code).name}"
        return f"the process drawing it ended with exit code {code}"


def _serve(connection: Connection, other_end: Connection, make_job: Callable[[], Job], memory: int | None) -> None:
    """The child's life: receive arguments, answer with a result or with what went wrong."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    if memory is not None:
        _limit_memory(memory)
    job: Job | None = None
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            os._exit(0)
        try:
            job = job or make_job()
            answer = ("done", job(*arguments))
        except Reject as reject:
            answer = ("reject", (reject.reason, reject.detail))
        except UserError as error:
            answer = ("user", str(error))
        except MemoryError:
            answer = ("reject", ("memory", f"needs more than {memory or 0:,} bytes"))
        connection.send(answer)


def _limit_memory(extra: int) -> None:
    """Let the process grow by `extra` bytes of address space and no more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
