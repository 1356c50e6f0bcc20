#!/usr/bin/env python3
"""Make a shape from a photograph with the network in this folder; needs numpy, onnxruntime and pillow only.

    python reconstruct.py photo.jpg -o shape.obj
    python reconstruct.py photo.jpg --crop 40 20 300 280 --mask mask.png --threshold 0.3 -o shape.npy

`python -m training export` writes this file beside reconstructor.onnx and config.json, and
nothing else of the project is needed.  A photograph is turned upright, what its mask (bright
where the object is) or its own transparency leaves out becomes grey, the crop is taken, its
border is repeated until it is square, and it is scaled to the S x S pixels of the encoder.  A network
that was trained with `crop: alpha` gets the square 1.15 times as wide as what the mask covers.

An .obj holds the closed surface where the occupancy crosses the threshold, +Y up, -Z front, in a
box of side 1 around the origin; an .npy holds (R, R, R) uint8 occupancy, 255 certain, indexed x, y, z.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
GREY = 127  # behind a masked object: 0 in the network's range
# Triangles of a tetrahedron by how many of its corners, which come first, lie inside: each of their
# corners is the edge between two corners of the tetrahedron.
TRIANGLES = {
    1: (((0, 1), (0, 2), (0, 3)),),
    2: (((0, 2), (0, 3), (1, 3)), ((0, 2), (1, 3), (1, 2))),
    3: (((0, 3), (1, 3), (2, 3)),),
}


def read_photo(
    path: Path,
    size_px: int,
    crop: tuple[int, int, int, int] | None = None,
    mask: Path | None = None,
    at_object: bool = False,
) -> Array:
    """(S, S, 3) uint8 the picture that the encoder sees; `crop` is left, top, right, bottom in pixels.

    at_object : cut further to the square around what the mask or the transparency covers at least half.
    """
    rgba = np.asarray(_opened(path).convert("RGBA")).astype(np.uint16)
    height, width = rgba.shape[:2]
    cover = _covered(rgba[..., 3])
    if mask is not None:
        shape = np.asarray(_opened(mask).convert("L"))
        if shape.shape != cover.shape:
            raise ValueError(f"{mask}: a mask of {width} x {height} pixels is wanted, as the photograph is shown")
        cover = np.minimum(cover, _covered(shape))
    left, top, right, bottom = crop or (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f"{path}: a crop within {width} x {height} pixels is wanted, not {left} {top} {right} {bottom}"
        )
    share = cover[top:bottom, left:right, None].astype(np.uint16)
    if not share.any():
        raise ValueError(f"{path}: nothing of the photograph is left; look at its mask and at the crop")
    flat = (rgba[top:bottom, left:right, :3] * share + GREY * (255 - share) + 127) // 255
    inside = cover[top:bottom, left:right] >= 128
    if at_object and (cover < 255).any() and inside.any() and not inside.all():
        flat = _around(flat, inside)
    side = max(flat.shape[:2])
    border = [((side - n) // 2, side - n - (side - n) // 2) for n in flat.shape[:2]]
    square = Image.fromarray(np.pad(flat, (*border, (0, 0)), mode="edge").astype(np.uint8))
    return np.asarray(square.resize((size_px, size_px), Image.Resampling.HAMMING))


def _around(pixels: Array, inside: Array) -> Array:
    """The square 1.15 times as wide as the box of what is inside, with the border repeated where it ends."""
    (top, bottom), (left, right) = ((int(n.min()), int(n.max()) + 1) for n in np.nonzero(inside))
    side = -(-max(bottom - top, right - left) * 23 // 20)
    rows, columns = (np.arange(side) + (first + last - side) // 2 for first, last in ((top, bottom), (left, right)))
    return np.asarray(pixels[rows.clip(0, len(pixels) - 1)[:, None], columns.clip(0, pixels.shape[1] - 1)])


def _covered(values: Array) -> Array:
    """What a mask or a transparency says of each pixel: of two values the brighter one is the object."""
    low, high = int(values.min()), int(values.max())
    if ((values == low) | (values == high)).all():
        return np.where(values == high, 255 if high else 0, 0)
    return values


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture)


def occupancy(folder: Path, photos: Sequence[Array]) -> Array:
    """(R, R, R) uint8 occupancy 0 ... 255 of one object seen in the photographs, each (S, S, 3) uint8."""
    graph = folder / "reconstructor.onnx"
    if not graph.is_file():
        raise ValueError(f"{graph} is missing: copy the whole folder, or export it without --no-onnx")
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    images = np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) * 2 - 1
    together = taken.shape[1] if len(taken.shape) == 5 else 1  # a name where any number will do
    if isinstance(together, int) and len(images) > together:
        raise ValueError(f"this network takes {together} photographs of one object, not {len(images)}")
    if isinstance(together, int):  # fewer are shown again
        images = images[np.arange(together) % len(images)]
    images = images[None] if len(taken.shape) == 5 else images
    return np.asarray(np.rint(session.run(None, {taken.name: images})[0][0] * 255), np.uint8)


def require_whole(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a graph that is not the one that was exported, as far as the folder says which that was."""
    graph, wanted = folder / "reconstructor.onnx", config.get("sha256", {}).get("reconstructor.onnx")
    if wanted is not None and graph.is_file() and hashlib.sha256(graph.read_bytes()).hexdigest() != wanted:
        raise ValueError(f"{graph} is not the file that was exported: copy it again")


