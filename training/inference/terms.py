"""Under which licences the shapes are that a network was trained on, and who has to be named with its weights.

{"by": {"shapes": 812, "credits": ["...", ...], "more": 0}}, by the codes of pipeline/settings/sources.py; results.json
keeps it, and the card of an exported network says it.  Shapes of sources that have one licence for all are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.manifest import Record

MOST_CREDITS = 12  # on a card; the ledger has every one
Terms = dict[str, dict[str, Any]]


def terms_of(records: Sequence[Record]) -> Terms:
    """The licences of shapes, those of most shapes first, each with the first of whom to name."""
    credits: dict[str, dict[str, None]] = {}
    counts: dict[str, int] = {}
    for record in records:
        prepared = record.facts.get("prepare", {})
        if licence := prepared.get("licence"):
            counts[licence] = counts.get(licence, 0) + 1
            if credit := prepared.get("credit"):
                credits.setdefault(licence, {})[credit] = None
    found: Terms = {}
    for licence, shapes in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        named = sorted(credits.get(licence, {}))
        more = max(0, len(named) - MOST_CREDITS)
        found[licence] = {"shapes": shapes, "credits": named[:MOST_CREDITS], "more": more}
    return found


def in_words(terms: Terms) -> str:
    """A section of the card; nothing where no shape has a licence of its own."""
    if not terms:
        return ""
    lines = []
    for licence, about in terms.items():
        named = "; ".join(about["credits"]) or "nobody to be named"
        more = f"; and {about['more']} more" if about["more"] else ""
        lines.append(f"- {about['shapes']} training shapes under `{licence}`: {named}{more}")
    told = "Who passes this network on passes these names on; the ledger of the data set has one line for each shape."
    return "\n## Data\n" + "\n".join(lines) + f"\n\n{told}\n"
