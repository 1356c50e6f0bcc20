r"""Text that somebody else wrote - names of files and members, addresses, values of a configuration - shown to people.

A terminal obeys some characters, and a reader is deceived by others: an ESC begins a command, a CR writes over the
line, an LF forges a line of ours, a right-to-left override turns ``gnp.exe`` round.  Such characters are shown as
Python writes them, ``\x1b``, ``\r``, ``\u202e``; every other one is itself.  This is the one list of them.
"""

from __future__ import annotations

import re

# Unicode 15, chapter 23: controls, marks and overrides of direction, invisible separators, halves of characters.
BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
CONTROLS = rf"\x00-\x1f\x7f-\x9f{BIDIRECTIONAL}\u200b\u2028\u2029\u2060-\u2065\ufeff\ufff9-\ufffb\ud800-\udfff"
_UNSEEN = re.compile(f"[{CONTROLS}]")
_UNSEEN_IN_LINES = re.compile(rf"(?![\n\t])[{CONTROLS}]")
# Our own messages go on below a label, further in than any label: such a line end forges nothing.
_UNSEEN_IN_FIELD = re.compile(rf"(?!\n {{5}})[{CONTROLS}]")


def visible(text: str) -> str:
    """One line: everything that could act on a terminal or deceive a reader is written out."""
    return _UNSEEN.sub(_written, text)


def visible_lines(text: str) -> str:
    """A text of several lines: its line ends and tabs stay."""
    return _UNSEEN_IN_LINES.sub(_written, text)


def visible_field(text: str) -> str:
    """What follows a label of a message; a line end stays where the next line is indented by five or more."""
    return _UNSEEN_IN_FIELD.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
