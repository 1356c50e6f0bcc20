"""Words for numbers."""

from __future__ import annotations


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """``1 shape``, ``2 shapes``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
