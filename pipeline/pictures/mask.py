"""Masks: pictures that say where an object is, as people write them.

    0 and 255, 0 and 1, 0 and 65535      grey, in 1, 8 or 16 bits, or a TIFF of floats 0 and 1
    a palette of two colours             as segmentation data sets write them
    one colour on black                  red on black, white on black
    alpha                                of a cut-out picture, or beside a constant colour
    soft edges, JPEG noise               mostly dark or bright, little between

The channels that vary are read.  Of two values the brighter one is the object, whatever the
numbers are.  What can be read in two ways, or in none, is refused with words, because a wrong
mask gives a picture without the object, and no error later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped
from PIL import Image

from pipeline.conventions import Alpha, Array, Bytes
from pipeline.errors import Reject
from pipeline.pictures.decode import deep_values, in_eight_bits, is_deep, opened

_ROWS = 256
_DARK, _BRIGHT = 0.25, 0.75  # shares of white
_MOST_BETWEEN = 1 / 3  # share of the pixels that may be neither dark nor bright
_AGREE = 0.02  # mean difference, as a share of white, below which two channels tell the same mask
_LEAST_SPAN = 0.5  # of the widest channel's: what varies less is noise
_LABELS, _MOST_LABEL = 16, 0.25  # few values, and one between that covers a good part of what the brightest does
_BORDER = 0.95  # share of the border that a mask covers only where it is inverted


@dataclass(frozen=True)
class _Channel:
    """One channel of a mask."""

    values: Shaped[Array, "_H _W"]
    white: float
    found: Shaped[Array, " N"]  # the different numbers, ascending
    counts: Int64[Array, " N"]  # of pixels with each

    @classmethod
    def of(cls, values: Shaped[Array, "_H _W"], white: float) -> _Channel:
        if values.dtype.kind == "f":
            return cls(values, white, *np.unique(values, return_counts=True))
        counts = np.zeros(np.iinfo(values.dtype).max + 1, np.int64)
        for row in range(0, len(values), _ROWS):  # a part at a time: counting takes eight bytes a pixel
            counts += np.bincount(values[row : row + _ROWS].reshape(-1), minlength=len(counts))
        found = np.flatnonzero(counts)
        return cls(values, white, found, counts[found])

    @property
    def shares(self) -> Float64[Array, " _N"]:
        """The different numbers as shares of white."""
        return np.asarray(self.found / self.white, np.float64)

    @property
    def span(self) -> float:
        return float(self.shares[-1] - self.shares[0])

    @property
    def between(self) -> float:
        """Share of the pixels that are neither dark nor bright."""
        inside = (self.shares > _DARK) & (self.shares < _BRIGHT)
        return float(self.counts[inside].sum() / self.counts.sum())

    def cover(self) -> Alpha | None:
        """The mask that this channel tells, or None where it tells none."""
        low, high = self.shares[0], self.shares[-1]
        if len(self.found) == 2:
            return np.asarray(np.where(self.values == self.found[1], 255, 0), np.uint8)
        if len(self.found) <= _LABELS and self.counts[1:-1].max(initial=0) > _MOST_LABEL * self.counts[-1]:
            return None
        if not (0 <= low <= _DARK and _BRIGHT <= high <= 1) or self.between > _MOST_BETWEEN:
            return None
        if self.values.dtype.kind == "f":
            return np.asarray(np.rint(self.values * 255), np.uint8)
        levels = np.rint(np.arange(self.found[-1] + 1) * (255 / self.white)).astype(np.uint8)
        return np.asarray(levels[self.values])


def decode_mask(data: bytes) -> Alpha:
    """(H, W) cover of an encoded mask, turned as its EXIF says; Reject("bad_mask") where it is none."""
    with opened(data, upright=True) as (picture, _):
        colours, alpha = _channels(picture)
    if alpha is not None and not alpha.span:
        alpha = None
    constant = colours[0]
    # A JPEG of red on black has some noise in green and blue.
    least = _LEAST_SPAN * max(channel.span for channel in colours)
    colours = [channel for channel in colours if channel.span and channel.span >= least]
    if alpha is None and not colours:
        value = float(constant.shares[0])
        raise _bad(
            f"it has one value everywhere ({value:.3g} of white), so it covers "
            + ("everything" if value > _BRIGHT else "nothing")
        )
    cover = _chosen(alpha, colours)
    _refuse_inverted(cover)
    return cover


def cover_of_alpha(alpha: Alpha) -> Alpha:
    """What a photograph's own alpha covers: of two values the higher one is the object, one value is no mask at all."""
    low, high = int(alpha.min()), int(alpha.max())
    if low == high:
        return np.full_like(alpha, 255 if high else 0)
    if ((alpha == low) | (alpha == high)).all():
        return np.asarray(np.where(alpha == high, 255, 0), np.uint8)
    return alpha


