"""Pix3D to train on: photographs with the mask, the voxels and the camera of what they show.

    pix3d.zip    pix3d.json, img/<category>/<number>.png, mask/..., model/<category>/<object>/{*.obj, voxel.mat}
    pix3d_s2_train.json, pix3d_s2_test.json     optional: the split by objects of Mesh R-CNN (arXiv:1906.02739)

A shape is one photograph, with one view; all photographs of one object are in one split.  Alpha is
the mask, and the picture is the square around it.  Frames and cameras are those of the README and
of demo.py of github.com/xingyuansun/pix3d: a point of the model lies at ``rot_mat @ p + trans_mat``
before a camera in the origin that looks along +Z with +Y up, so that +X is to its left; its sensor
is 32 mm wide and its lens `focal_length`.  Models have +Y up and their front at -Z, as the world.
Voxels and camera are brought into the unit box by the boxes of the voxels and of the model.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from pipeline.archives.archive import Entry
from pipeline.archives.remote import RemoteFile
from pipeline.conventions import MARGIN, Array, Cuboid, Floats, Grid, Transform
from pipeline.errors import Reject, UserError
from pipeline.formats.matlab import read_matlab_grid
from pipeline.manifest import Shape
from pipeline.meshes.files import Files
from pipeline.meshes.load import load_member
from pipeline.pictures.decode import decode_picture
from pipeline.settings.datasets import Dataset
from pipeline.sources.base import Archives, Found, Source, checksum_of, is_clutter, split_member
from pipeline.sources.pix3d import NOT_WHOLE, SIDE, STORED, is_said, upright
from pipeline.state.files import parse_json

_LIST = "pix3d.json"
_SPLITS = {part: f"pix3d_s2_{part}.json" for part in ("train", "test")}
_MESH_RCNN = "https://dl.fbaipublicfiles.com/meshrcnn/pix3d"
_TEXTS = ("img", "category", "mask", "model", "voxel")
_SENSOR_MM = 32.0
_AROUND = 1.15  # side of the picture in longer sides of the mask's box
_BOXES_DIFFER = 0.1  # of the longest side: how far the proportions of voxels and model may be apart
_FROM_CAMERA: Floats = np.diag([-1.0, 1.0, -1.0])  # axes of Pix3D's camera (+X left, +Z ahead) to ours


class Pix3d(Source):
    """Every photograph that shows its object whole."""

    title = "Pix3D"
    views_per_shape = 1
    page = "http://pix3d.csail.mit.edu"
    terms = (
        "Pix3D: for research; the photographs belong to their owners, and the models to IKEA or to the makers of the "
        "set. Cite Sun et al., CVPR 2018."
    )

    def files(self, dataset: Dataset, offered: list[str] | None) -> list[RemoteFile]:
        """The zip, and the lists of the split where they exist."""
        lists = [RemoteFile(name, (f"{_MESH_RCNN}/{name}",), optional=True) for name in _SPLITS.values()]
        return [RemoteFile("pix3d.zip", (f"{self.page}/data/pix3d.zip",)), *lists]

    def shapes(self, archives: Archives, dataset: Dataset) -> Iterator[Found]:
        """Every entry of the list."""
        official = _official(archives)
        for archive in archives.names:
            if archive in _SPLITS.values():
                continue
            members = {entry.name: entry for entry in archives.get(archive).entries() if not is_clutter(entry.name)}
            root = _root(archive, members)
            for number, entry in enumerate(_entries(archives, archive, root)):
                yield _found(f"{archive}!{root}", number, entry, root, members, official)

    def model(self, archives: Archives, shape: Shape) -> tuple[str, Files]:
        """The OBJ file of the object, below the folder of the list."""
        entry, files = _entry_of(archives, shape)
        return str(entry["model"]), files

    def voxels(self, archives: Archives, shape: Shape) -> Grid:
        """(32, 32, 32) in world axes, as large as the longest side of a mesh would be."""
        entry, files = _entry_of(archives, shape)
        return fitted(_stored(entry, files), SIDE)

    def views(self, archives: Archives, shape: Shape, size_px: int, vertices: Floats | None) -> dict[str, Array]:
        """The arrays of a `renders` shard: one view."""
        entry, files = _entry_of(archives, shape)
        rgba, left, top, side = cut_out(_picture(entry, files), _AROUND)
        placed = np.array(Image.fromarray(rgba).resize((size_px, size_px), Image.Resampling.HAMMING))
        width, height = (int(value) for value in entry["size"])
        scale = size_px / side
        focal = entry["focal_length"] / _SENSOR_MM * width * scale
        K = np.array([[focal, 0, (width / 2 - left) * scale], [0, focal, (height / 2 - top) * scale], [0, 0, 1.0]])
        pose = _pose(entry, *_unit_box(entry, files))
        azimuth, elevation, distance, roll = angles_of(pose)
        return {
            "rgba": placed[None],
            "K": K[None],
            "camera_to_world": pose[None],
            "azimuth_deg": np.array([azimuth], np.float32),
            "elevation_deg": np.array([elevation], np.float32),
            "distance": np.array([distance], np.float32),
            "roll_deg": np.array([roll], np.float32),
            "coverage": np.array([placed[..., 3].mean() / 255], np.float32),
        }


# ---- the list ------------------------------------------------------------------------------


def _root(archive: str, members: dict[str, Entry]) -> str:
    """The folder of pix3d.json in an archive, with a slash at its end, or nothing."""
    lists = sorted((name.count("/"), name) for name in members if posixpath.basename(name) == _LIST)
    if not lists:
        raise UserError(
            "there is no list of Pix3D",
            where=archive,
            wanted=f"{_LIST} beside img/, mask/ and model/",
            do="give the zip as it is published, or the folder that it unpacks to",
        )
    return lists[0][1].removesuffix(_LIST)


def _entries(archives: Archives, archive: str, root: str) -> list[Any]:
    data = archives.get(archive).files(root).open_bytes(_LIST)
    try:
        entries = parse_json(data or b"", ours=False)
    except ValueError as error:
        raise _unreadable(f"{archive}: {root}{_LIST}", str(error)) from error
    if not isinstance(entries, list):
        raise _unreadable(f"{archive}: {root}{_LIST}", type(entries).__name__)
    return entries


def _unreadable(where: str, got: str) -> UserError:
    return UserError(
        "cannot read the list of Pix3D", where=where, got=got, wanted="a JSON list", do="fetch the data set again"
    )


def _found(
    place: str, number: int, entry: Any, root: str, members: dict[str, Entry], official: dict[str, str]
) -> Found:
    """One photograph; whatever is wrong with its entry or its files is a reason."""
    said = entry if isinstance(entry, dict) else {}
    texts = {key: said[key] for key in _TEXTS if isinstance(said.get(key), str) and said[key]}
    if len(texts) < len(_TEXTS):
        wrong = ", ".join(sorted(set(_TEXTS) - set(texts)))
        return Found("none", f"entry-{number}", None, place, reason="bad_entry", detail=f"entry {number} lacks {wrong}")
    name = posixpath.splitext(posixpath.basename(texts["img"]))[0]
    lost = [texts[key] for key in ("img", "mask", "voxel", "model") if root + texts[key] not in members]
    files = [members[root + texts[key]] for key in ("img", "mask", "voxel", "model")] if not lost else []
    reason, detail = "", texts["img"]
    if lost:
        reason, detail = "missing_file", f"{lost[0]} is not there"
    elif marks := [key for key in NOT_WHOLE if is_said(said.get(key))]:
        reason, detail = "not_whole", f"{texts['img']}: {marks[0].replace('_', ' ')}"
    elif problem := next((file.problem or "empty" for file in files if file.problem or not file.size), ""):
        reason = problem
    camera = Entry("camera", 0, json.dumps([said.get(key) for key in ("rot_mat", "trans_mat", "focal_length")]))
    group = posixpath.dirname(texts["model"])
    return Found(
        texts["category"],
        name,
        official.get(group),
        place + texts["img"],
        files[0].size if files else 0,
        checksum_of([*files, camera]) if files else "",
        reason,
        detail,
        group,
    )


def _official(archives: Archives) -> dict[str, str]:
    """Split of each object's folder; an object in both lists means that they are not those that split by object."""
    found: dict[str, str] = {}
    for part, name in _SPLITS.items():
        text = archives.text(name)
        if text is None:
            continue
        try:
            folders = {posixpath.dirname(str(item["model"])) for item in parse_json(text, ours=False)["annotations"]}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                "cannot read a split of Pix3D",
                where=name,
                got=f"{type(error).__name__}: {error}",
                wanted="annotations with the path of a model each, as Mesh R-CNN publishes them",
                do="delete the file, or fetch it again",
            ) from error
        both = sorted(folders & found.keys())
        if both:
            raise UserError(
                "a split of Pix3D has an object on both sides",
                where=name,
                got=both[0],
                wanted="the lists of S2, which split by object; those of S1 split by picture",
                do="replace both files, or delete them",
            )
        found |= dict.fromkeys(folders, part)
    return found


