"""3D-R2N2's release: 24 ready pictures of each ShapeNet model, and its voxels.

    ShapeNetRendering/<synset>/<id>/rendering/00.png ... 23.png      137 px, RGBA, straight alpha
    ShapeNetRendering/<synset>/<id>/rendering/rendering_metadata.txt
    ShapeNetVox32/<synset>/<id>/model.binvox

Choy et al., "3D-R2N2", ECCV 2016.  A line of the metadata is azimuth, elevation and in-plane
turn in degrees, distance as a share of 1.75, and a field of view that the renderer ignored:
its lens was 35 mm on a 32 mm sensor (their blender_renderer.py).  Voxels and pictures are in
the frame of ShapeNet v1, where azimuth 0 looks at the front from +X and 90 from +Z; both are
centred on the model.  All of this was checked by projecting the voxels into the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.archives.remote import RemoteFile
from pipeline.conventions import SHAPENET_V1_TO_WORLD, Grid
from pipeline.errors import Reject
from pipeline.formats.binvox import read_binvox, read_header
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.pictures.camera import look_at_origin
from pipeline.pictures.decode import decode_picture
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, is_clutter, split_member
from pipeline.sources.shapenet import NAMES, synset_of

VIEWS = 24
RESOLUTION = 32
_VOXELS, _PICTURES = "ShapeNetVox32", "ShapeNetRendering"
_FARTHEST = 1.75  # R2N2 stores distances as shares of this
_FOCAL = 35 / 32  # focal length in picture sides
_HOSTS = ("http://cvgl.stanford.edu/data2", "http://ftp.cs.stanford.edu/cs/cvgl")


class R2N2(Source):
    """Pictures and voxels are imported; nothing is drawn and nothing is voxelized."""

    title = "3D-R2N2"
    to_world = SHAPENET_V1_TO_WORLD
    views_per_shape = VIEWS
    page = "http://3d-r2n2.stanford.edu"
    terms = (
        "ShapeNetRendering and ShapeNetVox32 derive from ShapeNet: for non-commercial research and education only "
        "(https://shapenet.org/terms). Cite Choy et al., 3D-R2N2, ECCV 2016, and Chang et al., arXiv:1512.03012."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """Two archives; in a local mirror they may lie unpacked."""
        voxels = RemoteFile(
            f"{_VOXELS}.tgz",
            tuple(f"{host}/{_VOXELS}.tgz" for host in _HOSTS),
            bytes=22218020,
            sha256="21797cf9310771f9fd1f4bc1abbb99c5cc6235bfc9f4864f688e0edeaa7c204b",
            unpack=True,
        )
        addresses = tuple(f"{host}/{_PICTURES}.tgz" for host in _HOSTS)
        return [voxels, RemoteFile(f"{_PICTURES}.tgz", addresses, unpack=True)]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every voxel file; the pictures are looked for when the shape is imported."""
        wanted = {synset_of(name) for name in dataset.categories or ()}
        for entry in archives.get(_VOXELS).entries():
            parts = entry.name.split("/")
            if len(parts) != 4 or parts[3] != "model.binvox" or is_clutter(entry.name):
                continue
            _, synset, name, _ = parts
            if not wanted or synset in wanted:
                reason = entry.problem or ("" if entry.size else "empty")
                member = f"{_VOXELS}!{entry.name}"
                category = NAMES.get(synset, synset)
                yield Found(category, name, None, member, entry.size, entry.checksum, reason, entry.name)

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The voxel file, below the top folder of its archive."""
        top, _, path = split_member(shape)[1].partition("/")
        return path, archives.get(_VOXELS).files(f"{top}/")

    def voxels(self, archives: Archives, shape: Shape) -> Grid:
        """(32, 32, 32) in world axes."""
        return self._volume(archives, shape)[0]

    def views(
        self, archives: Archives, shape: Shape, size_px: int, vertices: npt.NDArray[np.float64] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a `renders` shard; cameras in unit-box sides, about the same voxels."""
        _, side = self._volume(archives, shape)
        folder = f"{self.model(archives, shape)[0].rpartition('/')[0]}/rendering"
        files = archives.get(_PICTURES).files(f"{_PICTURES}/")
        lines = _metadata(files.read(f"{folder}/rendering_metadata.txt"))
        rgba = np.stack([_picture(files.read(f"{folder}/{n:02d}.png"), n, size_px) for n in range(VIEWS)])
        focal, centre = _FOCAL * size_px, size_px / 2
        K = np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])
        azimuth, distance = (-lines[:, 0]) % 360.0, lines[:, 3] * _FARTHEST / side
        return {
            "rgba": rgba,
            "K": np.tile(K, (VIEWS, 1, 1)),
            "camera_to_world": np.stack([look_at_origin(a, e, d) for a, e, d in zip(azimuth, lines[:, 1], distance)]),
            "azimuth_deg": azimuth.astype(np.float32),
            "elevation_deg": lines[:, 1].astype(np.float32),
            "distance": distance.astype(np.float32),
            "roll_deg": np.zeros(VIEWS, np.float32),
            "coverage": (rgba[..., 3].mean(axis=(1, 2)) / 255).astype(np.float32),
        }

    def _volume(self, archives: Archives, shape: Shape) -> tuple[Grid, float]:
        """World grid, and the side of its cube in ShapeNet's own units."""
        member, files = self.model(archives, shape)
        data = files.read(member)
        if data is None:
            raise Reject("missing_mesh", f"{shape.member} is not there")
        size = read_header(data).dim_xzy
        if size != (RESOLUTION,) * 3:  # before any memory is taken for it
            raise Reject("bad_voxels", f"{shape.member} is {size}, {RESOLUTION}^3 is wanted")
        content = read_binvox(data)
        if not content.grid.any():
            raise Reject("empty", f"{shape.member}: no voxel is occupied")
        # (x, y, z) -> (z, y, -x), as SHAPENET_V1_TO_WORLD.
        return np.ascontiguousarray(content.grid.transpose(2, 1, 0)[:, :, ::-1]), content.scale


