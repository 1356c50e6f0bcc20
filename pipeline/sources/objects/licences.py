"""What publishers call a licence, as a code of `pipeline.settings.sources.LicenceCode`."""

from __future__ import annotations

from typing import get_args

from pipeline.settings.sources import LicenceCode

CODES: tuple[str, ...] = get_args(LicenceCode)
# Words of a licence in full, in this order of their codes: "Creative Commons - Attribution - Share Alike" -> by-sa.
_PARTS = (("non-commercial", "nc"), ("noncommercial", "nc"), ("share alike", "sa"), ("sharealike", "sa"))
_NO_DERIVATIVES = ("no derivatives", "noderivatives", "no-derivatives")
_WHOLE = {
    "public domain dedication": "cc0",
    "cc0": "cc0",
    "public domain": "public-domain",
    "lgpl": "lgpl",
    "gpl": "gpl",
    "bsd": "bsd",
}


def code_of(licence: object) -> str:
    """The code of a licence as a publisher writes it; ``unknown`` where nothing is said, ``other`` for other words."""
    text = licence.strip().casefold() if isinstance(licence, str) else ""
    if text in CODES:
        return text
    if text in ("", "none", "unknown_license", "unknown license"):
        return "unknown"
    if text.removeprefix("cc-") in CODES:
        return text.removeprefix("cc-")
    for words, code in _WHOLE.items():
        if words in text:
            return code
    if "attribution" not in text:
        return "other"
    found = ["by", *dict.fromkeys(code for words, code in _PARTS if words in text)]
    if any(words in text for words in _NO_DERIVATIVES):
        found.append("nd")
    code = "-".join(found)
    return code if code in CODES else "other"