def surface(levels: Array, threshold: float) -> tuple[Array, Array]:
    """Vertices (V, 3) and faces (F, 3) where levels (R, R, R) cross the threshold: closed, seen from outside.

    Every cube of eight voxel centres is cut into six tetrahedra along its diagonal (Freudenthal), and each
    of these by the plane on which the interpolated level is the threshold (marching tetrahedra: Doi and Koide 1991).
    """
    field = np.pad(levels.astype(np.float64), 1) - threshold  # empty around, so that the surface is closed
    least = 0.01 * np.abs(field).max()  # corners of faces stay apart
    field = np.where(field >= 0, np.maximum(field, least), np.minimum(field, -least)).reshape(-1)
    side = len(levels) + 2
    place = np.arange(side**3).reshape(side, side, side)
    cubes, steps = place[:-1, :-1, :-1].reshape(-1), (side * side, side, 1)
    found = []
    for order in itertools.permutations(steps):
        corners = cubes[:, None] + np.cumsum((0, *order))
        inside = field[corners] > 0
        corners = np.take_along_axis(corners, np.argsort(~inside, axis=1, kind="stable"), axis=1)
        for count, triangles in TRIANGLES.items():
            found += [corners[inside.sum(axis=1) == count][:, edges] for edges in triangles]
    ends = np.concatenate(found)  # (F, 3 corners, 2 grid points: the first inside, the second outside)
    edges, faces = np.unique(ends @ (side**3, 1), return_inverse=True)
    faces = faces.reshape(-1, 3)
    start, end = (np.stack(np.unravel_index(points, place.shape), axis=1) for points in np.divmod(edges, side**3))
    positive, negative = field[edges // side**3], field[edges % side**3]
    share = positive / (positive - negative)
    vertices = start + share[:, None] * (end - start)
    one, two, three = vertices[faces].transpose(1, 0, 2)
    inwards = np.einsum("ij,ij->i", np.cross(two - one, three - one), (end - start)[faces[:, 0]]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return (vertices - 0.5) / len(levels) - 0.5, faces


def write_obj(path: Path, vertices: Array, faces: Array) -> None:
    """Wavefront OBJ; faces count vertices from 1."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def visible(text: str) -> str:
    """A text in which nothing acts on a terminal: names of files may come from somebody else."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Photographs in, one file out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "photos", type=Path, nargs="+", metavar="PHOTO", help="several of one object where it takes them"
    )
    parser.add_argument("--crop", type=int, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="in pixels")
    parser.add_argument(
        "--mask", type=Path, nargs="+", help="a picture for each photograph, bright where the object is"
    )
    parser.add_argument("--threshold", type=float, help="occupied above this; default: what suited validation shapes")
    parser.add_argument("--model", type=Path, default=Path(__file__).resolve().parent, help="default: this folder")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".obj or .npy")
    options = parser.parse_args(arguments)
    if options.output.suffix not in (".obj", ".npy") or len(options.mask or options.photos) != len(options.photos):
        parser.error("-o must end in .obj or .npy, and every photograph needs its mask or none has one")
    try:
        config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
        require_whole(options.model, config)
        masks = options.mask or [None] * len(options.photos)
        at_object = config["settings"].get("crop") == "alpha"
        photos = [
            read_photo(path, config["size_px"], options.crop, mask, at_object)
            for path, mask in zip(options.photos, masks)
        ]
        levels = occupancy(options.model, photos)
    except (OSError, ValueError) as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 1
    threshold = max(1, round(255 * (options.threshold or config["threshold"])))
    if options.output.suffix == ".npy":
        np.save(options.output, levels, allow_pickle=False)
    elif levels.max() < threshold:
        print(f"error: the shape is empty above {threshold / 255:.2f}; lower --threshold", file=sys.stderr)
        return 1
    else:  # between two levels, so that no corner falls on a voxel's centre
        write_obj(options.output, *surface(levels, threshold - 0.5))
    share = (levels >= threshold).mean()
    print(f"{visible(str(options.output))}: {share:.1%} of the box occupied above {threshold / 255:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
