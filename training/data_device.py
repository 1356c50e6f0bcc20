"""From uint8 pictures and packed bits to what a network eats: one function, on any device.

The same arithmetic runs on a CPU in the tests and on the accelerator in training; every
random choice comes from `Batch["draws"]`, which is a function of (seed, place), so two runs
of one seed see the same pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict, cast

import torch
from torch import Tensor

DRAWS = 17  # uniform numbers a view; `_DRAW` says what each is for
_DRAW = {"mirror": 0, "brightness": 1, "contrast": 2, "saturation": 3, "gain": 4, "erase": 7, "area": 8, "aspect": 9,
         "erase_row": 10, "erase_column": 11, "background": 12, "background_row": 13, "background_column": 14,
         "background_mirror": 15, "turn": 16}  # fmt: skip
_CAMERAS = ("K", "camera_to_world", "azimuth_deg", "elevation_deg", "distance", "roll_deg")
# Luma of sRGB bytes: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


class Batch(TypedDict, total=False):
    """What a `Loader` yields.  B shapes, k views of each, S pixels a side, R voxels a side."""

    images: Tensor  # (B, k, S, S, 3) uint8, or 4 channels where the background is drawn on the device
    voxel_bits: Tensor  # (B, R^3 / 8) uint8
    alpha: Tensor  # (B, k, S, S) uint8, where the data were opened with masks
    labels: Tensor  # (B,) int64, positions in `ShapeData.categories`
    objects: Tensor  # (B,) int64, positions in `ShapeData.records`
    views: Tensor  # (B, k) int64
    draws: Tensor  # (B, k, DRAWS) float32 in [0, 1)
    K: Tensor  # (B, k, 3, 3) float32, and so on where the loader was asked for cameras
    camera_to_world: Tensor  # (B, k, 4, 4)
    azimuth_deg: Tensor  # (B, k)
    elevation_deg: Tensor  # (B, k)
    distance: Tensor  # (B, k)
    roll_deg: Tensor  # (B, k)


class Inputs(TypedDict, total=False):
    """What `to_device` makes of a batch; labels, objects, views and cameras as in the batch."""

    images: Tensor  # (B, k, 3, S, S) float in [-1, 1]
    voxels: Tensor  # (B, 1, R, R, R) float, 0 or 1
    masks: Tensor  # (B, k, 1, S, S) float in [0, 1], of alpha or of 4-channel pictures
    labels: Tensor
    objects: Tensor
    views: Tensor
    K: Tensor
    camera_to_world: Tensor
    azimuth_deg: Tensor
    elevation_deg: Tensor
    distance: Tensor
    roll_deg: Tensor


@dataclass(frozen=True)
class Augment:
    """What is varied; the defaults vary nothing."""

    mirror: bool = False  # half of the shapes left to right: pictures, voxels and cameras together
    # Quarter turns of voxels and cameras about the up axis; the pictures stay.  "random": for networks that see no
    # picture, or are told the camera; "camera": until the first view stands within 45 degrees of the front.
    turn: Literal["none", "random", "camera"] = "none"
    brightness: float = 0.0  # factor within 1 +- this
    contrast: float = 0.0  # factor within 1 +- this, about the picture's mean
    saturation: float = 0.0  # factor within 1 +- this, about the grey picture
    channel_gain: float = 0.0  # factor of each channel within 1 +- this
    erase: float = 0.0  # probability of a grey rectangle in a picture
    erase_share: float = 0.2  # its largest share of the picture


@torch.no_grad()
def to_device(
    batch: Batch,  # from a `Loader`
    device: torch.device | str | None = None,  # None: where the batch lies
    *,
    augment: Augment = Augment(),  # noqa: B008 - frozen
    backgrounds: Tensor | None = None,  # (M, P, P, 3) uint8 on the device, P >= S; for 4-channel pictures
    compositing: str = "srgb",  # space in which their soft edges are mixed; "linear" as in `ShapeData.compositing`
) -> Inputs:
    """Unpack, composite, vary and normalise one batch."""
    moved = batch if device is None else move(batch, torch.device(device))
    draws = moved["draws"]
    flipped = draws[:, 0, _DRAW["mirror"]] < (0.5 if augment.mirror else 0.0)
    images = moved["images"].permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
    view_draws = draws.flatten(0, 1)
    masks = images[:, 3:] if images.shape[1] == 4 else None
    if "alpha" in moved:
        masks = moved["alpha"].flatten(0, 1)[:, None].float() / 255
    if images.shape[1] == 4:
        images = _over_background(images, view_draws, backgrounds, compositing)
    images = _coloured(images, view_draws, augment)
    images = _erased(images * 2 - 1, view_draws, augment)
    images = images.reshape(*draws.shape[:2], *images.shape[1:])
    voxels = unpack_bits(moved["voxel_bits"])
    out: Inputs = {"labels": moved["labels"], "objects": moved["objects"], "views": moved["views"]}
    if masks is not None:
        out["masks"] = masks.reshape(*draws.shape[:2], *masks.shape[1:])
    cameras = cast(dict[str, Tensor], {name: moved[name] for name in _CAMERAS if name in moved})  # type: ignore[literal-required]
    if augment.mirror:
        images = torch.where(flipped[:, None, None, None, None], images.flip(-1), images)
        if masks is not None:
            out["masks"] = torch.where(flipped[:, None, None, None, None], out["masks"].flip(-1), out["masks"])
        voxels = torch.where(flipped[:, None, None, None, None], voxels.flip(2), voxels)
        cameras = _mirrored(cameras, flipped, images.shape[-1])
    if augment.turn != "none":
        quarters = _quarters(augment.turn, draws, cameras)
        voxels = _turned_voxels(voxels, quarters)
        cameras = _turned(cameras, quarters)
    out.update(cast(Inputs, cameras))
    out["images"], out["voxels"] = images, voxels
    return out


def move(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`; without waiting where its memory is pinned."""
    tensors = cast(dict[str, Tensor], batch)
    return cast(Batch, {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def unpack_bits(bits: Tensor) -> Tensor:
    """(B, R^3 / 8) uint8, most significant bit first -> (B, 1, R, R, R) float of 0 and 1."""
    resolution = round((bits.shape[1] * 8) ** (1 / 3))
    shifts = 7 - torch.arange(8, device=bits.device, dtype=torch.uint8)
    cells = (bits[:, :, None] >> shifts) & 1
    return cells.reshape(-1, 1, resolution, resolution, resolution).float()


def _over_background(rgba: Tensor, draws: Tensor, bank: Tensor | None, compositing: str) -> Tensor:
    """(n, 4, S, S) over crops of the bank, or over plain colours without one."""
    size = rgba.shape[-1]
    if bank is None:
        behind = draws[:, _DRAW["background"] : _DRAW["background"] + 3, None, None]
    else:
        room = bank.shape[1] - size + 1
        if room < 1:
            raise ValueError(f"backgrounds of {bank.shape[1]} px behind pictures of {size} px")
        number = (draws[:, _DRAW["background"]] * len(bank)).long()
        reach = torch.arange(size, device=rgba.device)
        rows = (draws[:, _DRAW["background_row"]] * room).long()[:, None] + reach
        columns = (draws[:, _DRAW["background_column"]] * room).long()[:, None] + reach
        mirrored = draws[:, _DRAW["background_mirror"], None] < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
        behind = bank[number[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float() / 255
    alpha = rgba[:, 3:]
    if compositing == "linear":
        return _encoded(_decoded(rgba[:, :3]) * alpha + _decoded(behind) * (1 - alpha))
    return rgba[:, :3] * alpha + behind * (1 - alpha)


def _decoded(srgb: Tensor) -> Tensor:
    """Linear light of sRGB in [0, 1]: IEC 61966-2-1."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _encoded(light: Tensor) -> Tensor:
    """Inverse of `_decoded`."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _coloured(images: Tensor, draws: Tensor, augment: Augment) -> Tensor:
    """Colour jitter of (n, 3, S, S) in [0, 1]."""

    def factor(name: str, amount: float, count: int = 1) -> Tensor:
        first = _DRAW[name]
        return (1 + amount * (2 * draws[:, first : first + count] - 1))[:, :, None, None]

    if augment.brightness:
        images = images * factor("brightness", augment.brightness)
    if augment.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * factor("contrast", augment.contrast)
    if augment.saturation:
        red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
        grey = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
        images = grey + (images - grey) * factor("saturation", augment.saturation)
    if augment.channel_gain:
        images = images * factor("gain", augment.channel_gain, 3)
    return images.clamp(0, 1)


def _erased(images: Tensor, draws: Tensor, augment: Augment) -> Tensor:
    """Random erasing of (n, 3, S, S) with mid-grey, 0 here: Zhong et al. 2017, arXiv 1708.04896."""
    if not augment.erase:
        return images
    size = images.shape[-1]
    area = (0.02 + (augment.erase_share - 0.02) * draws[:, _DRAW["area"]]) * size**2
    aspect = 2 ** (2 * draws[:, _DRAW["aspect"]] - 1)
    height, width = (area * aspect).sqrt().clamp(max=size), (area / aspect).sqrt().clamp(max=size)
    top, left = draws[:, _DRAW["erase_row"]] * (size - height), draws[:, _DRAW["erase_column"]] * (size - width)
    place = torch.arange(size, device=images.device) + 0.5
    rows = (place >= top[:, None]) & (place < (top + height)[:, None])
    columns = (place >= left[:, None]) & (place < (left + width)[:, None])
    inside = rows[:, :, None] & columns[:, None, :] & (draws[:, _DRAW["erase"]] < augment.erase)[:, None, None]
    return images.masked_fill(inside[:, None], 0.0)


def _mirrored(cameras: dict[str, Tensor], flipped: Tensor, size_px: int) -> dict[str, Tensor]:
    """Cameras of mirrored shapes: x -> -x in the world, column -> S - column in the picture."""
    if not cameras:
        return {}
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], device=flipped.device))
    K, pose = cameras["K"].clone(), cameras["camera_to_world"]
    K[..., 0, 2] = torch.where(flipped[:, None], size_px - K[..., 0, 2], K[..., 0, 2])
    sign = 1.0 - 2.0 * flipped[:, None].float()
    return {
        **cameras,
        "K": K,
        "camera_to_world": torch.where(flipped[:, None, None, None], mirror @ pose @ mirror, pose),
        "azimuth_deg": (sign * cameras["azimuth_deg"]) % 360,
        "roll_deg": sign * cameras["roll_deg"],
    }


def _quarters(turn: str, draws: Tensor, cameras: dict[str, Tensor]) -> Tensor:
    """(B,) how many quarter turns each shape gets."""
    if turn == "random":
        return (draws[:, 0, _DRAW["turn"]] * 4).long()
    if "azimuth_deg" not in cameras:
        raise ValueError("turning shapes to their cameras needs cameras: make the loader with cameras=True")
    return (-cameras["azimuth_deg"][:, 0] / 90).round().long() % 4


def _turned_voxels(voxels: Tensor, quarters: Tensor) -> Tensor:
    """Each (1, R, R, R) turned counter-clockwise seen from above, as azimuths grow; exact on the grid."""
    turned = [torch.rot90(voxels, quarter, (4, 2)) for quarter in range(4)]
    return torch.stack(turned)[quarters, torch.arange(len(voxels), device=voxels.device)]


def _turned(cameras: dict[str, Tensor], quarters: Tensor) -> dict[str, Tensor]:
    """Cameras that turn with their shapes, so that the pictures stay true."""
    if not cameras:
        return {}
    angle = quarters.float() * (torch.pi / 2)
    cos, sin = angle.cos().round(), angle.sin().round()
    turn = torch.eye(4, device=quarters.device).repeat(len(quarters), 1, 1)
    turn[:, 0, 0], turn[:, 0, 2], turn[:, 2, 0], turn[:, 2, 2] = cos, sin, -sin, cos
    azimuth = (cameras["azimuth_deg"] + 90.0 * quarters[:, None]) % 360
    return {**cameras, "camera_to_world": turn[:, None] @ cameras["camera_to_world"], "azimuth_deg": azimuth}
