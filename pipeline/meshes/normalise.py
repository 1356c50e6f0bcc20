"""A mesh as it was read becomes a mesh in the unit box: validated, repaired, turned and placed.

Repairs are few, safe and counted.  Faces that repeat a vertex or have no area are dropped.  Of equal faces one stays
(most faces of ShapeNet come twice, once for each side).  Equal vertices become one, and vertices that no face uses go.
Faces are turned round where that is certain (pipeline/meshes/winding.py).  Nothing is filled, because the voxelizer and
the renderer do not trust windings.  Meshes of too many faces are simplified where the settings say so
(pipeline/meshes/decimate.py).  Everything else that is wrong rejects the shape with a reason code.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.conventions import MARGIN, Matrix
from pipeline.errors import Reject
from pipeline.meshes.mesh import Mesh
from pipeline.meshes.winding import wrong_faces

# A face whose area is below this share of the squared longest side has none.
_NO_AREA = 1e-12
# Longest sides outside this range are damage, not units; squares and sums stay finite inside it.
_SMALLEST, _LARGEST = 1e-12, 1e12


@dataclasses.dataclass(frozen=True)
class Placement:
    """``world = scale * rotation @ source + translation``; invert it to go back to the file's units."""

    scale: float
    rotation: Matrix  # (3, 3)
    translation: npt.NDArray[np.float64]  # (3,)

    def then(self, other: Placement) -> Placement:
        """This one, and after it another that turns nothing."""
        return Placement(other.scale * self.scale, self.rotation, other.scale * self.translation + other.translation)

    def facts(self) -> dict[str, Any]:
        """As it is stored in a record; the rotation row by row."""
        return {
            "scale": self.scale,
            "translation": self.translation.tolist(),
            "rotation": self.rotation.reshape(-1).tolist(),
        }


