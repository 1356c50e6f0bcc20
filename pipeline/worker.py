"""One shape at a time in a process of its own, so that a shape can crash, hang or eat memory alone.

The worker is a child that does shape after shape; only when one kills it, or runs out of
time, is a new one started.  The result of a shape does not depend on which worker made it,
nor on what else the machine does:

    a crash, a time-out or too little memory   once more in a fresh worker while no other one of
                                               this process works; only then is the shape rejected
    the second time ended from outside         an error of the whole job, never of the shape: the
                                               kernel ends processes where memory is full
    time                                       what the worker has used (`UsedTime`)
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.errors import Reject, UserError, in_words
from pipeline.parent import end_with_parent

T = TypeVar("T")
Job = Callable[..., Any]
START_SECONDS = 1800.0  # imports and first compilation on a crowded machine; a process that dies is noticed at once
# What a program's own fault ends it with; any other signal comes from the kernel or from another process.
_OWN_FAULTS = {getattr(signal, f"SIG{name}") for name in ("SEGV", "BUS", "ABRT", "FPE", "ILL", "TRAP", "SYS")}
# Reasons that a busy machine, or what the worker did before, may have caused.
_PASSING = {"crash", "timeout", "memory"}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WAITING_FOR_OTHERS = "RDTt"  # ready to run, waiting for a disk, stopped


class _Failed(Exception):
    """An attempt that may do better in a fresh worker; `outside` names a signal that was nobody's fault here."""

    def __init__(self, reason: str, detail: str, outside: str = ""):
        self.reason, self.detail, self.outside = reason, detail, outside
        super().__init__(detail)


class _Turns:
    """Calls go side by side; a repeated one waits for the others and keeps them waiting."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running, self._alone = 0, False

    @contextlib.contextmanager
    def side_by_side(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: self._running == 0)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


_turns = _Turns()


class IsolatedWorker(Generic[T]):
    """Calls ``make_job()`` once in the child, then the job it returns for every `call`.

    seconds : that one call may use, as `UsedTime` counts
    memory_bytes : address space that the child may add to what it starts with; None for no limit
    start : "fork" shares what the parent has compiled; "spawn" for libraries that hold threads
        or a GL context, which must not be inherited
    """

    def __init__(self, make_job: Callable[[], Job], *, seconds: float, memory_bytes: int | None, start: str = "fork"):
        self._make_job, self._seconds, self._memory = make_job, seconds, memory_bytes
        self._context = multiprocessing.get_context(start)
        self._process: Any = None
        self._connection: Connection | None = None

    def call(self, *arguments: Any) -> T:
        """The job's result; Reject where the job rejects, or twice crashes, runs out of time or of memory.

        Raises UserError where the worker was twice ended from outside.
        """
        try:
            with _turns.side_by_side():
                return self._attempt(arguments)
        except _Failed:
            self.close()
        try:
            with _turns.alone():
                return self._attempt(arguments)
        except _Failed as failed:
            self.close()
            if not failed.outside:
                raise Reject(failed.reason, failed.detail) from failed
            raise UserError(
                "a worker process was ended from outside, twice",
                got=failed.outside,
                do="the kernel does this where the memory is full: give the job more (`mem_mb`) or use fewer cores, "
                "then run the same command again",
            ) from failed

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

    def _attempt(self, arguments: tuple[Any, ...]) -> T:
        connection = self._connection or self._start()
        try:
            # Bytes, for `send` fails on a closed pipe with a view of its buffer in the traceback, and Python 3.13
            # complains about that when it collects the two.
            connection.send_bytes(pickle.dumps(arguments))
            used = UsedTime(self._process.pid)
            while not connection.poll(min(1.0, self._seconds / 10)):
                if used.so_far() > self._seconds:
                    raise _Failed("timeout", f"took longer than {self._seconds:g} s")
            answer = connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._how_it_ended() from error
        try:
            result: T = _opened(answer)
        except Reject as reject:
            if reject.reason in _PASSING:
                raise _Failed(reject.reason, reject.detail) from reject
            raise
        return result

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

    def _how_it_ended(self) -> _Failed:
        self._process.join(5)
        code = self._process.exitcode
        if code is None or code >= 0:
            return _Failed("crash", f"its process ended with exit code {code}")
        name = signal.Signals(-code).name
        return _Failed("crash", f"its process was ended by {name}", "" if -code in _OWN_FAULTS else name)


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
    end_with_parent(signal.SIGKILL)
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever the parent had set for itself
    if memory is not None:
        _limit_memory(memory)
    jobs: list[Job] = []
    answer = _answer(lambda: jobs.append(make_job()), memory)
    while True:
        try:
            connection.send(answer)
            arguments = connection.recv()
        except (EOFError, ConnectionError):  # the parent is gone, perhaps before this child could ask to end with it
            os._exit(0)
        answer = _answer(lambda: jobs[0](*arguments), memory)  # noqa: B023 - called at once


def _answer(work: Callable[[], Any], memory: int | None) -> tuple[str, Any]:
    try:
        return "done", work()
    except Reject as reject:
        return "reject", (reject.reason, reject.detail)
    except UserError as error:
        return _as_user_error(error)
    except MemoryError:
        return "reject", ("memory", f"needs more than {memory or 0:,} bytes of memory")
    except OSError as error:
        if error.errno is None:  # a library's opinion of a file, not the system's refusal
            raise
        return _as_user_error(in_words(error))


def _as_user_error(error: UserError) -> tuple[str, Any]:
    return "user", {key: getattr(error, key) for key in ("what", "where", "got", "wanted", "do")}


def _limit_memory(extra: int) -> None:
    """Let the process grow by `extra` bytes of address space and no more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


# ---- the time that a worker has used ------------------------------------------------------------


class UsedTime:
    """How long another process has worked or slept, without the time in which the machine let it wait.

    A limit in seconds by the clock on the wall would reject a shape because something else was busy.  What is
    counted from now on, from /proc (proc(5)); call `so_far` often, as sleep is sampled:

        time on a processor   of the process and of the programs that it runs
        sleep                 while none of its threads is ready to run or waits for a disk: it would
                              sleep as long on an idle machine, perhaps for ever

    Waiting for a processor, for a disk, or stopped by a signal is not counted, and never more than the wall's time.
    """

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
