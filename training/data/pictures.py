"""What may vary in a picture on its way to a network: background, paint, frame, colours, holes.

Every function takes pictures (n, C, S, S) in [0, 1] and one row of `DRAWS` uniform numbers for each, so the
result is a function of (seed, place) on any device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.settings.training import Experiment

DRAWS = 27  # uniform numbers a view; `_DRAW` says what each is for
_DRAW = {
    "mirror": 0,
    "brightness": 1,
    "contrast": 2,
    "saturation": 3,
    "gain": 4,
    "erase": 7,
    "area": 8,
    "aspect": 9,
    "erase_row": 10,
    "erase_column": 11,
    "background": 12,
    "background_row": 13,
    "background_column": 14,
    "background_mirror": 15,
    "turn": 16,
    "recolour": 17,
    "skin": 18,
    "paint": 19,
    "skin_row": 22,
    "skin_column": 23,
    "zoom": 24,
    "zoom_row": 25,
    "zoom_column": 26,
}
# Luma of sRGB bytes: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)
SKINNED = 0.25  # share of the painted objects that get a photograph instead of one colour; more hides the shape


@dataclass(frozen=True)
class Augment:
    """What is varied; the defaults vary nothing."""

    mirror: bool = False  # half of the shapes left to right: pictures, voxels and cameras together
    # Quarter turns of voxels and cameras about the up axis; the pictures stay.  "random": for networks that see no
    # picture, or are told the camera; "camera": until the first view stands within 45 degrees of the front.
    turn: Literal["none", "random", "camera"] = "none"
    recolour: float = 0.0  # probability that the object of a 4-channel picture is painted
    zoom: float = 0.0  # show a part near the middle, enlarged by up to 1 + this; pictures, masks and cameras together
    brightness: float = 0.0  # factor within 1 +- this
    contrast: float = 0.0  # factor within 1 +- this, about the picture's mean
    saturation: float = 0.0  # factor within 1 +- this, about the grey picture
    channel_gain: float = 0.0  # factor of each channel within 1 +- this
    erase: float = 0.0  # probability of a grey rectangle in a picture
    erase_share: float = 0.2  # its largest share of the picture

    @classmethod
    def of(cls, settings: Experiment) -> Augment:
        """What an experiment varies."""
        jitter = settings.colour_jitter
        return cls(
            mirror=settings.mirror,
            brightness=jitter,
            contrast=jitter,
            saturation=jitter,
            channel_gain=jitter,
            erase=settings.erase,
            recolour=settings.recolour,
            zoom=settings.zoom,
            turn="random" if settings.turn else "none",
        )


def unit(pictures: UInt8[Tensor, "*n S S C"]) -> Float[Tensor, "*n C S S"]:
    """Stored pictures with their channels first, in [0, 1]; `permute`, never `view`, changes a layout."""
    return pictures.movedim(-1, -3).float() / 255


def signed(pictures: Float[Tensor, "*n C S S"]) -> Float[Tensor, "*n C S S"]:
    """[0, 1] -> [-1, 1], the range of every network's pictures."""
    return pictures * 2 - 1


def normalised(pictures: UInt8[Tensor, "*n S S C"]) -> Float[Tensor, "*n C S S"]:
    """Stored pictures as a network takes them."""
    return signed(unit(pictures))


def drawn(draws: Tensor, name: str, count: int = 1) -> Tensor:
    """(n, count) the uniform numbers of one purpose."""
    return draws[:, _DRAW[name] : _DRAW[name] + count]


def recoloured(rgba: Tensor, draws: Tensor, bank: Tensor | None, probability: float) -> Tensor:
    """(n, 4, S, S) with some objects painted: their light and shade on one colour, or on a piece of a photograph.

    Domain randomisation (Tobin et al. 2017, arXiv 1703.06907): whoever has seen objects of every colour
    does not take colour for shape.
    """
    alpha = rgba[:, 3:]
    grey = _grey(rgba)
    mean = (grey * alpha).sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp(min=1e-3)
    paint = drawn(draws, "paint", 3)[:, :, None, None].expand(-1, -1, *rgba.shape[2:])
    if bank is not None:
        places = torch.cat([drawn(draws, name) for name in ("paint", "skin_row", "skin_column")], dim=1)
        skin = _pieces(bank, rgba.shape[-1], places)
        paint = torch.where(drawn(draws, "skin")[:, :, None, None] < SKINNED, skin, paint)
    painted = torch.cat([(grey / mean.clamp(min=1e-3) * paint).clamp(max=1), alpha], dim=1)
    return torch.where(drawn(draws, "recolour")[:, :, None, None] < probability, painted, rgba)


