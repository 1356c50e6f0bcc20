"""A data set for the gallery's tests, written straight into its files: shards, prepared meshes, ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.conventions import Grid, pack_grid, voxel_centres
from pipeline.formats.ledger import Row, to_tsv
from pipeline.formats.pack import write_pack
from pipeline.manifest import Record
from pipeline.meshes.glb import write_glb
from pipeline.meshes.mesh import Material, Mesh
from pipeline.meshes.orient import IDENTITY, Orientation, oriented
from pipeline.meshes.surface import surface_of
from pipeline.pictures.bank import write_bank
from pipeline.pictures.camera import look_at_origin, project
from pipeline.progress import Log
from pipeline.seeds import generator
from pipeline.shards import create
from pipeline.shards.index import write_index
from report.gallery.build import write_gallery

SPLITS = ("train", "train", "val", "test")
# What a name must not be able to do: end the script, open a tag, leave an attribute, break a line.
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&amp;\u2028\u2029{{ 7*7 }}"


@dataclass
class Made:
    """One shape of the test data set."""

    name: str
    category: str = "chair"
    split: str = "train"
    grid: Grid = field(default_factory=lambda: furniture(0))
    mesh: Mesh | None = None  # None: the surface of the grid
    facts: dict[str, Any] = field(default_factory=dict)  # of `voxelize`


def furniture(number: int, resolution: int = 32) -> Grid:
    """A chair with one arm and a plant on it: equal to none of its turned or mirrored selves."""
    rng = generator(3, "furniture", number)
    width, depth, height = (int(rng.integers(low, high)) for low, high in ((9, 14), (8, 12), (12, 15)))
    grid = np.zeros((resolution,) * 3, bool)
    middle, seat = resolution // 2, resolution // 2 - int(rng.integers(1, 4))
    x0, x1, z0, z1 = middle - width, middle + width, middle - depth, middle + depth
    grid[x0:x1, seat : seat + 2, z0:z1] = True  # the seat
    grid[x0:x1, seat : middle + height, z1 - 2 : z1] = True  # the back, away from the front at -z
    grid[x0 : x0 + 2, seat : seat + 7, z0:z1] = True  # one arm
    for x in (x0, x1 - 2):
        for z in (z0, z1 - 2):
            grid[x : x + 2, middle - height : seat, z : z + 2] = True
    grid[x0 : x0 + 5, seat + 7 : seat + 10, z0 : z0 + 4] = True  # the plant on the arm
    return grid


def chairs(count: int, different: int = 14) -> list[Made]:
    """`count` shapes of two categories and all splits."""
    grids = [furniture(number) for number in range(min(count, different))]
    meshes = [surface_of(grid) for grid in grids]
    return [
        Made(
            f"shape_{number:04d}",
            ("chair", "stool")[number % 2],
            SPLITS[number % 4],
            grids[number % different],
            meshes[number % different],
        )
        for number in range(count)
    ]


def make_run(
    root: Path,
    shapes: Sequence[Made],
    *,
    way: Orientation = IDENTITY,
    views: int = 8,
    size_px: int = 64,
    per_shard: int = 200,
    kind: str = "composite",
    meshes: bool = True,
    rejected: Sequence[Row] = (),
) -> Path:
    """Write a run's folder; the voxels are the shapes turned by `way`, while views and meshes are not."""
    drawn: dict[bytes, dict[str, Any]] = {}
    shards = []
    for number, start in enumerate(range(0, len(shapes), per_shard)):
        some = shapes[start : start + per_shard]
        shards.append(root / "shards" / "demo" / f"{number:03d}.h5")
        with (
            create(
                shards[-1],
                kind,
                count=len(some),
                views=views,
                size_px=size_px,
                resolution=len(some[0].grid),
                attributes={"seed": 1, "render": {"backend": "test"}},
            ) as shard,
            write_pack(root / "prepared" / "demo" / f"{number:03d}.zip", ".glb") as pack,
        ):
            for made in some:
                place = made.grid.tobytes()
                if place not in drawn:
                    drawn[place] = _views(made.grid, views, size_px, kind, len(drawn))
                mesh = made.mesh or surface_of(made.grid)
                record = _record(made, mesh)
                shard.append(record, **drawn[place], voxels=pack_grid(oriented(made.grid, way)))
                if meshes:
                    pack.add(record, write_glb(mesh))
    write_index(shards, root / "shards" / "demo" / "index.json")
    rows = [Row(f"demo/{m.category}/{m.name}", m.category, m.split, "render", "accepted") for m in shapes]
    ledger = root / "ledger" / "demo.tsv"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    ledger.write_text(to_tsv([*rows, *rejected]), encoding="utf-8")
    crops = generator(5, "bank").integers(0, 256, (3, 72, 72, 3), np.uint8)
    write_bank(root / "bank.npz", crops, {"names": ["a", "b", "c"], "counts": {}, "settings": {}})
    return root


