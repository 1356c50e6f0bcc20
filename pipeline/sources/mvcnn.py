"""The twelve pictures of each ModelNet40 object that MVCNN was trained on, paired with the meshes.

    modelnet40v1png.tar   modelnet40v1png/<category>/{train,test}/<name>_001.png ... _012.png    224 px
    ModelNet40.zip        ModelNet40/<category>/{train,test}/<name>.off

Su et al., "Multi-view Convolutional Neural Networks", ICCV 2015.  Voxels are made from the
mesh, as for ModelNet40; the pictures are imported.  How they were drawn is known from the
authors' code (github.com/suhangpro/mvcnn, utils/render_views.m and plotMesh.m): MATLAB's
``view(azimuth, 30)`` for azimuths 0, 30 ... 330 about +Z, where 0 stands at -Y, in front of the
object, and grows counter-clockwise seen from above; perspective; white paper.  Each drawing was
then cut out and centred by the object's box in it, at a scale of its own, so lens and centre of a
view are fitted to the picture: the mesh, seen from the known direction, fills the same box.
Direction and roll are exact; the distance is nominal (MATLAB's usual opening of 10.34 degrees).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.errors import Reject
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.pictures.camera import look_at_origin, project
from pipeline.pictures.decode import decode_picture
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, checksum_of, is_clutter, split_member
from pipeline.sources.modelnet import MODELNET40

VIEWS = 12
AZIMUTHS_DEG = 30.0 * np.arange(VIEWS)
ELEVATION_DEG = 30.0
_OPENING_DEG = 10.34
_PICTURES = RemoteFile(
    "modelnet40v1png.tar", ("http://maxwell.cs.umass.edu/mvcnn-data/modelnet40v1png.tar",), unpack=True
)
_PICTURE = re.compile(r"[^/]+/(?P<category>[^/]+)/(?P<split>train|test)/(?P<name>[^/]+)_(?P<view>\d{3})\.png")
# The box of the mesh and the box of the picture have the same shape, but for a lens that is known nearly.
_BOXES_DIFFER = 0.15
_WHITE = 255
Key = tuple[str, str, str]  # category, split, name


class Mvcnn(Source):
    """A shape is a mesh with all of its pictures; either without the other is refused by name."""

    title = "MVCNN's views of ModelNet40"
    to_world = MODELNET40.to_world
    views_per_shape = VIEWS
    cameras = "nominal distance, fitted lens"
    page = "http://maxwell.cs.umass.edu/mvcnn-data"
    terms = (
        f"{MODELNET40.terms} The pictures derive from it; cite also Su et al., Multi-view Convolutional "
        "Neural Networks, ICCV 2015."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The meshes as ModelNet40 has them, and the pictures; in a local mirror they may lie unpacked."""
        return [*MODELNET40.files(dataset, offered), _PICTURES]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every object of either archive."""
        meshes = {(mesh.category, mesh.split or "", mesh.name): mesh for mesh in MODELNET40.shapes(archives, dataset)}
        pictures = _pictures(archives)
        for key in sorted(meshes.keys() | pictures.keys()):
            views = pictures.get(key, {})
            member = next((f"{_PICTURES.folder}!{entry.name}" for entry in views.values()), "")
            mesh = meshes.get(key, Found(key[0], key[2], key[1], member, reason="missing_mesh"))
            reason, detail = _problem(mesh, views)
            own = Entry(mesh.member, mesh.size, mesh.checksum)
            checksum = checksum_of([own, *views.values()])
            yield Found(mesh.category, mesh.name, mesh.split, mesh.member, mesh.size, checksum, reason, detail)

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """An OFF file needs no other."""
        return MODELNET40.model(archives, shape)

    def views(
        self, archives: Archives, shape: Shape, size_px: int, vertices: npt.NDArray[np.float64] | None
    ) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a `renders` shard; the cameras are fitted to the mesh."""
        assert vertices is not None
        folder, _, name = split_member(shape)[1].rpartition("/")
        below = "/".join(folder.split("/")[-2:])  # <category>/<split>
        stem = name.rpartition(".")[0]
        files = archives.get(_PICTURES.folder).files()
        rgba = np.stack([_picture(files.read(f"{below}/{stem}_{n:03d}.png"), n, size_px) for n in range(1, VIEWS + 1)])
        radius = float(np.linalg.norm(vertices.max(axis=0) - vertices.min(axis=0))) / 2
        distance = radius / np.tan(np.radians(_OPENING_DEG / 2))
        poses = np.stack([look_at_origin(azimuth, ELEVATION_DEG, distance) for azimuth in AZIMUTHS_DEG])
        return {
            "rgba": rgba,
            "K": np.stack([fitted_lens(vertices, pose, view[..., 3]) for pose, view in zip(poses, rgba)]),
            "camera_to_world": poses,
            "azimuth_deg": AZIMUTHS_DEG.astype(np.float32),
            "elevation_deg": np.full(VIEWS, ELEVATION_DEG, np.float32),
            "distance": np.full(VIEWS, distance, np.float32),
            "roll_deg": np.zeros(VIEWS, np.float32),
            "coverage": (rgba[..., 3].mean(axis=(1, 2)) / 255).astype(np.float32),
        }


