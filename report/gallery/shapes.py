"""What the gallery says of one shape: read from its shard and its prepared mesh, checked, made small."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.conventions import Array, Grid, unpack_grid
from pipeline.formats.pack import PackReader
from pipeline.manifest import Record
from pipeline.meshes.glb import read_glb
from pipeline.meshes.orient import IDENTITY, ORIENTATIONS, oriented
from pipeline.pictures.bank import Bank
from pipeline.shards import Shard
from pipeline.shards.agreement import LEAST_IOU, ViewSilhouettes, name, view_faults, view_silhouettes
from report.gallery import geometry, pictures
from report.packed import pack_voxels

OTHER_AXES = 0.05  # of one shape, another way to read the axes must fit better by this
THIN_RECALL = 0.95  # of the voxelizer: share of the surface that has a filled voxel beside it


@dataclass(frozen=True)
class Flag:
    """Something about a shape that a reader may want to see together with all others like it."""

    key: str
    label: str
    meaning: str
    problem: bool = True  # False: good to know


FLAGS = (
    Flag("silhouette", "silhouettes differ", f"voxels and views overlap with an IoU below {LEAST_IOU}"),
    Flag(
        "axes",
        "other axes fit",
        "the voxels fit the views better with their axes exchanged, turned or mirrored; "
        "+x +z -y: their x, z and reversed y taken as x, y and z",
    ),
    Flag("empty", "empty view", "a view shows almost nothing"),
    Flag("black", "black view", "nothing in a view is brighter than black"),
    Flag("thin", "thin parts lost", f"less than {THIN_RECALL:.0%} of the surface has a filled voxel within one voxel"),
    Flag("parts", "falls apart", "the voxels hang together otherwise than the surface"),
    Flag("textures", "textures missing", "the mesh names pictures that are not there"),
    Flag("cut", "cut off", "the shape touches the border of a view", problem=False),
    Flag("open", "not watertight", "rays cross the surface an odd number of times", problem=False),
    Flag("repaired", "repaired", "faces or vertices were dropped or joined", problem=False),
)
PROBLEMS = frozenset(flag.key for flag in FLAGS if flag.problem)


@dataclass(frozen=True)
class Budget:
    """How much of each shape travels."""

    views: int
    faces: int


FEW_SHAPES = 100
GENEROUS, THRIFTY = Budget(views=12, faces=3000), Budget(views=8, faces=1500)


def budget(shapes: int) -> Budget:
    """Pages of few shapes can afford more of each."""
    return GENEROUS if shapes <= FEW_SHAPES else THRIFTY


@dataclass(frozen=True)
class Checked:
    """One shape's place and what was found wrong with it."""

    shard: int
    row: int
    record: Record
    iou: float  # silhouettes of voxels and views, mean over some views
    ways: dict[str, float]  # the same for every way to read the axes
    flags: tuple[str, ...]  # keys of FLAGS

    @property
    def best_way(self) -> str:
        return max(self.ways, key=lambda way: (self.ways[way], way == name(IDENTITY), way))


def check(shard: Shard, number: int, row: int, bank: Bank | None) -> Checked:
    """Compare a shape's voxels with its views; `number` is the shard's."""
    record = shard.records[row]
    images, alpha = shard.images(row, bank), alpha_of(shard, row)
    grid = unpack_grid(shard.array("voxels")[row], shard.resolution or 0)
    look_at = functools.partial(
        view_silhouettes, alpha, shard.array("K")[row], shard.array("camera_to_world")[row], len(grid)
    )
    seen = look_at()
    ways = {name(way): seen.iou(oriented(grid, way)) for way in ORIENTATIONS}
    iou = ways[name(IDENTITY)]
    faults = [view_faults(mask, picture) for mask, picture in zip(alpha, images, strict=True)]
    prepare, voxels = (record.facts.get(stage, {}) for stage in ("prepare", "voxelize"))
    raised = {
        "silhouette": iou < LEAST_IOU,
        "axes": max(ways.values()) > iou + OTHER_AXES and _every_view_agrees(grid, ways, look_at(views=len(alpha))),
        "empty": any(fault.empty for fault in faults),
        "black": any(fault.black for fault in faults),
        "thin": voxels.get("thin_recall", 1.0) < THIN_RECALL,
        "parts": voxels.get("parts") != voxels.get("bounded_parts", voxels.get("parts")),
        "textures": bool(prepare.get("missing_textures")),
        "cut": any(fault.cut_off for fault in faults),
        "open": voxels.get("watertight") is False,
        "repaired": any(prepare.get("repairs", {}).values()),
    }
    return Checked(number, row, record, iou, ways, tuple(flag.key for flag in FLAGS if raised[flag.key]))


def _every_view_agrees(grid: Grid, ways: dict[str, float], every: ViewSilhouettes) -> bool:
    """Do all views together, too, prefer the way that fitted a few of them best?"""
    best = max(ORIENTATIONS, key=lambda way: ways[name(way)])
    return every.iou(oriented(grid, best)) > every.iou(grid) + OTHER_AXES


def alpha_of(shard: Shard, row: int) -> UInt8[Array, "V S S"]:
    """(V, S, S) what the shape covers."""
    return np.asarray(shard.array("rgba")[row][..., 3] if "rgba" in shard else shard.array("alpha")[row])