def over_background(rgba: Tensor, draws: Tensor, bank: Tensor | None, compositing: str) -> Tensor:
    """(n, 4, S, S) over crops of the bank, or over plain colours without one."""
    if bank is None:
        behind = drawn(draws, "background", 3)[:, :, None, None]
    else:
        places = drawn(draws, "background", 3)  # photograph, row, column
        behind = _pieces(bank, rgba.shape[-1], places, drawn(draws, "background_mirror") < 0.5)
    alpha = rgba[:, 3:]
    if compositing == "linear":
        return _encoded(_decoded(rgba[:, :3]) * alpha + _decoded(behind) * (1 - alpha))
    return rgba[:, :3] * alpha + behind * (1 - alpha)


def _pieces(bank: Tensor, size: int, places: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """(n, 3, S, S) in [0, 1] pieces of the bank; places (n, 3): which photograph, row and column, uniform in [0, 1)."""
    room = bank.shape[1] - size + 1
    if room < 1:
        raise ValueError(f"backgrounds of {bank.shape[1]} px behind pictures of {size} px")
    reach = torch.arange(size, device=bank.device)
    rows = (places[:, 1:2] * room).long() + reach
    columns = (places[:, 2:3] * room).long() + reach
    if mirrored is not None:
        columns = torch.where(mirrored, columns.flip(1), columns)
    which = (places[:, :1] * len(bank)).long()[:, :, None]
    return bank[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float() / 255


def windows(draws: Tensor, zoom: float) -> Tensor:
    """(n, 3) what to show of each picture: centre (column, row) and side, as shares of its side."""
    side = (1 + zoom) ** -drawn(draws, "zoom")
    # At most half of the way to the border, because objects stand in the middle.
    centre = 0.5 + (1 - side) / 2 * (torch.cat([drawn(draws, "zoom_column"), drawn(draws, "zoom_row")], 1) - 0.5)
    return torch.cat([centre, side], dim=1)


def zoomed(pictures: Tensor, frames: Tensor) -> Tensor:
    """(n, C, S, S) the part of each picture that `windows` names, bilinearly."""
    theta = pictures.new_zeros(len(pictures), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = frames[:, 2]
    theta[:, :, 2] = 2 * frames[:, :2] - 1
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def coloured(images: Tensor, draws: Tensor, augment: Augment) -> Tensor:
    """Colour jitter of (n, 3, S, S) in [0, 1]."""

    def factor(name: str, amount: float, count: int = 1) -> Tensor:
        return (1 + amount * (2 * drawn(draws, name, count) - 1))[:, :, None, None]

    if augment.brightness:
        images = images * factor("brightness", augment.brightness)
    if augment.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * factor("contrast", augment.contrast)
    if augment.saturation:
        grey = _grey(images)
        images = grey + (images - grey) * factor("saturation", augment.saturation)
    if augment.channel_gain:
        images = images * factor("gain", augment.channel_gain, 3)
    return images.clamp(0, 1)


def erased(images: Tensor, draws: Tensor, augment: Augment) -> Tensor:
    """Random erasing of (n, 3, S, S) in [-1, 1] with mid-grey: Zhong et al. 2017, arXiv 1708.04896."""
    if not augment.erase:
        return images
    size = images.shape[-1]
    area = (0.02 + (augment.erase_share - 0.02) * drawn(draws, "area")) * size**2
    aspect = 2 ** (2 * drawn(draws, "aspect") - 1)
    height, width = (area * aspect).sqrt().clamp(max=size), (area / aspect).sqrt().clamp(max=size)
    top, left = drawn(draws, "erase_row") * (size - height), drawn(draws, "erase_column") * (size - width)
    place = torch.arange(size, device=images.device) + 0.5
    rows = (place >= top) & (place < top + height)
    columns = (place >= left) & (place < left + width)
    inside = rows[:, :, None] & columns[:, None, :] & (drawn(draws, "erase") < augment.erase)[:, :, None]
    return images.masked_fill(inside[:, None], 0.0)


def _grey(rgb: Tensor) -> Tensor:
    """(n, 1, S, S) luma of the first three channels."""
    return _LUMA[0] * rgb[:, 0:1] + _LUMA[1] * rgb[:, 1:2] + _LUMA[2] * rgb[:, 2:3]


def _decoded(srgb: Tensor) -> Tensor:
    """Linear light of sRGB in [0, 1]: IEC 61966-2-1."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _encoded(light: Tensor) -> Tensor:
    """Inverse of `_decoded`."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