def _metadata(data: bytes | None) -> npt.NDArray[np.float64]:
    """(24, 5): azimuth, elevation, in-plane turn, distance, field of view."""
    if data is None:
        raise Reject("missing_views", "rendering_metadata.txt is not there")
    try:
        lines = np.array([[float(word) for word in line.split()] for line in data.splitlines() if line.strip()])
    except ValueError as error:
        raise Reject("bad_metadata", f"rendering_metadata.txt: {error}") from error
    if lines.shape != (VIEWS, 5) or not np.isfinite(lines).all() or not (lines[:, 3] > 0).all():
        raise Reject("bad_metadata", f"rendering_metadata.txt is {lines.shape}, ({VIEWS}, 5) is wanted")
    if np.abs(lines[:, 2]).max() > 0:
        raise Reject("bad_metadata", f"an in-plane turn of {np.abs(lines[:, 2]).max():.1f} degrees is not supported")
    return lines


def _picture(data: bytes | None, number: int, size_px: int) -> npt.NDArray[np.uint8]:
    """(S, S, 4), scaled with the colours weighted by alpha and without overshoot, so that no rim appears."""
    if data is None:
        raise Reject("missing_views", f"picture {number:02d}.png is not there")
    try:
        pixels = decode_picture(data).pixels
    except Reject as reject:
        raise Reject("bad_views", f"picture {number:02d}.png: {reject.detail}") from reject
    height, width, channels = pixels.shape
    if channels != 4 or width != height:
        raise Reject(
            "bad_views",
            f"picture {number:02d}.png is {width} x {height} with {channels} channels, RGBA and square is wanted",
        )
    return np.array(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.HAMMING))


R2N2_RELEASE = R2N2()
