"""What headers of an answer say, where it is what the standard allows; a stranger wrote them."""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any

from pipeline.archives.http import Broken

# ``bytes 5-9/10``, ``bytes 5-9/*`` or ``bytes */10``
RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.ASCII)
_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def validator_of(headers: Any) -> str | None:
    """A strong ETag, or the date; a weak ETag cannot guard a range (RFC 9110, 13.1.5)."""
    for value in (headers.get("ETag"), headers.get("Last-Modified")):
        if value and is_validator(value):
            return str(value)
    return None


def is_validator(value: object) -> bool:
    """Whether it is a strong entity tag or a date, which may be sent back as it is."""
    if not isinstance(value, str):
        return False
    return bool(_TAG.fullmatch(value)) or (value.isascii() and value.isprintable() and _date(value) is not None)


def length_of(headers: Any) -> int | None:
    """Content-Length; Broken where two are said."""
    found = {value.strip() for value in headers.get_all("Content-Length") or ()}
    if len(found) > 1:
        raise Broken("the server says two lengths")
    value = next(iter(found), "")
    return int(value) if _NUMBER.fullmatch(value) else None


def retry_after(value: str | None) -> float | None:
    """Seconds, given as a number or as a date (RFC 9110, 10.2.3)."""
    text = (value or "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    date = _date(text)
    return None if date is None else max(0.0, date - time.time())


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