def coverage(cover: Bytes) -> float:
    """Share of a picture, or of a part of it, that a mask covers."""
    return float(cover.mean()) / 255


def _channels(picture: Image.Image) -> tuple[list[_Channel], _Channel | None]:
    """The different ones of the colour channels, and the alpha."""
    if is_deep(picture):
        values, white = deep_values(picture)
        return [_Channel.of(np.asarray(values), white)], None
    if picture.mode in ("I", "F"):  # the numbers have no white, but 0 and 1 need none
        values = np.asarray(picture).astype(np.float32)
        if not np.isfinite(values).all():
            raise _bad("it holds values that are no numbers")
        return [_Channel.of(values, 1.0)], None
    bands = [np.asarray(band) for band in in_eight_bits(picture).split()]
    colours = bands[:1] + [band for band in bands[1:3] if not np.array_equal(band, bands[0])]
    return [_Channel.of(band, 255) for band in colours], _Channel.of(bands[3], 255) if len(bands) == 4 else None


def _common(colours: list[_Channel]) -> Alpha | None:
    """The mask that all varying colour channels tell, or None where they do not agree."""
    first = colours[0].cover() if colours else None
    for channel in colours[1:]:
        other = channel.cover()
        if first is None or other is None or not _same(first, other):
            return None
    return first


def _same(one: Alpha, other: Alpha) -> bool:
    return float(np.abs(one.astype(np.int16) - other).mean()) / 255 < _AGREE


def _chosen(alpha: _Channel | None, colours: list[_Channel]) -> Alpha:
    """The one mask that the channels tell together."""
    by_alpha, by_colour = alpha.cover() if alpha else None, _common(colours)
    if by_alpha is not None and by_colour is not None and not _same(by_alpha, by_colour):
        raise _bad("its transparency shows one mask and its colours another: remove one of them")
    if by_alpha is not None:
        return by_alpha
    if by_colour is not None:
        return by_colour
    if len(colours) > 1 and all(channel.cover() is not None for channel in colours):
        raise _bad("its colours do not tell which of them is the object")
    channel = alpha or colours[0]
    if len(channel.found) <= _LABELS:
        labels = ", ".join(f"{value * 255:.4g}" for value in channel.shares)
        raise _bad(f"it has {len(channel.found)} values ({labels} of 255): labels of several objects, perhaps")
    low, high = channel.shares[0], channel.shares[-1]
    raise _bad(f"it goes from {low:.2g} to {high:.2g} of white, and {channel.between:.0%} is neither dark nor bright")


def border_coverage(cover: Alpha) -> float:
    """Share of a picture's border that a mask covers: much of it where the mask is inverted, or the object cut off."""
    return coverage(np.concatenate([cover[0], cover[-1], cover[1:-1, 0], cover[1:-1, -1]]))


def _refuse_inverted(cover: Alpha) -> None:
    share = border_coverage(cover)
    if share > _BORDER:
        raise _bad(
            f"it covers {share:.0%} of the picture's border and leaves out what is inside: "
            "it looks inverted, and a mask is bright where the object is"
        )


def _bad(detail: str) -> Reject:
    return Reject("bad_mask", detail)
