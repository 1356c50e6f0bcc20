"""What a person sees while the DAG runs: one line a job from its stage, and an overall ETA.

Snakemake reports events through the standard `logging` module; this handler listens beside
its own (which profiles/default keeps quiet) and imports nothing from it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from pipeline.progress import say
from pipeline.workflow.plan import Plan
from pipeline.workflow.why import why

LOGGER = "snakemake.logging"


class Console(logging.Handler):
    """Prints failures, and every now and then how far the whole run is."""

    def __init__(
        self,
        every_s: float = 20.0,
        *,
        plan: Plan | None = None,
        is_look: Callable[[], bool] = lambda: False,
        begin: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self._plan, self._is_look, self._begin = plan, is_look, begin
        self._every_s = every_s
        self._start = self._last = time.monotonic()
        self._jobs: dict[Any, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(getattr(record, "event", None), "value", None)
        text = str(record.msg)
        if text.startswith("Nothing to be done") and not self._is_look():
            self._begin()
        elif text.startswith("This was a dry-run") and self._plan is not None:
            self._explain(self._plan)
        elif event == "job_info":
            self._jobs[_get(record, "jobid")] = _job_name(record)
        elif event == "job_error":
            self._failed(record)
        elif event == "progress":
            self._progress(int(_get(record, "done")), int(_get(record, "total")))

    def _explain(self, plan: Plan) -> None:
        for line in [*plan.advice(), "why:", *(f"  {line}" for line in why(plan, list(plan.asked)))]:
            say(line)

    def _failed(self, record: logging.LogRecord) -> None:
        job = self._jobs.get(_get(record, "jobid"), _get(record, "rule_name"))
        logs = ", ".join(_get(record, "log") or [])
        say(f"FAILED {job}" + (f"; its log: {logs}" if logs else ""))

    def _progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < self._every_s and done < total:
            return
        self._last, elapsed = now, now - self._start
        left = "" if done == total else f", about {clock(elapsed / done * (total - done))} left"
        say(f"-- {done} of {total} jobs ({100 * done // total} %) in {clock(elapsed)}{left}")


def listen(plan: Plan, *, is_look: Callable[[], bool], begin: Callable[[], None]) -> None:
    """Start listening in this process, once for each time the Snakefile is read by it.

    is_look : whether the command only looks; begin : what a run that finds nothing to do publishes nevertheless.
    """
    logger = logging.getLogger(LOGGER)
    for former in [handler for handler in logger.handlers if isinstance(handler, Console)]:
        logger.removeHandler(former)
    for handler in logger.handlers:
        if _is_not_ours not in handler.filters:
            handler.addFilter(_is_not_ours)
    logger.addHandler(Console(plan=plan, is_look=is_look, begin=begin))


_SAID_HERE = {"job_started", "job_finished", "progress", "resources_info"}
# A stage has already said in words why it stopped; a page of quoted command would bury that.
_SAID_ELSEWHERE = ("Select jobs to execute", "RuleException:\nCalledProcessError")


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep from Snakemake's own handlers what this module says in fewer lines."""
    event = getattr(getattr(record, "event", None), "value", None)
    text = str(record.msg)
    # Its own notes are not what this plan goes by.
    notes = "missing provenance/metadata" in text or text.startswith(
        ("Rules with missing metadata", "Rules with outdated")
    )
    return event not in _SAID_HERE and not notes and not text.startswith(_SAID_ELSEWHERE)


def clock(seconds: float) -> str:
    """``65.2 -> "1:05"``, with hours where there are any."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _get(record: logging.LogRecord, name: str) -> Any:
    return getattr(record, name, None)


def _job_name(record: logging.LogRecord) -> str:
    wildcards = _get(record, "wildcards") or {}
    return " ".join([str(_get(record, "rule_name")), "/".join(map(str, dict(wildcards).values()))]).strip()
