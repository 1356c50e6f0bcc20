"""A shape that crashes, hangs or eats memory costs itself only."""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import time
from collections.abc import Callable

import pytest

from pipeline.errors import Reject, UserError
from pipeline.worker import IsolatedWorker


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
    return f"{what} done"


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
