"""What to make of a mesh: `Options`, its presets, and what they cost in memory."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import UserError

Mode = Literal["robust", "binvox", "exact", "flood", "carve", "vote", "shapenet"]
MODES: tuple[str, ...] = get_args(Mode)
MAX_RESOLUTION = 1024
# The unit box of pipeline/conventions.py, where normalised meshes live.
UNIT_BOX_BOUNDS = (-0.5, -0.5, -0.5, 0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Options:
    """One way to voxelize; the fields carry binvox's flag where there is one."""

    resolution: int = 32
    """-d: voxels along each side, after downsampling."""
    mode: str = "binvox"
    """One of MODES: binvox's default (carve or vote), carve (-c), vote (-v), exact (-e), flood (-e, inside filled),
    robust (binvox plus thin parts), shapenet (-aw -dc at twice the resolution, -down)."""
    box: tuple[float, float, float, float, float, float] | None = None
    """-bb: x0 y0 z0 x1 y1 z1 in mesh units; None fits the box to the mesh."""
    centred: bool = False
    """-cb: the mesh in the middle of the two shorter axes."""
    dilated: bool = False
    """-dc: the carved interval is one voxel longer at both ends."""
    wireframe: bool = False
    """-aw: the edges of the triangles are drawn too."""
    remove_internal: bool = False
    """-ri: voxels with six occupied neighbours are removed."""
    halvings: int = 0
    """-down, so many times; `resolution` is the size before them."""
    halving_minimum: int = 4
    """-dmin: occupied voxels among 2 x 2 x 2 that make an occupied one."""
    fit: bool = False
    """-fit: the grid is cut down to the bounding box of its voxels."""
    turns_x: int = 0
    """-rotx: quarter turns (x, y, z) -> (x, -z, y)."""
    turns_z: int = 0
    """-rotz: quarter turns (x, y, z) -> (y, -x, z)."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError("unknown mode", got=self.mode, wanted=", ".join(MODES))
        if not 1 <= self.resolution <= MAX_RESOLUTION:
            raise UserError(
                "the grid size is out of range",
                where="-d",
                got=str(self.resolution),
                wanted=f"1 to {MAX_RESOLUTION} voxels along each side",
            )
        if self.resolution % 2**self.halvings:
            raise UserError(
                "the grid cannot be halved so often",
                where="-down",
                got=f"{self.halvings} times from {self.resolution}",
                wanted="a size that stays whole",
            )
        if not 1 <= self.halving_minimum <= 8:
            raise UserError("-dmin is out of range", got=str(self.halving_minimum), wanted="1 to 8")
        if self.box is not None and not all(low < high for low, high in zip(self.box[:3], self.box[3:])):
            raise UserError(
                "the bounding box is empty",
                where="-bb",
                got=" ".join(f"{v:g}" for v in self.box),
                wanted="minx miny minz maxx maxy maxz with each minimum below its maximum",
            )

    def expanded(self) -> Options:
        """The same with `shapenet` spelt out: wireframe, dilated carve, twice the resolution, halved once."""
        if self.mode != "shapenet":
            return self
        return dataclasses.replace(
            self,
            mode="binvox",
            resolution=self.resolution * 2,
            wireframe=True,
            dilated=True,
            halvings=self.halvings + 1,
        )


# What people run on the data sets of the field, flag for flag.
PRESETS: dict[str, Options] = {
    # ShapeNetCore.v2's own model_normalized.solid.binvox.
    "shapenet": Options(resolution=256, dilated=True, wireframe=True, halvings=1),
    # IM-NET (Chen and Zhang 2019), point sampling code.
    "imnet": Options(resolution=64, mode="exact", box=UNIT_BOX_BOUNDS),
    # Mesh R-CNN (Gkioxari et al. 2019); its -pb draws off screen and changes no voxel.
    "meshrcnn": Options(resolution=48, dilated=True, wireframe=True),
    # voxel-dcgan: shells, not solids.
    "voxel-dcgan": Options(resolution=32, mode="exact", centred=True),
    # VoxNet (Maturana and Scherer 2015).
    "voxnet": Options(resolution=32, centred=True),
}


def memory_bytes(options: Options) -> int:
    """Upper estimate of the working memory that the grids take, in bytes; the mesh comes on top."""
    voxels = options.expanded().resolution ** 3
    planes = 8  # toggles of three axes, result and its helpers, one bit each
    labels = 8 if options.mode == "robust" else 4 if options.mode == "flood" else 0
    plain = 4  # the plain grid, its transpose and what encoding it takes
    return voxels * planes // 8 + (plain + labels) * voxels