def _entry_of(archives: Archives, shape: Shape) -> tuple[dict[str, Any], Files]:
    """The entry of a photograph with its numbers checked, and the files beside the list."""
    archive, path = split_member(shape)
    if archive not in archives.memo:
        root = _root(archive, {entry.name: entry for entry in archives.get(archive).entries()})
        listed = [entry for entry in _entries(archives, archive, root) if isinstance(entry, dict)]
        entries = {root + str(entry.get("img")): entry for entry in listed}
        archives.memo[archive] = root, entries
    root, entries = archives.memo[archive]
    if path not in entries:
        raise Reject("bad_entry", f"the list does not have {path} any more")
    return dict(entries[path]), archives.get(archive).files(root)


# ---- voxels --------------------------------------------------------------------------------


def _stored(entry: dict[str, Any], files: Files) -> Grid:
    return upright(read_matlab_grid(_read(files, entry["voxel"]), "voxel", STORED))


def fitted(grid: Cuboid, side: int) -> Grid:
    """The content of a grid in one of `side` voxels: centred, its longest side 1 - 2 MARGIN of the box.

    A voxel is occupied where the centre of a stored one falls into it.
    """
    at = np.argwhere(grid)
    low, high = at.min(axis=0), at.max(axis=0) + 1
    scale = (1 - 2 * MARGIN) * side / int((high - low).max())
    if scale > 1:
        raise Reject("bad_voxels", f"the object is {int((high - low).max())} voxels long, {side} at least are wanted")
    placed = np.floor((at + 0.5 - (low + high) / 2) * scale + side / 2).astype(np.int64)
    out = np.zeros((side,) * 3, dtype=bool)
    out[tuple(placed.T)] = True
    return out