def turned(upright: Matrix, yaw_deg: float) -> Matrix:
    """Rotation (3, 3) from source axes to world axes; yaw turns counter-clockwise seen from above."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    yaw = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return yaw @ upright if yaw_deg else upright.copy()


def normalise(
    mesh: Mesh, rotation: Matrix, *, max_faces: int, above: Literal["reject", "decimate"] = "reject"
) -> tuple[Mesh, Placement, dict[str, int]]:
    """Validate, repair and centre in the unit box of conventions.py; coordinates end as float32 values.

    What has more than `max_faces` faces is rejected, or simplified after the repairs and placed again.
    """
    _validate(mesh, max_faces if above == "reject" else len(mesh.faces))
    placed, placement, repairs = _placed(mesh, rotation)
    if len(placed.faces) <= max_faces:
        return placed, placement, repairs
    from pipeline.meshes.decimate import decimate  # brings scipy and open3d, which hardly any mesh needs

    simpler = decimate(placed, *_equal_positions(placed.vertices), max_faces)
    result, again, more = _placed(simpler, np.eye(3))
    repairs = {name: count + more[name] for name, count in repairs.items()}
    repairs["decimated_faces"] = len(placed.faces) - len(simpler.faces)
    repairs["textures_to_vertex_colours"] = sum(material.texture is not None for material in placed.materials)
    return result, placement.then(again), repairs


def _placed(mesh: Mesh, rotation: Matrix) -> tuple[Mesh, Placement, dict[str, int]]:
    """Repaired, and centred in the unit box; how it came there, and the counts of the repairs."""
    repairs: dict[str, int] = {}
    rotated = Mesh(
        mesh.vertices @ rotation.T, mesh.faces, mesh.face_material, mesh.materials, mesh.uv, mesh.vertex_colours
    )
    rotated = _without_empty_faces(rotated, repairs)
    rotated = _only_used_vertices(rotated, repairs)
    low, high = rotated.vertices.min(axis=0), rotated.vertices.max(axis=0)
    scale = (1.0 - 2.0 * MARGIN) / float((high - low).max())
    placement = Placement(scale, rotation, -scale * (low + high) / 2)
    # float32 is what the file holds, so equality is decided on what every later stage will see.
    rotated.vertices = (rotated.vertices * scale + placement.translation).astype(np.float32).astype(np.float64)
    placed = _without_equal_faces(rotated, repairs)
    _turn_faces(placed, repairs)
    _clean_looks(placed, repairs)
    return placed, placement, repairs


def _validate(mesh: Mesh, max_faces: int) -> None:
    if len(mesh.faces) == 0:
        raise Reject("no_faces", "the mesh has no triangles")
    if len(mesh.faces) > max_faces:
        raise Reject("too_many_faces", f"{len(mesh.faces)} faces, at most {max_faces} are allowed")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise Reject("bad_index", f"a face names a vertex beyond the {len(mesh.vertices)} there are")
    if not np.isfinite(mesh.vertices).all() and not np.isfinite(mesh.vertices[mesh.faces]).all():
        raise Reject("not_finite", "a coordinate is infinite or not a number")


def _without_empty_faces(mesh: Mesh, repairs: dict[str, int]) -> Mesh:
    """Drop faces that have no area; Reject when none is left or the extent makes no sense."""
    used = mesh.vertices[mesh.faces.reshape(-1)]
    longest = float((used.max(axis=0) - used.min(axis=0)).max())
    if not _SMALLEST < longest < _LARGEST:
        raise Reject("bad_extent", f"the longest side is {longest:g}")
    corners = used.reshape(-1, 3, 3) / longest
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    y = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    z = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    keep = x * x + y * y + z * z > (2 * _NO_AREA) ** 2
    if not keep.any():
        raise Reject("no_area", f"none of the {len(keep)} faces has an area")
    repairs["degenerate_faces"] = int(len(keep) - keep.sum())
    return _keep_faces(mesh, keep)


def _only_used_vertices(mesh: Mesh, repairs: dict[str, int]) -> Mesh:
    used = np.zeros(len(mesh.vertices), dtype=bool)
    used[mesh.faces] = True
    repairs["unused_vertices"] = int(len(used) - used.sum())
    return mesh if used.all() else _renumber(mesh, used.nonzero()[0], np.cumsum(used) - 1)


def _without_equal_faces(mesh: Mesh, repairs: dict[str, int]) -> Mesh:
    """Of faces with the same three corners, in any order, one stays; equal vertices become one.

    It is the first that has a picture, or else the first: a ShapeNet model may give the side of a
    seat that nobody sees the plain material, and list it before the fabric.
    """
    first, place = _equal_positions(mesh.vertices)
    corners = np.sort(place[mesh.faces], axis=1)
    pictured = np.array([material.texture is not None for material in mesh.materials], dtype=bool)
    order = np.argsort(~pictured[mesh.material_of_face], kind="stable")
    _, keep = np.unique(_fold(corners, len(first))[order], return_index=True)
    keep = order[keep]
    repairs["duplicate_faces"] = len(mesh.faces) - len(keep)
    mesh = _keep_faces(mesh, np.sort(keep))
    repairs["merged_vertices"] = 0
    if mesh.uv is None and mesh.vertex_colours is None and len(first) < len(mesh.vertices):
        repairs["merged_vertices"] = len(mesh.vertices) - len(first)
        mesh = _renumber(mesh, first, place)
    return mesh


def _turn_faces(mesh: Mesh, repairs: dict[str, int]) -> None:
    """Turn round the faces that certainly look the wrong way."""
    first, place = _equal_positions(mesh.vertices)
    wrong = wrong_faces(mesh.vertices[first], place[mesh.faces])
    repairs["reoriented_faces"] = int(wrong.sum())
    mesh.faces = np.where(wrong[:, None], mesh.faces[:, ::-1], mesh.faces)


def _equal_positions(vertices: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First vertex of each different position, in file order, and the number (V,) of each vertex's position."""
    bits = (vertices.astype(np.float32) + np.float32(0.0)).view(np.uint32).astype(np.uint64)  # -0 becomes 0
    shift = np.uint64(32)
    _, half = np.unique((bits[:, 0] << shift) | bits[:, 1], return_inverse=True)
    _, first, place = np.unique((half.astype(np.uint64) << shift) | bits[:, 2], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[place].astype(np.int64)


def _fold(rows: npt.NDArray[np.int64], bound: int) -> npt.NDArray[np.int64]:
    """One number for each row (N, 3) of numbers below `bound`, equal for equal rows."""
    if bound < 2**21:  # three of them fit in 63 bits
        return np.asarray((rows[:, 0] * bound + rows[:, 1]) * bound + rows[:, 2])
    _, pair = np.unique(rows[:, 0] * bound + rows[:, 1], return_inverse=True)
    return np.asarray(pair.astype(np.int64) * bound + rows[:, 2])


def _keep_faces(mesh: Mesh, keep: npt.NDArray[Any]) -> Mesh:
    of_face = None if mesh.face_material is None else mesh.face_material[keep]
    return Mesh(mesh.vertices, mesh.faces[keep], of_face, mesh.materials, mesh.uv, mesh.vertex_colours)


def _renumber(mesh: Mesh, chosen: npt.NDArray[np.int64], place: npt.NDArray[np.int64]) -> Mesh:
    """Keep the vertices `chosen`; `place` (V,) is the new number of every old one."""
    uv = None if mesh.uv is None else mesh.uv[chosen]
    colours = None if mesh.vertex_colours is None else mesh.vertex_colours[chosen]
    return Mesh(mesh.vertices[chosen], place[mesh.faces], mesh.face_material, mesh.materials, uv, colours)


def _clean_looks(mesh: Mesh, repairs: dict[str, int]) -> None:
    """Zero the UVs that are no numbers, drop UVs nobody needs, make a wholly invisible mesh opaque."""
    if mesh.uv is not None and not any(material.texture is not None for material in mesh.materials):
        mesh.uv = None
    repairs["bad_uv"] = 0
    if mesh.uv is not None:
        bad = np.asarray(~(np.abs(mesh.uv) < 1e6).all(axis=1))
        repairs["bad_uv"] = int(bad.sum())
        mesh.uv = np.where(bad[:, None], 0.0, mesh.uv)
    # Exporters disagree on whether `d` or `Tr` is opacity; a shape nobody can see is that mistake.
    repairs["invisible_materials"] = 0
    if all(material.colour[3] == 0 for material in mesh.materials):
        repairs["invisible_materials"] = len(mesh.materials)
        mesh.materials = [dataclasses.replace(m, colour=(*m.colour[:3], 255)) for m in mesh.materials]
