"""Categories as people spell them: ``Night Stand``, ``night-stand`` and ``night_stand`` are one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

from pipeline.errors import UserError
from pipeline.settings.parse import did_you_mean


def folded(name: str) -> str:
    """What all spellings of a category have in common: small letters, composed accents, one underscore a gap."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"[\s_-]+", "_", plain.strip())


def chosen_categories(wanted: Iterable[str], known: Collection[str], *, where: str = "", do: str) -> set[str]:
    """The members of `known` that the words of `wanted` mean; a word as it is written goes before other spellings.

    Raises UserError for a word that means none of them, or several.
    """
    return {_chosen(word, known, where, do) for word in wanted}


def _chosen(word: str, known: Collection[str], where: str, do: str) -> str:
    if word in known:
        return word
    alike = sorted(name for name in known if folded(name) == folded(word))
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise UserError(f"the category {word!r} may be {' or '.join(map(repr, alike))}", where=where, got=word, do=do)
    names = sorted(known)
    raise UserError(
        f"unknown category {word!r}{did_you_mean(word, names)}", where=where, got=word, wanted=", ".join(names), do=do
    )