def make_gallery(root: Path, *, most: int = 2000) -> Path:
    """Build the page of a run made by `make_run`."""
    page = root / "samples" / "demo" / "gallery.html"
    write_gallery(
        root / "shards" / "demo" / "index.json",
        root / "prepared" / "demo",
        root / "ledger" / "demo.tsv",
        page,
        bank_path=root / "bank.npz",
        most=most,
        log=Log(None),
    )
    return page


def _record(made: Made, mesh: Mesh) -> Record:
    prepare = {
        "mesh_sha256": "0" * 64,
        "faces": len(mesh.faces),
        "vertices": len(mesh.vertices),
        "repairs": {},
        "source_member": f"{made.name}.off",
    }
    voxels = {"mode": "test", "engine": "test", "parts": 1, "bounded_parts": 1, "thin_recall": 1.0, "watertight": True}
    facts = {"prepare": prepare, "voxelize": {**voxels, **made.facts}, "render": {"backend": "test"}}
    return Record(f"demo/{made.category}/{made.name}", made.category, made.name, made.split, facts)


def _views(grid: Grid, views: int, size_px: int, kind: str, number: int) -> dict[str, Any]:
    """Everything of a shard's row but the voxels; cameras off centre, as photographs have them."""
    rng = generator(4, "views", number)
    K = np.array([[1.25 * size_px, 0, 0.53 * size_px], [0, 1.2 * size_px, 0.48 * size_px], [0, 0, 1]])
    azimuths = (20 + 360 / views * np.arange(views) + rng.uniform(0, 9)).astype(np.float32)
    poses = np.stack([look_at_origin(float(azimuth), 25, 1.85) for azimuth in azimuths])
    alpha = np.stack([silhouette(grid, K, pose, size_px) for pose in poses])
    shade = np.where(np.indices((size_px, size_px)).sum(axis=0) % 9 < 4, 190, 150)[..., None]
    solid = np.broadcast_to(shade, (views, size_px, size_px, 3)).astype(np.uint8)
    behind = np.stack([_room(rng, size_px) for _ in range(views)])
    values: dict[str, Any] = {
        "K": np.tile(K, (views, 1, 1)),
        "camera_to_world": poses,
        "azimuth_deg": azimuths,
        "elevation_deg": np.full(views, 25.0),
        "distance": np.full(views, 1.85),
        "roll_deg": np.zeros(views),
        "coverage": (alpha > 0).mean(axis=(1, 2)),
        "truncation": np.zeros(views),
        "lights": np.zeros((views, 2, 8)),
        "background_id": np.arange(views) % 3,
        "background_crop": np.tile([1.0, 2.0, 64.0, 0.0, 1.0], (views, 1)),
    }
    if kind == "layers":
        return {**values, "rgba": np.concatenate([solid, alpha[..., None]], axis=3)}
    return {**values, "images": np.where(alpha[..., None] > 0, solid, behind), "alpha": alpha}


def silhouette(grid: Grid, K: npt.NDArray[Any], pose: npt.NDArray[Any], size_px: int) -> npt.NDArray[np.uint8]:
    """(S, S) 255 where a filled voxel is seen: each is filled with 4^3 points, which are projected."""
    step = np.stack(np.meshgrid(*[voxel_centres(4)] * 3, indexing="ij"), -1).reshape(-1, 3) / len(grid)
    centres = np.stack([voxel_centres(len(grid))[axis] for axis in np.nonzero(grid)], 1)
    column, row = np.floor(project((centres[:, None] + step).reshape(-1, 3), K, pose)[0]).astype(int).T
    inside = (column >= 0) & (column < size_px) & (row >= 0) & (row < size_px)
    alpha = np.zeros((size_px, size_px), np.uint8)
    alpha[row[inside], column[inside]] = 255
    return alpha


def _room(rng: np.random.Generator, size_px: int) -> npt.NDArray[np.uint8]:
    """A background that compresses like a photograph: coarse and fine blotches."""
    coarse, fine = (
        Image.fromarray(rng.integers(low, high, (n, n, 3), np.uint8)).resize((size_px, size_px))
        for n, low, high in ((5, 30, 200), (24, 0, 50))
    )
    return np.asarray(coarse) + np.asarray(fine)


def painted(mesh: Mesh, colour: tuple[int, int, int]) -> Mesh:
    """The mesh in one colour."""
    return Mesh(mesh.vertices, mesh.faces, materials=[Material((*colour, 255))])