# ---- picture and camera --------------------------------------------------------------------


def _read(files: Files, name: str) -> bytes:
    data = files.exact(name)
    if data is None:
        raise Reject("missing_file", f"{name} is not there")
    return data


def _picture(entry: dict[str, Any], files: Files) -> UInt8[Array, "H W 4"]:
    """The photograph with its mask as alpha; the entry learns its size."""
    mask = decode_picture(_read(files, entry["mask"]), upright=False).on_white[..., 0]
    data = _read(files, entry["img"])
    rgb = decode_picture(data).on_white
    if rgb.shape[:2] != mask.shape:
        rgb = decode_picture(data, upright=False).on_white  # the mask was drawn without a look at the EXIF
    if rgb.shape[:2] != mask.shape:
        sizes = f"{mask.shape[1]} x {mask.shape[0]}, the picture {rgb.shape[1]} x {rgb.shape[0]}"
        raise Reject("bad_mask", f"{entry['mask']} is {sizes}")
    if not (mask >= 128).any():
        raise Reject("bad_mask", f"{entry['mask']} marks nothing")
    entry["size"] = (rgb.shape[1], rgb.shape[0])
    return np.dstack([rgb, mask])


def cut_out(rgba: UInt8[Array, "H W 4"], around: float) -> tuple[UInt8[Array, "S S 4"], int, int, int]:
    """The square around what alpha covers, and its left, top and side in pixels; outside the picture it is empty."""
    rows, columns = (np.nonzero((rgba[..., 3] >= 128).any(axis=axis))[0] for axis in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    side = max(1, round(around * int((box[2:] - box[:2]).max())))
    left, top = (round(float(value)) for value in (box[:2] + box[2:] - side) / 2)
    out = np.zeros((side, side, 4), np.uint8)
    height, width = rgba.shape[:2]
    inside = rgba[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    out[max(-top, 0) : max(-top, 0) + len(inside), max(-left, 0) : max(-left, 0) + inside.shape[1]] = inside
    return out, left, top, side


def _unit_box(entry: dict[str, Any], files: Files) -> tuple[Floats, float]:
    """Middle of the model's box, and unit-box sides to one of its units."""
    mesh = load_member(str(entry["model"]), files, looks=False).mesh
    corners = mesh.vertices[np.unique(mesh.faces)]
    low, high = corners.min(axis=0), corners.max(axis=0)
    at = np.argwhere(_stored(entry, files))
    of_voxels, of_model = at.max(axis=0) + 1.0 - at.min(axis=0), high - low
    if of_model.max() <= 0:
        raise Reject("no_area", f"{entry['model']} has no size")
    if np.abs(of_voxels / of_voxels.max() - of_model / of_model.max()).max() > _BOXES_DIFFER:
        shown = " and ".join("x".join(f"{v:.2f}" for v in box / box.max()) for box in (of_voxels, of_model))
        raise Reject("voxels_disagree", f"voxels and model have boxes of {shown}")
    return (low + high) / 2, float((1 - 2 * MARGIN) / of_model.max())


def _pose(entry: dict[str, Any], middle: Floats, scale: float) -> Transform:
    """camera_to_world (4, 4) in the unit box."""
    try:
        rotation = np.array(entry["rot_mat"], dtype=np.float64)
        place = np.array(entry["trans_mat"], dtype=np.float64)
        entry["focal_length"] = float(entry["focal_length"])
    except (KeyError, TypeError, ValueError) as error:
        raise Reject("bad_camera", f"{type(error).__name__}: {error}") from error
    proper = rotation.shape == (3, 3) and place.shape == (3,) and np.isfinite([*rotation.flat, *place]).all()
    if not proper or np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise Reject("bad_camera", "rot_mat is no rotation, or trans_mat no place")
    if not 0 < entry["focal_length"] < np.inf or place[2] <= 0:
        raise Reject("bad_camera", f"a lens of {entry['focal_length']} mm, the object at {place[2]:.3g} before it")
    pose = np.eye(4)
    pose[:3, :3] = (_FROM_CAMERA @ rotation).T
    pose[:3, 3] = (-rotation.T @ place - middle) * scale
    return pose


def angles_of(pose: Float64[Array, "4 4"]) -> tuple[float, float, float, float]:
    """Azimuth, elevation in degrees and distance of where a camera stands, and its roll about its own axis.

    The inverse of `look_at_origin` for a camera that looks at the origin.
    """
    place, right, backward = pose[:3, 3], pose[:3, 0], pose[:3, 2]
    distance = float(np.linalg.norm(place))
    level = np.cross([0.0, 1.0, 0.0], backward)
    length = float(np.linalg.norm(level))
    level = level / length if length > 0 else right
    roll = np.arctan2(right @ np.cross(backward, level), right @ level)
    azimuth = np.degrees(np.arctan2(-place[0], -place[2])) % 360.0
    return float(azimuth), float(np.degrees(np.arcsin(place[1] / distance))), distance, float(np.degrees(roll))


PIX3D = Pix3d()
