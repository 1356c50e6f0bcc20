"""Numbers in mesh files that are text, parsed exactly by compiled code.

Up to 2^53 as an integer times a power of ten up to 10^22, one multiplication or division is
correctly rounded (Clinger 1990, "How to read floating point numbers accurately"); anything longer
goes through Python's float().
"""

from __future__ import annotations

import numpy as np
from numba import njit

_POWERS = 10.0 ** np.arange(23)
_DIGITS_MAX = 2**53
NUMBER, LONG, NOT_A_NUMBER = range(3)


@njit(cache=True, nogil=True, inline="always")
def is_gap(byte: int) -> bool:
    return byte == 32 or (9 <= byte <= 13)


@njit(cache=True, nogil=True)
def skip(text, at):  # type: ignore[no-untyped-def]
    """Offset of the next token: past white space and comments."""
    size = text.size
    while at < size:
        byte = text[at]
        if byte == 35:
            while at < size and text[at] != 10:
                at += 1
        elif not is_gap(byte):
            break
        else:
            at += 1
    return at


@njit(cache=True, nogil=True)
def skip_line(text, at):  # type: ignore[no-untyped-def]
    """Offset behind the end of this line."""
    while at < text.size and text[at] != 10:
        at += 1
    return at


@njit(cache=True, nogil=True)
def number(text, at):  # type: ignore[no-untyped-def]
    """Decimal number at `at` -> value, offset behind it, NUMBER, LONG or NOT_A_NUMBER."""
    size = text.size
    negative = False
    if at < size and (text[at] == 45 or text[at] == 43):
        negative = text[at] == 45
        at += 1
    mantissa, exponent, digits, long = np.int64(0), 0, 0, False
    point = False
    while at < size:
        byte = text[at]
        if 48 <= byte <= 57:
            digits += 1
            if mantissa < 100_000_000_000_000_000:
                mantissa = mantissa * 10 + (byte - 48)
                exponent -= point
            else:
                long = True
        elif byte == 46 and not point:
            point = True
        else:
            break
        at += 1
    if digits == 0:
        return 0.0, at, NOT_A_NUMBER
    if at < size and (text[at] == 101 or text[at] == 69):
        at += 1
        minus = False
        if at < size and (text[at] == 45 or text[at] == 43):
            minus = text[at] == 45
            at += 1
        power, power_digits = 0, 0
        while at < size and 48 <= text[at] <= 57:
            power = min(power * 10 + (text[at] - 48), 10_000)
            power_digits += 1
            at += 1
        if power_digits == 0:
            return 0.0, at, NOT_A_NUMBER
        exponent += -power if minus else power
    if at < size and not is_gap(text[at]) and text[at] != 35:
        return 0.0, at, NOT_A_NUMBER
    if long or mantissa >= _DIGITS_MAX or not -22 <= exponent <= 22:
        if mantissa == 0 and not long:
            return 0.0, at, NUMBER
        return 0.0, at, LONG
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return (-value if negative else value), at, NUMBER


@njit(cache=True, nogil=True)
def whole(text, at):  # type: ignore[no-untyped-def]
    """Whole number at `at` -> value (-1 if it is none), offset behind it."""
    begin, value = at, np.int64(0)
    while at < text.size and 48 <= text[at] <= 57 and at - begin < 18:
        value = value * 10 + (text[at] - 48)
        at += 1
    if at == begin or (at < text.size and not is_gap(text[at]) and text[at] != 35):
        return np.int64(-1), at
    return value, at