def summary(checked: Checked, occupancy: float) -> dict[str, Any]:
    """What filters, orders and cards need; of every shape, so it is short."""
    record, best = checked.record, checked.best_way
    turn = {"way": best, "wayIou": round(checked.ways[best], 3)} if "axes" in checked.flags else {}
    return {
        "key": record.key,
        "category": record.category,
        "name": record.name,
        "split": record.split,
        "iou": round(checked.iou, 3),
        "occupancy": round(occupancy, 4),
        "faces": _faces(record),
        "flags": list(checked.flags),
        "problem": bool(PROBLEMS & set(checked.flags)),
        **turn,
    }


def _faces(record: Record) -> int | None:
    """Faces of the prepared mesh; None where there never was one."""
    found = [record.facts.get(stage, {}).get("faces") for stage in ("prepare", "voxelize", "render")]
    return next((int(count) for count in found if count is not None), None)


def occupancy(shard: Shard, row: int) -> float:
    """Share of the grid that is filled."""
    return float(unpack_grid(shard.array("voxels")[row], shard.resolution or 0).mean())


def views_shown(shard: Shard, size: Budget) -> list[int]:
    return pictures.spread(shard.views, size.views)


def picture_of(shard: Shard, row: int, bank: Bank | None, size: Budget) -> str:
    """The contact sheet of one shape, as a ``data:`` address."""
    return pictures.sheet(shard.images(row, bank)[views_shown(shard, size)])


def detail(shard: Shard, row: int, bank: Bank | None, meshes: Meshes | None, size: Budget) -> dict[str, Any]:
    """What is needed once a shape is opened: its mesh, its voxels, its cameras, and what is known of it."""
    record = shard.records[row]
    drawn = meshes.drawn(record.shape_id, size.faces) if meshes else None
    return {
        "cameras": [camera(shard, row, view) for view in views_shown(shard, size)],
        "large": pictures.large(shard.images(row, bank)[0]),
        "mesh": geometry.pack_mesh(drawn) if drawn else None,
        "drawn": len(drawn.faces) if drawn else 0,
        "voxels": pack_voxels(shard.array("voxels")[row]),
        "facts": facts(record),
    }


def camera(shard: Shard, row: int, view: int) -> dict[str, Any]:
    """The stored camera of a view, as `project` of camera.js takes it."""
    K, pose = shard.array("K").view(row, view), shard.array("camera_to_world").view(row, view)
    return {
        "view": view,
        "K": [float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])],
        "pose": pose[:3].reshape(-1).tolist(),
        "azimuth": round(float(shard.array("azimuth_deg").view(row, view)), 2),
        "elevation": round(float(shard.array("elevation_deg").view(row, view)), 2),
        "distance": round(float(shard.array("distance").view(row, view)), 3),
    }


def facts(record: Record) -> list[tuple[str, str]]:
    """What the stages recorded, as rows of a table."""
    prepare, voxels, render = (record.facts.get(stage, {}) for stage in ("prepare", "voxelize", "render"))
    repairs = ", ".join(
        f"{key.replace('_', ' ')} {count:,}" for key, count in prepare.get("repairs", {}).items() if count
    )
    rows = [
        ("made from", prepare.get("source_member")),
        ("mesh", _join(prepare, ("faces", "vertices", "materials", "textures"))),
        ("repairs", repairs or ("none" if prepare.get("repairs") else None)),
        ("missing textures", ", ".join(map(str, prepare.get("missing_textures", [])))),
        ("scale to the unit box", prepare.get("placement", {}).get("scale")),
        ("voxels", _join(voxels, ("mode", "engine", "occupied", "parts"))),
        ("watertight", {True: "yes", False: "no"}.get(voxels.get("watertight", ""))),
        ("surface kept by voxels", f"{voxels['thin_recall']:.1%}" if "thin_recall" in voxels else None),
        ("drawn by", " ".join(str(render[key]) for key in ("backend", "backend_version") if key in render)),
        ("mesh SHA-256", prepare.get("mesh_sha256")),
    ]
    return [
        (label, f"{value:.6g}" if isinstance(value, float) else str(value))
        for label, value in rows
        if value not in (None, "")
    ]


def _join(found: dict[str, Any], keys: tuple[str, ...]) -> str:
    return ", ".join(
        f"{key} {found[key]:,}" if isinstance(found[key], int) else f"{key} {found[key]}"
        for key in keys
        if key in found
    )


class Meshes:
    """The prepared meshes of one shard, by shape."""

    def __init__(self, path: Path):
        self._pack = PackReader(path)
        self._records = {record.shape_id: record for record in self._pack.records}

    def drawn(self, shape_id: str, most_faces: int) -> geometry.Drawn | None:
        """The mesh, made small; None for a shape that never had one: some voxels are published without."""
        if shape_id not in self._records:
            return None
        return geometry.drawable(read_glb(self._pack.payload(self._records[shape_id])), most_faces)


@functools.lru_cache(maxsize=2)  # shapes come shard by shard
def open_meshes(path: Path) -> Meshes | None:
    """The pack of prepared meshes; None for data sets whose pictures and voxels are published ready."""
    return Meshes(path) if path.exists() else None