def _pictures(archives: Archives) -> dict[Key, dict[int, Entry]]:
    """The pictures of each object by their number, from 1."""
    found: dict[Key, dict[int, Entry]] = {}
    for entry in archives.get(_PICTURES.folder).entries():
        match = _PICTURE.fullmatch(entry.name)
        if match is not None and not is_clutter(entry.name):
            key = (match["category"].lower(), match["split"], match["name"])
            found.setdefault(key, {})[int(match["view"])] = entry
    return found


def _problem(mesh: Found, views: dict[int, Entry]) -> tuple[str, str]:
    """Reason code and detail of an object that cannot be used, or nothing."""
    if mesh.reason == "missing_mesh":
        return mesh.reason, f"{len(views)} pictures and no {mesh.category}/{mesh.split}/{mesh.name}.off"
    if mesh.reason:
        return mesh.reason, mesh.detail
    if not views:
        return "no_views", f"the picture archive has no view of {mesh.name}"
    absent = sorted(set(range(1, VIEWS + 1)) - {number for number, entry in views.items() if entry.size})
    if absent or len(views) != VIEWS:
        lost = f"view {absent[0]:03d} is not there" if absent else f"view {max(views):03d} is one too many"
        return "missing_views", f"{mesh.name}: {len(views)} pictures, {VIEWS} are wanted; {lost}"
    return "", mesh.detail


def _picture(data: bytes | None, number: int, size_px: int) -> npt.NDArray[np.uint8]:
    """(S, S, 4): the drawing with straight alpha in place of the white paper, scaled."""
    if data is None:
        raise Reject("missing_views", f"picture {number:03d} is not there")
    try:
        pixels = decode_picture(data).on_white
    except Reject as reject:
        raise Reject("bad_views", f"picture {number:03d}: {reject.detail}") from reject
    if pixels.shape[0] != pixels.shape[1]:
        raise Reject("bad_views", f"picture {number:03d} is {pixels.shape[1]} x {pixels.shape[0]}; a square is wanted")
    drawn = Image.fromarray(without_paper(pixels))
    rgba = np.array(drawn.resize((size_px, size_px), Image.Resampling.HAMMING))
    if not (rgba[..., 3] >= 128).any():
        raise Reject("blank_views", f"picture {number:03d} is all white")
    return rgba


def without_paper(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) on white -> (H, W, 4): rims that were mixed with the paper are unmixed.

    A pixel is ``alpha * object + (1 - alpha) * white``.  Nothing is lit brighter than the brightest
    pixel that lies two pixels inside, so that brightness tells the least alpha of a rim.
    """
    dark = rgb.min(axis=2).astype(np.float64)
    inside = dark < _WHITE
    for _ in range(2):
        ring = np.pad(inside, 1)
        inside = ring[1:-1, 1:-1] & ring[:-2, 1:-1] & ring[2:, 1:-1] & ring[1:-1, :-2] & ring[1:-1, 2:]
    brightest = min(float(dark[inside].max()), _WHITE - 4.0) if inside.any() else 0.8 * _WHITE
    alpha = np.clip((_WHITE - dark) / (_WHITE - brightest), 0.0, 1.0)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.where(alpha > 0, (rgb - _WHITE * (1 - alpha)) / alpha, 0.0)
    return np.concatenate([np.rint(colour.clip(0, 255)), np.rint(255 * alpha)], axis=2).astype(np.uint8)


def fitted_lens(
    vertices: npt.NDArray[np.float64], pose: npt.NDArray[np.float64], alpha: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """K (3, 3) with which the mesh fills the box that the object has in the picture (H, W)."""
    seen, _ = project(vertices, np.eye(3), pose)
    low, high = seen.min(axis=0), seen.max(axis=0)
    rows, columns = np.nonzero((alpha >= 128).any(axis=1))[0], np.nonzero((alpha >= 128).any(axis=0))[0]
    first, last = np.array([columns[0], rows[0]], float), np.array([columns[-1], rows[-1]], float) + 1
    want, have = last - first, high - low
    focal = float(want @ have / (have @ have))
    # One pixel more or less is not a difference.
    if (np.abs(focal * have - want) > np.maximum(_BOXES_DIFFER * want.max(), 1.5)).any():
        raise Reject(
            "views_disagree",
            f"a picture shows a box of {want[0]:.0f} x {want[1]:.0f} px, the mesh one of "
            f"{focal * have[0]:.0f} x {focal * have[1]:.0f}",
        )
    centre = (first + last) / 2 - focal * (low + high) / 2
    return np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])


MVCNN = Mvcnn()
