"""From uint8 pictures and packed bits to what a network eats: one function, on any device.

The same arithmetic runs on a CPU in the tests and on the accelerator in training; every
random choice comes from `Batch["draws"]`, which is a function of (seed, place), so two runs
of one seed see the same pictures.
"""

from __future__ import annotations

from typing import TypedDict, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from training.data.pictures import (
    Augment,
    coloured,
    drawn,
    erased,
    over_background,
    recoloured,
    signed,
    unit,
    windows,
    zoomed,
)

_CAMERAS = ("K", "camera_to_world", "azimuth_deg", "elevation_deg", "distance", "roll_deg")


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
    voxels: Tensor  # (B, 1, R, R, R) float, 0 or 1; where they were asked for
    masks: Tensor  # (B, k, 1, S, S) float in [0, 1], of alpha or of 4-channel pictures
    mirrored: Tensor  # (B,) bool, where half of the shapes are mirrored
    labels: Tensor
    objects: Tensor
    views: Tensor
    K: Tensor
    camera_to_world: Tensor
    azimuth_deg: Tensor
    elevation_deg: Tensor
    distance: Tensor
    roll_deg: Tensor


@torch.no_grad()
def to_device(
    batch: Batch,  # from a `Loader`
    device: torch.device | str | None = None,  # None: where the batch lies
    *,
    augment: Augment = Augment(),  # noqa: B008 - frozen
    backgrounds: Tensor | None = None,  # (M, P, P, 3) uint8 on the device, P >= S; for 4-channel pictures
    compositing: str = "srgb",  # space in which their soft edges are mixed; "linear" as in `ShapeData.compositing`
    pictures: bool = True,  # False leaves them and their masks out, for an update that looks at shapes alone
    voxels: bool = True,  # False leaves them out, for an update that looks at pictures alone
) -> Inputs:
    """Unpack, composite, vary and normalise one batch."""
    moved = batch if device is None else move(batch, torch.device(device))
    draws = moved["draws"]
    cameras = cast(dict[str, Tensor], {name: moved[name] for name in _CAMERAS if name in moved})  # type: ignore[literal-required]

    images = masks = None
    if pictures:
        images, masks, cameras = _varied(moved, cameras, augment, backgrounds, compositing)
    shapes = unpack_bits(moved["voxel_bits"]) if voxels else None
    out: Inputs = {"labels": moved["labels"], "objects": moved["objects"], "views": moved["views"]}
    # What changes picture, voxels and camera of a shape together.
    if augment.mirror:
        flipped = out["mirrored"] = drawn(draws[:, 0], "mirror")[:, 0] < 0.5
        images, masks = _flipped(images, -1, flipped), _flipped(masks, -1, flipped)
        shapes = _flipped(shapes, 2, flipped)
        cameras = _mirrored(cameras, flipped, moved["images"].shape[-2])
    if augment.turn != "none":
        quarters = _quarters(augment.turn, draws, cameras)
        shapes = None if shapes is None else _turned_voxels(shapes, quarters)
        cameras = _turned(cameras, quarters)
    out.update(cast(Inputs, cameras))
    found = {"images": images, "masks": masks, "voxels": shapes}
    out.update(cast(Inputs, {name: tensor for name, tensor in found.items() if tensor is not None}))
    return out


def _varied(
    batch: Batch, cameras: dict[str, Tensor], augment: Augment, backgrounds: Tensor | None, compositing: str
) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
    """Each picture by itself: object, background, frame, colours; (B, k, ...) pictures, masks and cameras."""
    draws = batch["draws"].flatten(0, 1)
    images = unit(batch["images"].flatten(0, 1))
    masks = images[:, 3:] if images.shape[1] == 4 else None
    if "alpha" in batch:
        masks = batch["alpha"].flatten(0, 1)[:, None].float() / 255
    if images.shape[1] == 4:
        if augment.recolour:
            images = recoloured(images, draws, backgrounds, augment.recolour)
        images = over_background(images, draws, backgrounds, compositing)
    if augment.zoom:
        frames = windows(draws, augment.zoom)
        images, masks = zoomed(images, frames), masks if masks is None else zoomed(masks, frames)
        cameras = _zoomed(cameras, frames, images.shape[-1])
    images = erased(signed(coloured(images, draws, augment)), draws, augment)
    shape = batch["views"].shape
    images = images.reshape(*shape, *images.shape[1:])
    return images, masks if masks is None else masks.reshape(*shape, *masks.shape[1:]), cameras


def _flipped(tensor: Tensor | None, axis: int, chosen: Tensor) -> Tensor | None:
    """(B, four more) with the `chosen` (B,) ones turned round along an axis."""
    return None if tensor is None else torch.where(chosen[:, None, None, None, None], tensor.flip(axis), tensor)


def move(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`; without waiting where its memory is pinned."""
    tensors = cast(dict[str, Tensor], batch)
    return cast(Batch, {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


def unpack_bits(bits: UInt8[Tensor, "B Q"]) -> Float[Tensor, "B 1 R R R"]:
    """(B, R^3 / 8) uint8, most significant bit first -> (B, 1, R, R, R) float of 0 and 1."""
    resolution = round((bits.shape[1] * 8) ** (1 / 3))
    shifts = 7 - torch.arange(8, device=bits.device, dtype=torch.uint8)
    cells = (bits[:, :, None] >> shifts) & 1
    return cells.reshape(-1, 1, resolution, resolution, resolution).float()


def _zoomed(cameras: dict[str, Tensor], frames: Tensor, size_px: int) -> dict[str, Tensor]:
    """Cameras of enlarged parts of pictures: only the intrinsics change."""
    if not cameras:
        return {}
    K = cameras["K"].clone()
    frames = frames.reshape(*K.shape[:2], 3)
    centre, side = frames[..., :2], frames[..., 2:]
    K[..., :2, :2] /= side[..., None]
    K[..., :2, 2] = (K[..., :2, 2] - size_px * centre) / side + size_px / 2
    return {**cameras, "K": K}


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
        return (drawn(draws[:, 0], "turn")[:, 0] * 4).long()
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
