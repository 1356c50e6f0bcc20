"""Errors that speak to a person, and the one place where they are printed.

A `UserError` says what happened, where, what was found, what was wanted and what to do.
Anything else that reaches `run_command` is a defect of ours and keeps its traceback.
A `Reject` is not an error: it is one shape's entry in the ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """A problem that the user can solve; the message is printed without a traceback."""

    def __init__(self, what: str, *, where: str = "", got: str = "", wanted: str = "", do: str = ""):
        self.what, self.where, self.got, self.wanted, self.do = what, where, got, wanted, do
        parts = [what]
        parts += [
            f"  {label}: {text}"
            for label, text in (("where", where), ("got", got), ("wanted", wanted), ("what to do", do))
            if text
        ]
        super().__init__("\n".join(parts))


class Reject(Exception):
    """One shape that cannot be used: `reason` is a short code, `detail` a sentence."""

    def __init__(self, reason: str, detail: str = ""):
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


def run_command(main: Callable[[], int | None]) -> int:
    """Run a command line's main(); a UserError becomes one clear message and exit code 1."""
    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on from here", file=sys.stderr)
        return 130
