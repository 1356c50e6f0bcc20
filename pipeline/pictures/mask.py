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

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.errors import Reject
from pipeline.pictures.decode import deep_values, in_eight_bits, is_deep, opened

Cover = npt.NDArray[np.uint8]  # (H, W): 0 outside the object, 255 inside, between them at its rim
_DARK, _BRIGHT = 0.25, 0.75  # shares of white
_MOST_BETWEEN = 1 / 3  # share of the pixels that may be neither dark nor bright
_AGREE = 0.02  # mean difference, as a share of white, below which two channels tell the same mask
_LEAST_SPAN = 0.5  # of the widest channel's: what varies less is noise
_LABELS, _MOST_LABEL = 16, 0.25  # few values, and one between that covers a good part of what the brightest does
_BORDER = 0.95  # share of the border that a mask covers only where it is inverted


def decode_mask(data: bytes) -> Cover:
    """(H, W) cover of an encoded mask, turned as its EXIF says; Reject("bad_mask") where it is none."""
    with opened(data, upright=True) as (picture, _):
        channels = _channels(picture)
    spans = {name: float(np.ptp(values)) for name, values in channels.items()}
    # A JPEG of red on black has some noise in green and blue.
    least = _LEAST_SPAN * max((span for name, span in spans.items() if name != "alpha"), default=0.0)
    colours = [channels[name] for name, span in spans.items() if name != "alpha" and span > 0 and span >= least]
    colours = colours[:1] + [values for values in colours[1:] if not np.array_equal(values, colours[0])]  # grey is one
    alpha = channels.get("alpha")
    if alpha is not None and not spans["alpha"]:
        alpha = None
    if alpha is None and not colours:
        value = float(next(iter(channels.values())).flat[0])
        raise _bad(
            f"it has one value everywhere ({value:.3g} of white), so it covers "
            + ("everything" if value > _BRIGHT else "nothing")
        )
    cover = _chosen(None if alpha is None else _cover(alpha), _common(colours), alpha, colours)
    _refuse_inverted(cover)
    return cover


def coverage(cover: Cover) -> float:
    """Share of the picture that a mask covers."""
    return float(cover.mean()) / 255


def _channels(picture: Image.Image) -> dict[str, npt.NDArray[np.float32]]:
    """Every channel by name, as shares of white."""
    if is_deep(picture):
        values, white = deep_values(picture)
        return {"grey": values.astype(np.float32) / np.float32(white)}
    if picture.mode in ("I", "F"):  # the numbers have no white, but 0 and 1 need none
        values = np.asarray(picture).astype(np.float32)
        if not np.isfinite(values).all():
            raise _bad("it holds values that are no numbers")
        return {"grey": values}
    pixels = np.asarray(in_eight_bits(picture)).astype(np.float32) / np.float32(255)
    names = ("red", "green", "blue", "alpha")
    return {name: pixels[..., number] for number, name in enumerate(names[: pixels.shape[2]])}


def _cover(values: npt.NDArray[np.float32]) -> Cover | None:
    """The mask that one channel tells, or None where it tells none."""
    low, high = float(values.min()), float(values.max())
    if ((values == low) | (values == high)).all():
        return np.where(values == high, 255, 0).astype(np.uint8)
    found, counts = np.unique(values, return_counts=True)
    if len(found) <= _LABELS and counts[1:-1].max() > _MOST_LABEL * counts[-1]:
        return None
    between = ((values > _DARK) & (values < _BRIGHT)).mean()
    if not (low <= _DARK and _BRIGHT <= high <= 1 and low >= 0) or between > _MOST_BETWEEN:
        return None
    return np.rint(values * 255).astype(np.uint8)


def _common(colours: list[npt.NDArray[np.float32]]) -> Cover | None:
    """The mask that all varying colour channels tell, or None where they do not agree."""
    covers = [_cover(values) for values in colours]
    first = covers[0] if covers else None
    if first is None or any(other is None or not _same(first, other) for other in covers[1:]):
        return None
    return first


def _same(one: Cover, other: Cover) -> bool:
    return float(np.abs(one.astype(np.int16) - other).mean()) / 255 < _AGREE


def _chosen(
    by_alpha: Cover | None,
    by_colour: Cover | None,
    alpha: npt.NDArray[np.float32] | None,
    colours: list[npt.NDArray[np.float32]],
) -> Cover:
    """The one mask that the channels tell together."""
    if by_alpha is not None and by_colour is not None and not _same(by_alpha, by_colour):
        raise _bad("its transparency shows one mask and its colours another: remove one of them")
    if by_alpha is not None:
        return by_alpha
    if by_colour is not None:
        return by_colour
    if len(colours) > 1 and all(_cover(values) is not None for values in colours):
        raise _bad("its colours do not tell which of them is the object")
    values = alpha if alpha is not None else colours[0]
    found = np.unique(values)
    if len(found) <= _LABELS:
        labels = ", ".join(f"{value * 255:.4g}" for value in found)
        raise _bad(f"it has {len(found)} values ({labels} of 255): labels of several objects, perhaps")
    between = ((values > _DARK) & (values < _BRIGHT)).mean()
    raise _bad(
        f"it goes from {values.min():.2g} to {values.max():.2g} of white, "
        f"and {between:.0%} of it is neither dark nor bright"
    )


def _refuse_inverted(cover: Cover) -> None:
    border = np.concatenate([cover[0], cover[-1], cover[1:-1, 0], cover[1:-1, -1]])
    if coverage(border) > _BORDER:
        raise _bad(
            f"it covers {coverage(border):.0%} of the picture's border and leaves out what is inside: "
            "it looks inverted, and a mask is bright where the object is"
        )


def _bad(detail: str) -> Reject:
    return Reject("bad_mask", detail)
