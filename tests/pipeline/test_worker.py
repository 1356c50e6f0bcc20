"""A shape that crashes, hangs or eats memory costs itself only."""

from __future__ import annotations

import faulthandler
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import Reject, UserError
from pipeline.worker import IsolatedWorker, _serve, _Turns


def _job_of_a_troubled_library() -> Callable[[str], str]:
    return _do


def _do(what: str) -> str:
    if what == "crash":
        faulthandler.disable()  # pytest's; it would print the stack of this wanted crash
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "hang":
        time.sleep(1000)
    elif what == "eat":
        return str(len(bytearray(8 << 30)))
    elif what == "reject":
        raise Reject("odd", "a detail")
    elif what == "user":
        raise UserError("a setting is wrong", do="change it")
    elif what == "exit":
        os._exit(3)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    elif what == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == "burn":
        while True:
            pass
    elif what == "no file":
        open("/proc/none/file")  # noqa: SIM115
    elif what == "number":
        return str(os.getpid())
    return f"{what} done"


def _troubled_once(marks: Path) -> Callable[[str], str]:
    """A job that fails the first time only, as on a busy machine."""

    def once(what: str) -> str:
        mark = marks / what
        if mark.exists():
            return f"{what} done"
        mark.touch()
        return _do(what)

    return once


def worker(seconds: float = 10) -> IsolatedWorker[str]:
    return IsolatedWorker(functools.partial(_job_of_a_troubled_library), seconds=seconds, memory_bytes=1 << 30)


@pytest.mark.parametrize(
    "what,reason,detail",
    [
        ("crash", "crash", "SIGSEGV"),
        ("exit", "crash", "exit code 3"),
        ("eat", "memory", "1,073,741,824"),
        ("reject", "odd", "a detail"),
    ],
)
def test_trouble_costs_one_shape(what: str, reason: str, detail: str) -> None:
    with worker() as isolated:
        assert isolated.call("one") == "one done"
        with pytest.raises(Reject, match=detail) as caught:
            isolated.call(what)
        assert caught.value.reason == reason
        assert isolated.call("two") == "two done"


def test_a_hanging_shape_is_ended() -> None:
    with worker(0.5) as isolated:
        with pytest.raises(Reject, match="took longer than 0.5 s"):
            isolated.call("hang")
        assert isolated.call("next") == "next done"


def test_a_wrong_setting_is_no_rejection() -> None:
    with worker() as isolated, pytest.raises(UserError, match="a setting is wrong"):
        isolated.call("user")


def _cannot_start() -> Callable[[str], str]:
    raise UserError("no such library", do="install it")


def _dies_at_once() -> Callable[[str], str]:
    os._exit(7)


def test_a_worker_that_cannot_start_is_one_clear_error() -> None:
    with pytest.raises(UserError, match="no such library"):
        IsolatedWorker(_cannot_start, seconds=10, memory_bytes=None).call("x")
    with pytest.raises(UserError, match="a worker process did not start"):
        IsolatedWorker(_dies_at_once, seconds=10, memory_bytes=None).call("x")


@pytest.mark.parametrize("what", ["crash", "exit", "eat", "hang", "burn", "killed", "terminated"])
def test_what_passes_costs_nothing(what: str, tmp_path: Path) -> None:
    job = functools.partial(_troubled_once, tmp_path)
    with IsolatedWorker[str](job, seconds=1, memory_bytes=1 << 30) as isolated:
        assert isolated.call(what) == f"{what} done"


@pytest.mark.parametrize(("what", "name"), [("killed", "SIGKILL"), ("terminated", "SIGTERM")])
def test_who_is_ended_from_outside_is_never_rejected(what: str, name: str) -> None:
    with worker() as isolated:
        with pytest.raises(UserError, match=rf"ended from outside, twice\s+got: {name}[\s\S]*mem_mb"):
            isolated.call(what)
        assert isolated.call("next") == "next done"


def test_a_handler_of_the_parent_does_not_keep_its_worker_alive() -> None:
    old = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with worker() as isolated, pytest.raises(UserError, match="ended from outside, twice"):
            isolated.call("terminated")
    finally:
        signal.signal(signal.SIGTERM, old)


def test_a_worker_that_was_killed_while_it_waited_costs_nothing() -> None:
    with worker() as isolated:
        os.kill(int(isolated.call("number")), signal.SIGKILL)
        assert isolated.call("next") == "next done"


def test_time_in_which_the_machine_lets_a_shape_wait_is_not_its_own() -> None:
    """Stopped for longer than its seconds, as on a machine that has other things to do."""
    with worker(0.5) as isolated:
        process = int(isolated.call("number"))
        threading.Timer(2.0, os.kill, (process, signal.SIGCONT)).start()
        start = time.monotonic()
        assert isolated.call("stopped") == "stopped done"
        assert time.monotonic() - start >= 1.9 and isolated.call("number") == str(process)


def test_a_shape_that_computes_for_ever_is_ended() -> None:
    with worker(0.5) as isolated, pytest.raises(Reject, match="took longer than 0.5 s"):
        isolated.call("burn")


def test_a_repeated_shape_is_alone() -> None:
    """The second attempt begins when the calls of other workers have ended, and they wait for it."""
    turns, order = _Turns(), []
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with turns.side_by_side():
            inside.set()
            leave.wait()
            order.append("other")

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    threading.Timer(0.2, leave.set).start()
    with turns.alone():
        order.append("alone")
    thread.join()
    assert order == ["other", "alone"]


def test_what_the_system_refuses_is_no_fault_of_the_shape() -> None:
    with worker() as isolated, pytest.raises(UserError, match="cannot use /proc/none/file: No such file"):
        isolated.call("no file")


def test_a_worker_whose_parent_was_killed_while_it_started_ends_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """kill -9 of a stage: its children are told by a pipe that nobody reads any more."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    ready = context.Event()
    child = context.Process(target=_serve, args=(theirs, ours, lambda: lambda: ready.wait(), None))
    gone = context.Process(target=_serve, args=(theirs, ours, lambda: ready.wait(), None))
    for process in (child, gone):
        process.start()
    ours.close()
    theirs.close()
    ready.set()
    for process in (child, gone):
        process.join()
        assert process.exitcode == 0
    assert capfd.readouterr().err == ""
