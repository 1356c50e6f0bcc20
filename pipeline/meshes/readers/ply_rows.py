"""Where the values of each row of a binary PLY element stand, when its lists have different lengths; compiled."""

from __future__ import annotations

from numba import njit

OK, TRUNCATED, NEGATIVE = range(3)


@njit(cache=True, nogil=True)
def _whole(text, at, size, little, signed):  # type: ignore[no-untyped-def]
    """Integer of `size` bytes, at most four."""
    value = 0
    for k in range(size):
        value = value * 256 + text[at + (size - 1 - k if little else k)]
    return value - (1 << (8 * size)) if signed and value >= 1 << (8 * size - 1) else value


@njit(cache=True, nogil=True)
def places(text, at, little, sizes, count_sizes, signed, begins, lengths):  # type: ignore[no-untyped-def]
    """Fill begins and lengths (P, N) of the values of each of P properties in N rows -> status, offset behind them.

    sizes (P,) bytes of a value; count_sizes (P,) bytes of the length of a list, 0 for a single number.
    """
    for row in range(begins.shape[1]):
        for one in range(sizes.size):
            length = 1
            if count_sizes[one]:
                if at + count_sizes[one] > text.size:
                    return TRUNCATED, at
                length = _whole(text, at, count_sizes[one], little, signed[one])
                if length < 0:
                    return NEGATIVE, at
                at += count_sizes[one]
            begins[one, row], lengths[one, row] = at, length
            at += length * sizes[one]
            if at > text.size:
                return TRUNCATED, at
    return OK, at
