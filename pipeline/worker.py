"""One shape at a time in a process of its own, so that a shape can crash, hang or eat memory alone.

The worker is a child that does shape after shape; only when one kills it, or runs out of
time, is a new one started, for the next shape.  The result of a shape does not depend on
which worker made it.
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
START_SECONDS = 1800.0  # imports and first compilation on a crowded machine; a process that dies is noticed at once


class IsolatedWorker(Generic[T]):
    """Calls ``make_job()`` once in the child, then the job it returns for every `call`.

    start : "fork" shares what the parent has compiled; "spawn" for libraries that hold threads
        or a GL context, which must not be inherited
    memory_bytes : address space that the child may add to what it starts with; None for no limit
    """

    def __init__(self, make_job: Callable[[], Job], *, seconds: float, memory_bytes: int | None, start: str = "fork"):
        self._make_job, self._seconds, self._memory = make_job, seconds, memory_bytes
        self._context = multiprocessing.get_context(start)
        self._process: Any = None
        self._connection: Connection | None = None

    def call(self, *arguments: Any) -> T:
        """The job's result; Reject where the job rejects, crashes, runs out of time or memory."""
        connection = self._connection or self._start()
        try:
            connection.send(arguments)
            if not connection.poll(self._seconds):
                self.close()
                raise Reject("timeout", f"took longer than {self._seconds:g} s")
            answer = connection.recv()
        except (EOFError, ConnectionError) as error:
            raise Reject("crash", self._how_it_ended()) from error
        result: T = _opened(answer)
        return result

    def close(self) -> None:
        """End the child."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._process.kill()
            self._process.join()

    def __enter__(self) -> IsolatedWorker[T]:
        self._start()  # now, before a progress bar or a writer has started threads
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, ours, self._make_job, self._memory), daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection = ours
        try:
            answer = ours.recv() if ours.poll(START_SECONDS) else None
        except (EOFError, ConnectionError):
            answer = None
        if answer is None:
            self.close()
            raise UserError("a worker process did not start", do="look for a full disk or too little memory")
        _opened(answer)
        return ours

    def _how_it_ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        self.close()
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"


def _opened(answer: tuple[str, Any]) -> Any:
    """What the child has sent: a result, or what went wrong."""
    kind, value = answer
    if kind == "reject":
        raise Reject(*value)
    if kind == "user":
        raise UserError(value.pop("what"), **value)
    return value


def _serve(connection: Connection, other_end: Connection, make_job: Callable[[], Job], memory: int | None) -> None:
    """The child's life: make the job, then receive arguments and answer."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    if memory is not None:
        _limit_memory(memory)
    jobs: list[Job] = []
    connection.send(_answer(lambda: jobs.append(make_job()), memory))
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            os._exit(0)
        connection.send(_answer(lambda: jobs[0](*arguments), memory))  # noqa: B023 - called at once


def _answer(work: Callable[[], Any], memory: int | None) -> tuple[str, Any]:
    try:
        return "done", work()
    except Reject as reject:
        return "reject", (reject.reason, reject.detail)
    except UserError as error:
        return "user", {key: getattr(error, key) for key in ("what", "where", "got", "wanted", "do")}
    except MemoryError:
        return "reject", ("memory", f"needs more than {memory or 0:,} bytes")


def _limit_memory(extra: int) -> None:
    """Let the process grow by `extra` bytes of address space and no more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
